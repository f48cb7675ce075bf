"""Ranks the whole catalogue for the users of a split, with what they have seen filtered out."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components import features
from components.trainer.input_pipeline import Timelines
from components.trainer.masking import FORBIDDEN
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
    """Rank of each user's target among the items not in the timeline, from 0; int64 [U].

    V where the target is unknown or was seen before.
    """
    scores_of = make_scorer(model)
    ranks = np.empty(len(timelines), np.int64)
    for first in range(0, len(timelines), BATCH):
        last = min(first + BATCH, len(timelines))
        scores = scores_of(timelines.histories[first:last].tensors()).numpy()
        starts = timelines.starts[first : last + 1]
        rows = np.repeat(np.arange(last - first), np.diff(starts))
        scores[rows, timelines.items[starts[0] : starts[-1]]] = FORBIDDEN
        scores[:, : features.FIRST_INDEX] = FORBIDDEN
        targets = timelines.targets[first:last]
        own = scores[np.arange(last - first), targets]
        # Items of equal score stand in the order in which the model lists them.
        tied = (scores == own[:, None]) & (np.arange(scores.shape[1]) < targets[:, None])
        rank = ((scores > own[:, None]) | tied).sum(axis=1)
        ranks[first:last] = np.where(own > FORBIDDEN, rank, scores.shape[1])
    return ranks


@functools.lru_cache(maxsize=1)  # Traced once, not once an epoch.
def make_scorer(model: Recommender) -> tf.types.experimental.PolymorphicFunction:
    """A compiled function: histories -> scores float32 [B, V]; by popularity where a history is empty."""

    @tf.function(reduce_retracing=True)
    def scores_of(histories: dict[str, tf.Tensor]) -> tf.Tensor:
        tables = model.tables()
        table = tables.labels
        contexts, length = model.read_out(histories, tables)
        scores = tf.matmul(contexts, table, transpose_b=True)
        # The vocabulary is in order of popularity.
        by_popularity = -tf.range(table.shape[0], dtype=tf.float32) / table.shape[0]
        return tf.where(length[:, None] > 0, scores, by_popularity)

    return scores_of
