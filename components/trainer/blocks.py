"""Exact answers over a whole catalogue, a block of items at a time: memory does not grow with the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from components import features
from components.trainer.masking import FORBIDDEN

State = TypeVar("State")

BLOCK = 8192  # items; with a few hundred users its scores stay in a processor's cache


class UnseenScores:
    """Scores of all items that each user of a batch has not seen.

    Args:
        scores_of: scores of the items from one index to before another, int32 [] each: float32 [B, last - first].
        size: number of item indices V.
        seen: int32 [B, T], what each user has seen, and PADDING.
    """

    def __init__(self, scores_of: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], size: int, seen: tf.Tensor):
        self._scores_of = scores_of
        self._size = size
        no_items = tf.tile([[features.PADDING, features.UNKNOWN]], [tf.shape(seen)[0], 1])
        self._seen = tf.concat([seen, no_items], axis=1)

    def ranks(self, targets: tf.Tensor) -> tf.Tensor:
        """Where each user's target stands, int32 [B] -> int32 [B] from 0; V where it is no item or was seen.

        Items of equal score stand in the order of their indices.
        """

        def find(first: tf.Tensor, scores: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
            places = targets - first
            inside = (places >= 0) & (places < tf.shape(scores)[1])
            return tf.where(inside, tf.gather(scores, tf.where(inside, places, 0), batch_dims=1), own)

        def count(first: tf.Tensor, scores: tf.Tensor, ahead: tf.Tensor) -> tf.Tensor:
            before = tf.range(tf.shape(scores)[1]) < (targets - first)[:, None]
            better = (scores > own[:, None]) | (before & (scores == own[:, None]))
            return ahead + tf.math.count_nonzero(better, axis=1, dtype=tf.int32)

        # A score of its own kernel could differ in the last bit from that of an equal item: so all blocks come twice.
        own = self._reduce(find, tf.fill(tf.shape(targets), FORBIDDEN))
        ahead = self._reduce(count, tf.zeros_like(targets))
        return tf.where(own > FORBIDDEN / 2, ahead, self._size)

    def best(self, length: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores, float32, and indices, int32, of the best items, [B, length] each; FORBIDDEN where none remains."""

        def merge(first: tf.Tensor, scores: tf.Tensor, best: tuple[tf.Tensor, tf.Tensor]) -> tuple:
            found, places = tf.math.top_k(scores, tf.minimum(length, tf.shape(scores)[1]))
            # The earlier stand before, so that items of equal score keep their order.
            of_both = tf.concat([best[0], found], axis=1)
            ids = tf.concat([best[1], places + first], axis=1)
            kept, places = tf.math.top_k(of_both, length)
            return kept, tf.gather(ids, places, batch_dims=1)

        shape = [tf.shape(self._seen)[0], length]
        return self._reduce(merge, (tf.fill(shape, FORBIDDEN), tf.fill(shape, features.PADDING)))

    def _reduce(self, step: Callable[[tf.Tensor, tf.Tensor, State], State], state: State) -> State:
        """Go through the blocks: `step` takes a block's first index, its scores, and what came of those before."""

        def body(first: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
            return first + BLOCK, step(first, self._block(first), state)

        # One at a time: TensorFlow would compute several beside each other, and hold them all.
        begin = (tf.constant(0), state)
        return tf.while_loop(lambda first, _: first < self._size, body, begin, parallel_iterations=1)[1]

    def _block(self, first: tf.Tensor) -> tf.Tensor:
        last = tf.minimum(first + BLOCK, self._size)
        scores = self._scores_of(first, last)
        inside = tf.where((self._seen >= first) & (self._seen < last))
        columns = tf.cast(tf.gather_nd(self._seen, inside) - first, tf.int64)
        places = tf.stack([inside[:, 0], columns], axis=1)
        return tf.tensor_scatter_nd_update(scores, places, tf.fill(tf.shape(columns), FORBIDDEN))
