"""Exact ranking of all items of the catalogue, without the items that are not recommended to a user."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import tensorflow as tf

from components import features
from components.ranking_metrics import MISS, NAMES, values_of
from components.trainer.encoders import FORBIDDEN
from components.trainer.input_pipeline import ITEMS, Timelines
from components.trainer.item_tower import Tables
from components.trainer.model import RecommenderModel

State = TypeVar("State")

BATCH = 256  # users
BLOCK = 8192  # items; the scores of these items for one batch of users fit in a CPU cache
GAINS = (0.0, 1.0, 2.0, 4.0)  # candidates for `repeat_gain`; the eval split chooses
MANY = 32_768  # number of scores from which `two_stage_top_k` uses two stages, which are faster than TFLite's TOPK_V2
WIDTH = 128  # scores in a group of `two_stage_top_k`

progress = logging.getLogger("recommender.progress")


@dataclass(frozen=True)
class RankingMetrics:
    """Metrics of a split, as means over its users; each user has one target."""

    recall_at_10: float
    ndcg_at_10: float


def evaluate(model: RecommenderModel, timelines: Timelines, repeat_gain: float | None = None) -> RankingMetrics:
    """Returns Recall@10 and NDCG@10 of a model; `target_ranks` describes the arguments."""
    ranks = target_ranks(model, timelines, repeat_gain)
    means = values_of(np.where(ranks < model.size, ranks, MISS)).mean(axis=0)
    metrics = dict(zip(NAMES, means.tolist(), strict=True))
    return RankingMetrics(metrics["recall_at_10"], metrics["ndcg_at_10"])


def best_gain(model: RecommenderModel, holdout: Timelines) -> tuple[float, float]:
    """Returns the `repeat_gain` with the best Recall@10 on the eval split, and this Recall@10.

    If several gains are equally good, it is the smallest one.
    """
    recalls = {gain: evaluate(model, holdout, gain).recall_at_10 for gain in GAINS}
    best = max(GAINS, key=lambda gain: recalls[gain])
    values = best, recalls[best], recalls[0.0]
    progress.info("trainer.repeat_gain %g is the best: eval Recall@10 %.4f, with a gain of 0 %.4f", *values)
    return best, recalls[best]


def target_ranks(model: RecommenderModel, timelines: Timelines, repeat_gain: float | None = None) -> np.ndarray:
    """Returns the rank of each user's target, from 0; int64 [U].

    The items of the timeline are excluded unless the model recommends repeats. The rank is V if the target is unknown
    or excluded. The memory for scores does not grow with the number of users or items.

    Args:
        model: the model that ranks the items.
        timelines: timelines with one target each.
        repeat_gain: gain to use; None: the `repeat_gain` of the model's settings.
    """
    ranks_of = _make_ranker(model)
    gain = tf.constant((model.settings.repeat_gain or 0.0) if repeat_gain is None else repeat_gain)
    tables = model.tables()
    ranks = np.empty(len(timelines), np.int64)
    for first in range(0, len(timelines), BATCH):
        last = min(first + BATCH, len(timelines))
        starts = timelines.starts[first : last + 1]
        seen = tf.RaggedTensor.from_row_splits(timelines.items[starts[0] : starts[-1]], starts - starts[0])
        histories = timelines.histories(slice(first, last), model.history_length)
        ranks[first:last] = ranks_of(tables, histories, seen.to_tensor(), timelines.targets[first:last], gain)
    return ranks


@functools.lru_cache(maxsize=1)  # Trace once, not in every epoch.
def _make_ranker(model: RecommenderModel) -> tf.types.experimental.PolymorphicFunction:
    """Returns a compiled function: tables, histories, seen items [B, T], targets [B], gain -> ranks, int32 [B]."""

    @tf.function(reduce_retracing=True, autograph=False)
    def ranks_of(
        tables: Tables, histories: dict[str, tf.Tensor], seen: tf.Tensor, targets: tf.Tensor, gain: tf.Tensor
    ) -> tf.Tensor:
        contexts, length = model.read_out(histories, tables.embed)

        def score(first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
            scores = tf.matmul(contexts, tables.labels[first:last], transpose_b=True)
            # Users without a history get the most popular items; the vocabulary is sorted by popularity.
            by_popularity = -tf.cast(tf.range(first, last), tf.float32) / model.size
            return tf.where(length[:, None] > 0, scores, by_popularity)

        if model.settings.recommends_seen:
            return ItemScores(score, model.size, seen[:, :0], histories[ITEMS], gain).ranks(targets)
        return ItemScores(score, model.size, seen).ranks(targets)

    return ranks_of


class ItemScores:
    """The scores of all items that may be recommended to each user of a batch.

    Args:
        score: returns the scores of the items from `first` to before `last`, both int32 []: float32 [B, last - first].
        size: number of item indices V.
        excluded: int32 [B, T], the items that are not recommended to each user, and PADDING.
        repeated: int32 [B, N], the items of each history and PADDING, to whose scores `gain` is added; None: no gain.
        gain: float32 [].
    """

    def __init__(
        self,
        score: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        size: int,
        excluded: tf.Tensor,
        repeated: tf.Tensor | None = None,
        gain: tf.Tensor | float = 0.0,
    ):
        self._score = score
        self._size = size
        reserved = tf.tile([[features.PADDING, features.UNKNOWN]], [tf.shape(excluded)[0], 1])
        self._excluded = tf.concat([excluded, reserved], axis=1)
        self._repeated, self._gain = repeated, gain

    def ranks(self, targets: tf.Tensor) -> tf.Tensor:
        """Returns the rank of each user's target, from 0: int32 [B] -> int32 [B]; V for an unknown or excluded target.

        Items with equal scores rank in the order of their indices.
        """

        def find_score(first: tf.Tensor, scores: tf.Tensor, current: tf.Tensor) -> tf.Tensor:
            places = targets - first
            inside = (places >= 0) & (places < tf.shape(scores)[1])
            return tf.where(inside, tf.gather(scores, tf.where(inside, places, 0), batch_dims=1), current)

        def count_better(first: tf.Tensor, scores: tf.Tensor, ahead: tf.Tensor) -> tf.Tensor:
            before = tf.range(tf.shape(scores)[1]) < (targets - first)[:, None]
            better = (scores > target_scores[:, None]) | (before & (scores == target_scores[:, None]))
            return ahead + tf.math.count_nonzero(better, axis=1, dtype=tf.int32)

        # A first pass over the blocks finds the targets' scores: another kernel could round them differently.
        target_scores = self._reduce(find_score, tf.fill(tf.shape(targets), FORBIDDEN))
        ahead = self._reduce(count_better, tf.zeros_like(targets))
        return tf.where(target_scores > FORBIDDEN / 2, ahead, self._size)

    def best(self, length: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the `length` items with the highest scores for each user.

        Returns:
            Scores, float32 [B, length], FORBIDDEN if fewer items remain; and item indices, int32 [B, length].
        """

        def merge(
            first: tf.Tensor, scores: tf.Tensor, best: tuple[tf.Tensor, tf.Tensor]
        ) -> tuple[tf.Tensor, tf.Tensor]:
            block_scores, places = tf.math.top_k(scores, tf.minimum(length, tf.shape(scores)[1]))
            # Earlier blocks come first, so that items with equal scores keep their order.
            all_scores = tf.concat([best[0], block_scores], axis=1)
            items = tf.concat([best[1], places + first], axis=1)
            best_scores, places = tf.math.top_k(all_scores, length)
            return best_scores, tf.gather(items, places, batch_dims=1)

        shape = [tf.shape(self._excluded)[0], length]
        return self._reduce(merge, (tf.fill(shape, FORBIDDEN), tf.fill(shape, features.PADDING)))

    def _reduce(self, step: Callable[[tf.Tensor, tf.Tensor, State], State], state: State) -> State:
        """Reduces the blocks with `step`, which takes a block's first index, its scores and the current state."""

        def body(first: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
            return first + BLOCK, step(first, self._block(first), state)

        # By default, TensorFlow would compute several blocks in parallel and keep all of them in memory.
        initial = (tf.constant(0), state)
        return tf.while_loop(lambda first, _: first < self._size, body, initial, parallel_iterations=1)[1]

    def _block(self, first: tf.Tensor) -> tf.Tensor:
        """Returns the scores of a block, float32 [B, items], FORBIDDEN for excluded items."""
        last = tf.minimum(first + BLOCK, self._size)
        scores = self._score(first, last)
        if self._repeated is not None:
            places = _places(self._repeated, first, last)
            scores = tf.tensor_scatter_nd_update(scores, places, tf.gather_nd(scores, places) + self._gain)
        places = _places(self._excluded, first, last)
        return tf.tensor_scatter_nd_update(scores, places, tf.fill(tf.shape(places)[:1], FORBIDDEN))


def _places(items: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Returns the rows and columns, int64 [E, 2], of items [B, T] in the block from `first` to before `last`."""
    inside = tf.where((items >= first) & (items < last))
    columns = tf.cast(tf.gather_nd(items, inside) - first, tf.int64)
    return tf.stack([inside[:, 0], columns], axis=1)


def two_stage_top_k(scores: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the same as `tf.math.top_k`, in the same order: float32 [1, V] -> float32 and int32 [1, length].

    For many scores, the first stage selects the `length` groups with the highest maxima, and the second stage selects
    the best of their scores. No other group is needed: each of the `length` selected groups has a score that is at
    least as high. TFLite and TensorFlow prefer the first of equal scores, in both stages.
    """
    size = scores.shape[1]
    if size < max(MANY, 4 * WIDTH * length):
        return tf.math.top_k(scores, length)
    groups = tf.reshape(tf.pad(scores, [[0, 0], [0, -size % WIDTH]], constant_values=2 * FORBIDDEN), [-1, WIDTH])
    _, chosen = tf.math.top_k(tf.reduce_max(groups, axis=1), length)
    # Sorts the groups by index, so that equal scores stay in the order of their indices.
    chosen = -tf.math.top_k(-chosen, length)[0]
    best, places = tf.math.top_k(tf.reshape(tf.gather(groups, chosen), [1, -1]), length)
    indices = tf.expand_dims(chosen, 1) * WIDTH + tf.range(WIDTH)
    return best, tf.gather(tf.reshape(indices, [-1]), places)
