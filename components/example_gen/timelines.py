"""Ratings -> users' timelines -> splits. Columnar: a user is a range of rows, never an object per rating."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.example_gen.settings import ExampleGenSettings
from components.features import ALL, EVAL, TEST, TRAIN
from data.dataset import ACTIVITY
from data.readers import Interactions

TARGETS_SEED = 1


@dataclass(frozen=True)
class Ratings:
    """Columns of `R` interactions, in any order.

    Attributes:
        user: numbers of users in `users` [R].
        users: `pa.string()` [U], ids.
        item: numbers of items in `items` [R].
        items: `pa.string()` [I], ids.
        rating: float32 [R].
        timestamp: int64 [R], nanoseconds since 1970-01-01 UTC.
        position: int64 [R], order in the log.
        weight: float32 [R], how much the interaction counts as a target; 0 where it is none.
        activity: features of activities, a column each of `R` words or numbers, as `Interactions` has them.
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
        """Returns the interactions of some rows, in that order."""
        columns = (self.user[rows], self.users, self.item[rows], self.items)
        numbers = (self.rating[rows], self.timestamp[rows], self.position[rows], self.weight[rows])
        return Ratings(*columns, *numbers, activity=self.activity.take(pa.array(rows)))

    def to_table(self) -> pa.Table:
        """Returns the columns of `SCHEMA`, then the features of activities."""
        user, item = self.users.take(pa.array(self.user)), self.items.take(pa.array(self.item))
        table = pa.table([user, item, self.rating, self.timestamp, self.position, self.weight], SCHEMA)
        return _with_activity(table, dict(zip(self.activity.column_names, self.activity.columns, strict=True)))

    @staticmethod
    def from_table(table: pa.Table) -> Ratings:
        """Returns the interactions of a table as `to_table` makes it; users and items are numbered in order of ids."""
        user, users = _numbered(table["user"])
        item, items = _numbered(table["item"])
        rating, timestamp, position, weight = (table[name].to_numpy() for name in SCHEMA.names[2:])
        activity = table.select(table.column_names[len(SCHEMA) :])
        return Ratings(user, users, item, items, rating, timestamp, position, weight, activity)


# Interactions as they travel: the ids are of any length.
SCHEMA = pa.schema(
    [
        ("user", pa.string()),
        ("item", pa.string()),
        ("rating", pa.float32()),
        ("timestamp", pa.int64()),
        ("position", pa.int64()),
        ("weight", pa.float32()),
    ]
)


