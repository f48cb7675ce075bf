"""Adam whose step costs as much as the rows of a table that a batch has looked up, and not as the whole table."""

from __future__ import annotations

import keras
import tensorflow as tf


class LazyAdam(keras.optimizers.Adam):
    """Adam (Kingma and Ba, ICLR 2015), lazy where a gradient is of some rows alone.

    Those rows are updated, with their moments, as Adam does; the others stay as they are, moments included, where Adam
    would let their moments decay and go on moving them. So does TensorFlow Addons' `LazyAdam`, which has no Keras 3.
    """

    def update_step(
        self, gradient: tf.Tensor | tf.IndexedSlices, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """See the base class; the indices of `tf.IndexedSlices` differ from each other."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        rows, slopes = gradient.indices, gradient.values
        number = self._get_variable_index(variable)
        momenta, velocities = self._momentums[number], self._velocities[number]
        momentum = tf.gather(momenta.value, rows) * self.beta_1 + slopes * (1 - self.beta_1)
        velocity = tf.gather(velocities.value, rows) * self.beta_2 + slopes**2 * (1 - self.beta_2)
        step = tf.cast(self.iterations + 1, tf.float32)
        rate = tf.cast(learning_rate, tf.float32) * tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        self.assign(momenta, tf.IndexedSlices(momentum, rows))
        self.assign(velocities, tf.IndexedSlices(velocity, rows))
        self.assign_sub(variable, tf.IndexedSlices(rate * momentum / (tf.sqrt(velocity) + self.epsilon), rows))
