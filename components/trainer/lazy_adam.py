"""An Adam optimizer, missing in Keras, that updates only the table rows that a training step uses."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class LazyAdam(keras.optimizers.Adam):
    """Adam (Kingma and Ba, ICLR 2015) that is lazy for sparse gradients (`tf.IndexedSlices`).

    A sparse gradient updates its rows and their moments as Adam does. Other rows and their moments do not change,
    whereas Adam would decay the moments and continue to move the rows. `LazyAdam` of TensorFlow Addons does the same,
    but does not support Keras 3.

    Args:
        max_norm: maximum global norm of the gradients, summed over all replicas (Keras' `global_clipnorm` clips the
            gradients of each replica separately); None: no clipping.
        arguments: arguments of Keras' Adam.
    """

    def __init__(self, *arguments: Any, max_norm: float | None = None, **named: Any):
        super().__init__(*arguments, **named)
        self._max_norm = max_norm

    def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple[Any, tf.Variable]]) -> list[tuple[Any, tf.Variable]]:
        """Sums the gradients of all replicas, as the base class does, and clips the sums."""
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            grads_and_vars = [
                (_merge_duplicate_rows(gradient), variable)
                for gradient, variable in super()._all_reduce_sum_gradients(grads_and_vars)
            ]
        if self._max_norm is None:
            return grads_and_vars
        clipped, _ = tf.clip_by_global_norm([gradient for gradient, _ in grads_and_vars], self._max_norm)
        return [(gradient, variable) for gradient, (_, variable) in zip(clipped, grads_and_vars, strict=True)]

    def update_step(
        self, gradient: tf.Tensor | tf.IndexedSlices, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates a variable; the indices of a `tf.IndexedSlices` must be unique."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        rows, values = gradient.indices, gradient.values
        number = self._get_variable_index(variable)
        momenta, velocities = self._momentums[number], self._velocities[number]
        momentum = tf.gather(momenta.value, rows) * self.beta_1 + values * (1 - self.beta_1)
        velocity = tf.gather(velocities.value, rows) * self.beta_2 + values**2 * (1 - self.beta_2)
        step = tf.cast(self.iterations + 1, tf.float32)
        rate = tf.cast(learning_rate, tf.float32) * tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        self.assign(momenta, tf.IndexedSlices(momentum, rows))
        self.assign(velocities, tf.IndexedSlices(velocity, rows))
        self.assign_sub(variable, tf.IndexedSlices(rate * momentum / (tf.sqrt(velocity) + self.epsilon), rows))


def _merge_duplicate_rows(gradient: Any) -> Any:
    """Returns a gradient with unique rows; gradients of rows that several replicas use are added."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    return tf.IndexedSlices(tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows)), rows)
