"""Groups interactions into timelines and splits them. Data is stored in columns; a user is a range of rows."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.example_gen.settings import ExampleGenSettings
from components.features import ALL, EVAL, SPLITS, TEST, TRAIN
from data.dataset import ACTIVITY, EVENT
from data.interactions import Interactions

NUMBERS = ("rating", "timestamp", "position", "weight")  # columns of each interaction
NO_TARGET = -1
TARGETS_SEED = 1


@dataclass(frozen=True)
class Ratings:
    """Columns of `R` interactions, in any order.

    Attributes:
        user: int32 [R], indices into `users`.
        users: `pa.string()` [U], sorted ids.
        item: int32 [R], indices into `items`.
        items: `pa.string()` [I], sorted ids.
        rating: float32 [R].
        timestamp: int64 [R], nanoseconds since 1970-01-01 UTC.
        position: int64 [R], order in the log.
        weight: float32 [R], the weight of the interaction as a target; 0 if it cannot be a target.
        activity: other columns of the log, each with `R` words or numbers, as in `Interactions`.
    """

    user: np.ndarray
    users: pa.Array
    item: np.ndarray
    items: pa.Array
    rating: np.ndarray
    timestamp: np.ndarray
    position: np.ndarray
    weight: np.ndarray
    activity: pa.Table

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: np.ndarray) -> Ratings:
        """Returns the interactions of the given rows, in their order."""
        columns = (self.user[rows], self.users, self.item[rows], self.items)
        numbers = (self.rating[rows], self.timestamp[rows], self.position[rows], self.weight[rows])
        return Ratings(*columns, *numbers, activity=self.activity.take(pa.array(rows)))

    def to_table(self) -> pa.Table:
        """Returns a table with the columns of `as_table`."""
        columns = {
            "user": self.users.take(pa.array(self.user)),
            "item": self.items.take(pa.array(self.item)),
            **{name: getattr(self, name) for name in NUMBERS},
            **dict(zip(self.activity.column_names, self.activity.columns, strict=True)),
        }
        return pa.table(columns)

    @staticmethod
    def from_table(table: pa.Table) -> Ratings:
        """Returns the interactions of a table made by `as_table` or `to_table`."""
        user, users = _numbered(table["user"])
        item, items = _numbered(table["item"])
        numbers = {name: table[name].to_numpy() for name in NUMBERS}
        activity = table.select([name for name in table.column_names if name.startswith(ACTIVITY)])
        return Ratings(user, users, item, items, **numbers, activity=activity)


def as_table(chunk: Interactions, settings: ExampleGenSettings, by_rows: bool = False) -> pa.Table:
    """Returns a table of the interactions whose kinds the settings use.

    Args:
        chunk: interactions as they were read, with their kinds if the settings name kinds.
        settings: the kinds to use, and their weights.
        by_rows: whether to use the order of the rows as time.

    Returns:
        `user` and `item`, text; `NUMBERS`, see `Ratings`; and the activity features, with the prefix `ACTIVITY`.
    """
    columns = {
        **dict(zip(chunk.table.column_names, chunk.table.columns, strict=True)),
        **{name: chunk.table[name].cast(pa.string()) for name in ("user", "item")},
        "timestamp": chunk.table["position" if by_rows else "timestamp"],
        "weight": np.ones(len(chunk), np.float32),
    }
    event = columns.pop(EVENT, None)
    if not settings.events and not settings.targets:
        return pa.table(columns)
    kinds = event.combine_chunks().dictionary_encode()
    names = kinds.dictionary.to_pylist()
    is_used = np.array([not settings.events or name in settings.events for name in names], bool)
    is_target = [not settings.targets or name in settings.targets for name in names]
    weights = [settings.events.get(name, 1.0) * target for name, target in zip(names, is_target, strict=True)]
    codes = kinds.indices.to_numpy()
    columns["weight"] = np.array(weights, np.float32)[codes]
    return pa.table(columns).filter(pa.array(is_used[codes]))


def _numbered(ids: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Returns indices, int32 [R], into the distinct ids, and these ids, sorted."""
    encoded = ids.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order))


@dataclass(frozen=True)
class Rows:
    """`N` examples of one split, as rows of timelines.

    Attributes:
        start: int64 [N], first row of the timeline.
        stop: int64 [N], the row after the last.
        target: int64 [N], row of the target; `NO_TARGET` in the splits `train` and `all`.
    """

    start: np.ndarray
    stop: np.ndarray
    target: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def pieces(self, most: int) -> Iterator[Rows]:
        """Yields pieces of at least one row, whose timelines have at most about `most` ratings in total."""
        ratings = np.cumsum(self.stop - self.start)
        first = 0
        while first < len(self):
            before = ratings[first - 1] if first else 0
            last = max(int(np.searchsorted(ratings, before + most, side="right")), first + 1)
            yield Rows(self.start[first:last], self.stop[first:last], self.target[first:last])
            first = last


def group(ratings: Ratings) -> Ratings:
    """Returns the timelines of all users, one after another: ratings in the order of (timestamp, position in the log).

    Of exact duplicates (same user, item, rating, timestamp and weight), only the first is kept. A view and a purchase
    with different weights are no duplicates; with the same timestamp, they stay in the order of the log.
    """
    user = ratings.user
    keys = (ratings.weight, ratings.rating, ratings.item, ratings.timestamp, user)
    order = np.lexsort((ratings.position, *keys))
    is_duplicate = np.zeros(len(order), bool)
    if len(order):
        ordered = [key[order] for key in keys]
        is_duplicate[1:] = np.logical_and.reduce([key[1:] == key[:-1] for key in ordered])
    kept = order[~is_duplicate]
    return ratings.take(kept[np.lexsort((ratings.position[kept], ratings.timestamp[kept], user[kept]))])


