"""The best of many scores on a device, exactly and fast."""

from __future__ import annotations

import tensorflow as tf

from components.trainer.masking import FORBIDDEN

MANY = 32_768  # scores; for fewer TFLite's TOPK_V2 alone is as fast
WIDTH = 128  # scores in a group


def best_of(scores: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """What `tf.math.top_k` gives, in the same order: float32 [1, V] -> float32 and int32 [1, length].

    Of many scores the best are found in two stages: the groups with the highest maxima, as many as are wanted, and the
    best of their scores. No other group can hold one of these, for each of those chosen has one that is at least as
    good; of equal ones TFLite and TensorFlow take the earlier, in both stages.
    """
    size = scores.shape[1]
    if size < max(MANY, 4 * WIDTH * length):
        return tf.math.top_k(scores, length)
    groups = tf.reshape(tf.pad(scores, [[0, 0], [0, -size % WIDTH]], constant_values=2 * FORBIDDEN), [-1, WIDTH])
    _, chosen = tf.math.top_k(tf.reduce_max(groups, axis=1), length)
    # In the order of the catalogue again, by which equal scores are ordered.
    chosen = -tf.math.top_k(-chosen, length)[0]
    best, places = tf.math.top_k(tf.reshape(tf.gather(groups, chosen), [1, -1]), length)
    return best, tf.gather(chosen, places // WIDTH) * WIDTH + places % WIDTH
