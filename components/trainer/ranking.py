"""Ranks the whole catalogue for the users of a split, without items that are never recommended to them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components.trainer.blocks import UnseenScores
from components.trainer.input_pipeline import Timelines
from components.trainer.item_tower import Tables
from components.trainer.model import Recommender

BATCH = 256


@dataclass(frozen=True)
class RankingMetrics:
    """Means over the users of a split; each user has one target."""

    recall_at_10: float
    ndcg_at_10: float


def evaluate(model: Recommender, timelines: Timelines) -> RankingMetrics:
    """Recall@10 and NDCG@10 of a model; a target that the vocabulary lacks is a miss."""
    ranks = target_ranks(model, timelines)
    hits = ranks < 10
    gains = np.where(hits, 1 / np.log2(ranks + 2), 0.0)
    return RankingMetrics(float(hits.mean()), float(gains.mean()))


def target_ranks(model: Recommender, timelines: Timelines) -> np.ndarray:
    """Returns the rank of each user's target, from 0; int64 [U].

    The items of the timeline are left out where the model does not recommend repeats. The rank is V where the target is
    unknown or left out. Memory does not grow with users or items.
    """
    ranks_of = _make_ranker(model)
    tables = model.tables()
    ranks = np.empty(len(timelines), np.int64)
    for first in range(0, len(timelines), BATCH):
        last = min(first + BATCH, len(timelines))
        starts = timelines.starts[first : last + 1]
        seen = tf.RaggedTensor.from_row_splits(timelines.items[starts[0] : starts[-1]], starts - starts[0])
        histories = timelines.histories[first:last].tensors()
        ranks[first:last] = ranks_of(tables, histories, seen.to_tensor(), tf.constant(timelines.targets[first:last]))
    return ranks


@functools.lru_cache(maxsize=1)  # Traced once, not once an epoch.
def _make_ranker(model: Recommender) -> tf.types.experimental.PolymorphicFunction:
    """A compiled function: tables, histories, items seen int32 [B, T], targets int32 [B] -> ranks int32 [B]."""

    @tf.function(reduce_retracing=True)
    def ranks_of(tables: Tables, histories: dict[str, tf.Tensor], seen: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        contexts, length = model.read_out(histories, tables)

        def scores_of(first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
            scores = tf.matmul(contexts, tables.labels[first:last], transpose_b=True)
            # The vocabulary is in order of popularity.
            by_popularity = -tf.cast(tf.range(first, last), tf.float32) / tables.size
            return tf.where(length[:, None] > 0, scores, by_popularity)

        unwanted = seen[:, :0] if model.settings.recommends_seen else seen
        return UnseenScores(scores_of, tables.size, unwanted).ranks(targets)

    return ranks_of
