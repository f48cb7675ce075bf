"""The list that the model is compared with: items by their number of train events, without what a user has seen."""

from __future__ import annotations

import tensorflow as tf

from components import features
from components.trainer.masking import NO_ITEM


class PopularityList:
    """The unseen items of each user of a batch in the order of the vocabulary, which is that of popularity.

    What it costs grows with the timelines, not with the catalogue.

    Args:
        size: number of item indices V.
        seen: int32 [B, T], what each user has seen, and PADDING.
    """

    def __init__(self, size: int, seen: tf.Tensor):
        self._size = size
        self._seen = seen

    def ranks(self, targets: tf.Tensor) -> tf.Tensor:
        """Where each user's target stands, int32 [B] -> int32 [B] from 0; V where it is no item or was seen."""
        ordered = tf.sort(tf.pad(self._seen, [[0, 0], [1, 0]], constant_values=features.UNKNOWN), axis=1)
        first_of_its_kind = (ordered[:, 1:] != ordered[:, :-1]) & (ordered[:, 1:] >= features.FIRST_INDEX)
        before = first_of_its_kind & (ordered[:, 1:] < targets[:, None])
        ranks = targets - features.FIRST_INDEX - tf.math.count_nonzero(before, axis=1, dtype=tf.int32)
        seen = tf.reduce_any(self._seen == targets[:, None], axis=1)
        return tf.where(seen | (targets < features.FIRST_INDEX), self._size, ranks)

    def best(self, length: int) -> tf.Tensor:
        """The first indices, int32 [B, length]; NO_ITEM where none remains."""
        # Whoever has seen T items has not seen all of the first T + length.
        reach = tf.minimum(tf.shape(self._seen)[1] + length + features.FIRST_INDEX, self._size)
        batch = tf.shape(self._seen)[0]
        within = tf.where(self._seen < reach)
        places = tf.stack([within[:, 0], tf.cast(tf.gather_nd(self._seen, within), tf.int64)], axis=1)
        order = tf.tile(tf.range(reach, 0, -1)[None, :], [batch, 1])
        order = tf.tensor_scatter_nd_update(order, places, tf.zeros(tf.shape(places)[:1], tf.int32))
        order *= tf.cast(tf.range(reach) >= features.FIRST_INDEX, tf.int32)
        found, ids = tf.math.top_k(order, length)
        return tf.where(found > 0, ids, NO_ITEM)
