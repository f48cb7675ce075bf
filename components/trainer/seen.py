"""What a user had before is never recommended, so it need not compete with what came next in training either."""

from __future__ import annotations

import tensorflow as tf


class Seen:
    """The items up to each position of windows.

    Args:
        items: int32 [B, L], item indices, then PADDING.
    """

    def __init__(self, items: tf.Tensor):
        self._items = items
        self._positions = tf.range(tf.shape(items)[1])

    def among(self, candidates: tf.Tensor) -> tf.Tensor:
        """Which of int32 [S] candidates stand at a position or before it: bool [B * L, S], one row a position."""
        never = tf.shape(self._items)[1]
        same = self._items[:, :, None] == candidates[None, None, :]
        first = tf.reduce_min(tf.where(same, self._positions[None, :, None], never), axis=1)
        seen = first[:, None, :] <= self._positions[None, :, None]
        return tf.reshape(seen, [-1, tf.shape(candidates)[0]])

    def has(self, targets: tf.Tensor) -> tf.Tensor:
        """Whether each position's target, int32 [B, L], stands there or before: bool [B, L]."""
        same = self._items[:, None, :] == targets[:, :, None]
        return tf.reduce_any(same & (self._positions[None, :] <= self._positions[:, None]), axis=2)