def bounds_of(timelines: Ratings) -> np.ndarray:
    """Returns int64 [U + 1]: user `u` has the rows from `bounds[u]` to before `bounds[u + 1]`."""
    return np.append(np.flatnonzero(np.diff(timelines.user, prepend=-1)), len(timelines))


def split_rows(
    timelines: Ratings, settings: ExampleGenSettings, cuts: tuple[int, int] | None = None, with_all: bool = False
) -> dict[str, Rows]:
    """Splits timelines by time.

    Args:
        timelines: complete timelines.
        settings: settings of ExampleGen.
        cuts: the times at which the eval and the test period start; unused for `leave_one_out`.
        with_all: whether to fill the split of complete timelines.

    Returns:
        The rows of all splits. Users with fewer than `min_interactions` interactions have no rows.
    """
    timestamp, user = timelines.timestamp, timelines.user
    is_target = timelines.weight > 0
    rows: dict[str, list[tuple[int, int, int]]] = {split: [] for split in (*SPLITS, ALL)}
    for start, stop in itertools.pairwise(bounds_of(timelines).tolist()):
        if stop - start < settings.min_interactions:
            continue
        if with_all:
            rows[ALL].append((start, stop, NO_TARGET))
        if settings.split == "leave_one_out":
            targets = start + np.flatnonzero(is_target[start:stop])
            # The last two targets are held out, unless the first row is one of them.
            held_out = targets[-2:].tolist() if len(targets) >= 2 and targets[-2] > start else []
            rows[TRAIN].append((start, held_out[0] if held_out else stop, NO_TARGET))
            for split, target in zip((EVAL, TEST), held_out, strict=False):
                rows[split].append((start, target, target))
            continue
        assert cuts is not None
        bounds = [start + int(np.searchsorted(timestamp[start:stop], cut)) for cut in cuts]
        if settings.split == "sessions":  # A session belongs entirely to the period of its last interaction.
            bounds = [start if bound < stop else stop for bound in bounds]
        if bounds[0] - start >= settings.min_interactions:
            rows[TRAIN].append((start, bounds[0], NO_TARGET))
        for split, first, last in ((EVAL, bounds[0], bounds[1]), (TEST, bounds[1], stop)):
            if last - start < settings.min_interactions:
                continue
            targets = np.arange(first + (settings.split == "sessions"), last)
            targets = targets[is_target[targets]]
            if settings.split == "temporal" and settings.temporal_targets == "first":
                targets = targets[:1]
            max_targets = settings.max_targets_per_user
            if max_targets is not None and len(targets) > max_targets:
                id_ = timelines.users[int(user[start])].as_py()
                random = np.random.default_rng([zlib.crc32(id_.encode()), TARGETS_SEED])
                targets = np.sort(random.choice(targets, max_targets, replace=False))
            rows[split] += [(start, target, target) for target in targets.tolist()]
    return {split: Rows(*np.array(triples, np.int64).reshape(-1, 3).T) for split, triples in rows.items()}


def repeats(timelines: Ratings) -> np.ndarray:
    """Returns for each interaction whether it repeats an earlier item of its user, bool [R]."""
    return _after_the_first(timelines, np.zeros(len(timelines), bool))


def without_repeats(timelines: Ratings) -> Ratings:
    """Returns timelines with each item once: as the first interaction that can be a target, or else as the first."""
    return timelines.take(np.flatnonzero(~_after_the_first(timelines, timelines.weight == 0)))


def _after_the_first(ratings: Ratings, later: np.ndarray) -> np.ndarray:
    """Returns which interactions are not the first of their user with their item: bool [R].

    Args:
        ratings: ratings in the order of timelines.
        later: bool [R], which interactions count as later than all others.
    """
    order = np.lexsort((later, ratings.item, ratings.user))  # A stable sort.
    same = [column[order][1:] == column[order][:-1] for column in (ratings.user, ratings.item)]
    is_repeat = np.zeros(len(ratings), bool)
    is_repeat[order[1:]] = np.logical_and(*same)
    return is_repeat


def temporal_cuts(timestamps: np.ndarray, weights: np.ndarray, settings: ExampleGenSettings) -> tuple[int, int]:
    """Returns the times at which the eval and the test period start.

    Args:
        timestamps: int64 [S], in any order.
        weights: int64 [S], number of ratings that each timestamp represents.
        settings: the share of ratings in each period.
    """
    order = np.argsort(timestamps, kind="stable")
    cumulative = np.cumsum(weights[order])
    shares = np.array([1 - settings.eval_fraction - settings.test_fraction, 1 - settings.test_fraction])
    eval_start, test_start = timestamps[order][np.searchsorted(cumulative, shares * cumulative[-1], side="right")]
    return int(eval_start), int(test_start)


def summarise_times(timestamps: np.ndarray, points: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Returns at most `points` times that represent all times, and the number of ratings for each; both int64."""
    ordered = np.sort(timestamps)
    edges = np.linspace(0, len(ordered), min(points, len(ordered)) + 1).astype(np.int64)
    return ordered[edges[:-1]], np.diff(edges)


def popularity_buckets(counts: np.ndarray) -> np.ndarray:
    """Returns the popularity bucket of each item.

    The items are sorted by their number of train events, most popular first. Each bucket has about a third of all train
    events; an item at a boundary belongs to the bucket in which its events start.

    Args:
        counts: int64 [I], number of train events of each item, all positive.

    Returns:
        int64 [I], indices into `features.POPULARITY_BUCKETS`: 0 head, 1 middle, 2 tail.
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    buckets = np.empty(len(counts), np.int64)
    buckets[order] = np.minimum(3 * before // max(int(counts.sum()), 1), 2)
    return buckets