def _with_activity(table: pa.Table, activity: dict[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
    for name, values in activity.items():
        table = table.append_column(name, values)
    return table


def as_table(chunk: Interactions, settings: ExampleGenSettings, by_rows: bool = False) -> pa.Table:
    """Returns interactions as they were read, as `Ratings.to_table` does, without those of kinds that do not count.

    Args:
        chunk: with kinds where the settings name some.
        settings: which kinds count, and how much.
        by_rows: whether the order of the rows stands for the time.
    """
    columns = [chunk.user.cast(pa.string()), chunk.item.cast(pa.string()), chunk.rating]
    columns += [chunk.position if by_rows else chunk.timestamp, chunk.position]
    activity = {ACTIVITY + name: values for name, values in chunk.activity.items()}
    if not settings.events and not settings.targets:
        return _with_activity(pa.table([*columns, np.ones(len(chunk), np.float32)], SCHEMA), activity)
    kinds = pc.dictionary_encode(chunk.event)
    words = kinds.dictionary.to_pylist()
    counts = np.array([not settings.events or word in settings.events for word in words], bool)
    is_target = [not settings.targets or word in settings.targets for word in words]
    weights = [settings.events.get(word, 1.0) * target for word, target in zip(words, is_target, strict=True)]
    codes = kinds.indices.to_numpy()
    table = _with_activity(pa.table([*columns, np.array(weights, np.float32)[codes]], SCHEMA), activity)
    return table.filter(pa.array(counts[codes]))


def _numbered(ids: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Returns numbers [R], and the distinct ids in order that they are numbers of."""
    encoded = ids.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks() if encoded.num_chunks else pa.array([], pa.string()).dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order))


@dataclass(frozen=True)
class Timelines:
    """Users' timelines: ratings by user, oldest first, ties in file order.

    Attributes:
        ratings: the ratings of all users, one user after another.
        starts: int64 [U + 1]; user `u` has the rows from `starts[u]` to before `starts[u + 1]`.
        duplicates: number of exact repeats that were dropped.
    """

    ratings: Ratings
    starts: np.ndarray
    duplicates: int

    def users(self) -> Iterator[tuple[int, int]]:
        """First row and row after the last of every user."""
        return zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)


@dataclass(frozen=True)
class Row:
    """One example of a split: the timeline is the rows `start` to before `stop`.

    Attributes:
        split: `train`, `eval`, `test` or `all`.
        target: row of the item that came next; None in the splits `train` and `all`.
    """

    split: str
    start: int
    stop: int
    target: int | None = None


@dataclass(frozen=True)
class Rows:
    """Columns of `N` rows of one split.

    Attributes:
        start: int64 [N], as in `Row`.
        stop: int64 [N].
        target: int64 [N], -1 where there is none.
    """

    start: np.ndarray
    stop: np.ndarray
    target: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def pieces(self, most: int) -> Iterator[Rows]:
        """Cut into rows whose timelines have at most about `most` ratings together, one row at least."""
        ratings = np.cumsum(self.stop - self.start)
        first = 0
        while first < len(self):
            before = ratings[first - 1] if first else 0
            last = max(int(np.searchsorted(ratings, before + most, side="right")), first + 1)
            yield Rows(self.start[first:last], self.stop[first:last], self.target[first:last])
            first = last


def by_split(rows: Iterable[Row]) -> dict[str, Rows]:
    """Rows in columns, those of each split together."""
    found: dict[str, list[tuple[int, int, int]]] = {}
    for row in rows:
        found.setdefault(row.split, []).append((row.start, row.stop, -1 if row.target is None else row.target))
    return {split: Rows(*np.array(columns, np.int64).T) for split, columns in found.items()}


def group(ratings: Ratings) -> Timelines:
    """Group ratings by user, in order of (timestamp, position in the file).

    Exact repeats (same user, item, rating and timestamp) are dropped, the first of them stays.
    """
    user, item = ratings.user, ratings.item
    order = np.lexsort((ratings.position, ratings.rating, item, ratings.timestamp, user))
    keys = (user[order], item[order], ratings.rating[order], ratings.timestamp[order])
    repeated = np.zeros(len(order), bool)
    if len(order):
        repeated[1:] = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    kept = order[~repeated]
    kept = kept[np.lexsort((ratings.position[kept], ratings.timestamp[kept], user[kept]))]
    starts = np.flatnonzero(np.diff(user[kept], prepend=-1))
    return Timelines(ratings.take(kept), np.append(starts, len(kept)).astype(np.int64), int(repeated.sum()))


def split_rows(
    timelines: Timelines, settings: ExampleGenSettings, cuts: tuple[int, int] | None = None, with_all: bool = False
) -> Iterator[Row]:
    """Split timelines by time.

    Args:
        timelines: of whole users.
        settings: which split.
        cuts: not for `leave_one_out`: the times at which the eval and the test period start.
        with_all: whether there is also a split of complete timelines.

    Yields:
        The rows of all splits. Users with fewer than `min_interactions` interactions have none.
    """
    timestamp, user = timelines.ratings.timestamp, timelines.ratings.user
    is_target = timelines.ratings.weight > 0
    for start, stop in timelines.users():
        if stop - start < settings.min_interactions:
            continue
        if with_all:
            yield Row(ALL, start, stop)
        if settings.split == "leave_one_out":
            yield from _last_two_held_out(start, stop, start + np.flatnonzero(is_target[start:stop]))
            continue
        assert cuts is not None
        bounds = [start + int(np.searchsorted(timestamp[start:stop], cut)) for cut in cuts]
        if settings.split == "sessions":  # All of it lies in the period of its last interaction.
            bounds = [start if bound < stop else stop for bound in bounds]
        if bounds[0] - start >= settings.min_interactions:
            yield Row(TRAIN, start, bounds[0])
        for split, first, last in ((EVAL, bounds[0], bounds[1]), (TEST, bounds[1], stop)):
            if last - start < settings.min_interactions:
                continue
            targets = np.arange(first + (settings.split == "sessions"), last)
            targets = targets[is_target[targets]]
            if settings.split == "temporal" and settings.temporal_targets == "first":
                targets = targets[:1]
            most = settings.max_targets_per_user
            if most is not None and len(targets) > most:
                id_ = timelines.ratings.users[int(user[start])].as_py()
                random = np.random.default_rng([zlib.crc32(id_.encode()), TARGETS_SEED])
                targets = np.sort(random.choice(targets, most, replace=False))
            yield from (Row(split, start, target, target) for target in targets.tolist())


def _last_two_held_out(start: int, stop: int, targets: np.ndarray) -> Iterator[Row]:
    """Yields the rows of a user for `leave_one_out`; with fewer than two targets after the first, none is held out."""
    if len(targets) < 2 or targets[-2] == start:
        yield Row(TRAIN, start, stop)
        return
    before_last, last = targets[-2:].tolist()
    yield Row(TRAIN, start, before_last)
    yield Row(EVAL, start, before_last, before_last)
    yield Row(TEST, start, last, last)


def repeats(timelines: Timelines) -> np.ndarray:
    """Returns which interactions are of an item that their user had before: bool [R]."""
    return _after_the_first(timelines.ratings, np.zeros(len(timelines.ratings), bool))


def without_repeats(timelines: Timelines) -> Timelines:
    """Returns timelines in which each item stands once: the first time as a target, or else the first time at all."""
    ratings = timelines.ratings
    kept = ~_after_the_first(ratings, ratings.weight == 0)
    starts = np.concatenate([[0], np.cumsum(kept)])[timelines.starts]
    return Timelines(ratings.take(np.flatnonzero(kept)), starts, timelines.duplicates)


def _after_the_first(ratings: Ratings, later: np.ndarray) -> np.ndarray:
    """Returns which interactions are not the first of their user with their item: bool [R].

    Args:
        ratings: in the order of timelines.
        later: bool [R], which of them count as later than all others.
    """
    order = np.lexsort((later, ratings.item, ratings.user))  # Stable: the earlier of a pair stands first.
    same = [column[order][1:] == column[order][:-1] for column in (ratings.user, ratings.item)]
    repeated = np.zeros(len(ratings), bool)
    repeated[order[1:]] = np.logical_and(*same)
    return repeated


def temporal_cuts(timestamps: np.ndarray, weights: np.ndarray, settings: ExampleGenSettings) -> tuple[int, int]:
    """When the eval and the test period start.

    Args:
        timestamps: int64 [S], any order.
        weights: int64 [S], how many ratings each stands for.
        settings: the share of ratings in each period.
    """
    order = np.argsort(timestamps, kind="stable")
    reached = np.cumsum(weights[order])
    total = reached[-1]
    shares = (1 - settings.eval_fraction - settings.test_fraction, 1 - settings.test_fraction)
    first, second = (int(timestamps[order][np.searchsorted(reached, share * total, side="right")]) for share in shares)
    return first, second


def summarise_times(timestamps: np.ndarray, points: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """At most `points` times that stand for all, with the number of ratings that each stands for (both int64)."""
    ordered = np.sort(timestamps)
    edges = np.linspace(0, len(ordered), min(points, len(ordered)) + 1).astype(np.int64)
    return ordered[edges[:-1]], np.diff(edges)


def popularity_buckets(counts: np.ndarray) -> np.ndarray:
    """Which third of all train events each item belongs to, items taken from the most to the least popular.

    Args:
        counts: int64 [I], train events of each item, all positive.

    Returns:
        int64 [I]: 0 head, 1 middle, 2 tail (indices into `features.POPULARITY_BUCKETS`).
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    buckets = np.empty(len(counts), np.int64)
    buckets[order] = np.minimum(3 * before // max(int(counts.sum()), 1), 2)
    return buckets
