"""Exact ranks and best items over the catalogue, without the items that a user is not recommended."""

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
from components.trainer.model import Recommender

State = TypeVar("State")

BATCH = 256  # users
BLOCK = 8192  # items; with a few hundred users its scores stay in a processor's cache
MANY = 32_768  # scores; for fewer TFLite's TOPK_V2 alone is as fast
GAINS = (0.0, 1.0, 2.0, 4.0)  # of items of the history, of which the eval split chooses
WIDTH = 128  # scores in a group

progress = logging.getLogger("recommender.progress")


@dataclass(frozen=True)
class RankingMetrics:
    """Means over the users of a split; each user has one target."""

    recall_at_10: float
    ndcg_at_10: float


def evaluate(model: Recommender, timelines: Timelines, repeat_gain: float | None = None) -> RankingMetrics:
    """Returns Recall@10 and NDCG@10 of a model; arguments are those of `target_ranks`."""
    ranks = target_ranks(model, timelines, repeat_gain)
    means = values_of(np.where(ranks < model.size, ranks, MISS)).mean(axis=0)
    metrics = dict(zip(NAMES, means.tolist(), strict=True))
    return RankingMetrics(metrics["recall_at_10"], metrics["ndcg_at_10"])


def best_gain(model: Recommender, holdout: Timelines) -> tuple[float, float]:
    """Returns the gain of items of the history with the best Recall@10 on the eval split, and that Recall@10.

    Of equal gains it is the smallest.
    """
    recalls = {gain: evaluate(model, holdout, gain).recall_at_10 for gain in GAINS}
    best = max(GAINS, key=lambda gain: recalls[gain])
    values = best, recalls[best], recalls[0.0]
    progress.info("items of the history gain %g in score: eval Recall@10 %.4f, without %.4f", *values)
    return best, recalls[best]


def target_ranks(model: Recommender, timelines: Timelines, repeat_gain: float | None = None) -> np.ndarray:
    """Returns the rank of each user's target, from 0; int64 [U].

    The items of the timeline are left out where the model does not recommend repeats. The rank is V where the target is
    unknown or left out. Memory does not grow with users or items.

    Args:
        model: ranks the items.
        timelines: with a target each.
        repeat_gain: takes the place of the model's own.
    """
    ranks_of = _make_ranker(model)
    gain = tf.constant((model.settings.repeat_gain or 0.0) if repeat_gain is None else repeat_gain)
    tables = model.tables()
    ranks = np.empty(len(timelines), np.int64)
    for first in range(0, len(timelines), BATCH):
        last = min(first + BATCH, len(timelines))
        starts = timelines.starts[first : last + 1]
        seen = tf.RaggedTensor.from_row_splits(timelines.items[starts[0] : starts[-1]], starts - starts[0])
        histories = timelines.histories(slice(first, last), model.history_length).tensors()
        ranks[first:last] = ranks_of(tables, histories, seen.to_tensor(), timelines.targets[first:last], gain)
    return ranks


@functools.lru_cache(maxsize=1)  # Traced once, not once an epoch.
def _make_ranker(model: Recommender) -> tf.types.experimental.PolymorphicFunction:
    """A compiled function: tables, histories, items seen int32 [B, T], targets int32 [B], gain -> ranks int32 [B]."""

    @tf.function(reduce_retracing=True)
    def ranks_of(
        tables: Tables, histories: dict[str, tf.Tensor], seen: tf.Tensor, targets: tf.Tensor, gain: tf.Tensor
    ) -> tf.Tensor:
        contexts, length = model.read_out(histories, tables)

        def scores_of(first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
            scores = tf.matmul(contexts, tables.labels[first:last], transpose_b=True)
            # The vocabulary is in order of popularity.
            by_popularity = -tf.cast(tf.range(first, last), tf.float32) / tables.size
            return tf.where(length[:, None] > 0, scores, by_popularity)

        if model.settings.recommends_seen:
            return ItemScores(scores_of, tables.size, seen[:, :0], histories[ITEMS], gain).ranks(targets)
        return ItemScores(scores_of, tables.size, seen).ranks(targets)

    return ranks_of


class ItemScores:
    """Scores of all items that may be recommended to each user of a batch.

    Args:
        scores_of: scores of the items from one index to before another, int32 [] each: float32 [B, last - first].
        size: number of item indices V.
        left_out: int32 [B, T], the items that are not recommended to each user, and PADDING.
        repeated: int32 [B, N], the items of each history and PADDING, whose scores rise by `gain`.
        gain: float32 [].
    """

    def __init__(
        self,
        scores_of: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        size: int,
        left_out: tf.Tensor,
        repeated: tf.Tensor | None = None,
        gain: tf.Tensor | float = 0.0,
    ):
        self._scores_of = scores_of
        self._size = size
        no_items = tf.tile([[features.PADDING, features.UNKNOWN]], [tf.shape(left_out)[0], 1])
        self._left_out = tf.concat([left_out, no_items], axis=1)
        self._repeated, self._gain = repeated, gain

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

        shape = [tf.shape(self._left_out)[0], length]
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
        if self._repeated is not None:
            places = _places(self._repeated, first, last)
            scores = tf.tensor_scatter_nd_update(scores, places, tf.gather_nd(scores, places) + self._gain)
        places = _places(self._left_out, first, last)
        return tf.tensor_scatter_nd_update(scores, places, tf.fill(tf.shape(places)[:1], FORBIDDEN))


def _places(items: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Returns the rows and columns, int64 [E, 2], of items [B, T] in a block of scores from one index to another."""
    inside = tf.where((items >= first) & (items < last))
    columns = tf.cast(tf.gather_nd(items, inside) - first, tf.int64)
    return tf.stack([inside[:, 0], columns], axis=1)


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
    indices = tf.expand_dims(chosen, 1) * WIDTH + tf.range(WIDTH)
    return best, tf.gather(tf.reshape(indices, [-1]), places)
