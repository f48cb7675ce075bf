"""Transformed examples -> timelines in memory -> windows -> batches of one length, without work on padding."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components import features

READ_BATCH = 256
# What the model takes of an activity.
ITEMS = "items"
RATINGS, TIMES = (features.ACTIVITY_INPUTS[name] for name in (features.RATING_FEATURE, features.TIME_GAP_FEATURE))
# Windows are padded to these shares of the longest window.
BUCKETS = (0.125, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Activities:
    """What users did, in parallel arrays of one shape.

    Attributes:
        items: int32, item indices.
        ratings: float32.
        times: int32, seconds since 1970-01-01 UTC; later than 2038 they wrap around, which no time between two
            activities feels.
        columns: the features of activities that are columns of the log, by the name of the model's input: int32 indices
            of words, or float32.
    """

    items: np.ndarray
    ratings: np.ndarray
    times: np.ndarray
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    def __getitem__(self, at: Any) -> Activities:
        """The activities at an index, a slice, a mask or an array of indices."""
        return self.map(lambda values: values[at])

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Activities:
        """Returns activities with each array replaced by a function of it."""
        columns = {name: function(values) for name, values in self.columns.items()}
        return Activities(function(self.items), function(self.ratings), function(self.times), columns)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns all arrays by the name that the model has for them."""
        return {ITEMS: self.items, RATINGS: self.ratings, TIMES: self.times, **self.columns}

    def tensors(self) -> dict[str, tf.Tensor]:
        """As the model takes them."""
        return {name: tf.constant(values) for name, values in self.arrays().items()}


@dataclass(frozen=True)
class Timelines:
    """The timelines of a split.

    Attributes:
        activities: [E], one user after another, oldest first.
        starts: int64 [U + 1], user `u` has the activities from `starts[u]` to before `starts[u + 1]`.
        histories: [U, N], the last activities of each, then PADDING.
        targets: int32 [U], the item that came next; PADDING in the train split.
        weights: float32 [E], how much each activity counts as a target, 0 where it is none; None where all count alike.
    """

    activities: Activities
    starts: np.ndarray
    histories: Activities
    targets: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def items(self) -> np.ndarray:
        """Item indices, int32 [E]."""
        return self.activities.items

    def of_users(self, users: np.ndarray) -> Timelines:
        """The timelines of some users alone: int64 [M]."""
        lengths = np.diff(self.starts)[users]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(self.starts[users] - starts[:-1], lengths) + np.arange(starts[-1])
        weights = None if self.weights is None else self.weights[places]
        return Timelines(self.activities[places], starts, self.histories[users], self.targets[users], weights)


TIMELINE_FEATURES = (
    *(features.TIMELINE, features.TIMELINE_RATING, features.TIMELINE_TIME, features.TIMELINE_WEIGHT),
    *(features.HISTORY, features.HISTORY_RATING, features.HISTORY_TIME, features.TARGET),
)
ITEM_FEATURES = (features.ITEM, features.ITEM_TOKENS, features.ITEM_VECTOR)


def read_timelines(
    files: list[str], transform_output: tft.TFTransformOutput, kinds: Mapping[str, str] | None = None
) -> Timelines:
    """Reads the transformed examples of a split of timelines; one takes 12 bytes an activity in memory.

    Args:
        files: patterns of file names.
        transform_output: of Transform.
        kinds: for each feature of activities that is a column of the log, by the name of its input, whether it holds
            `word` or `number`.
    """
    sources = {
        rows: {input_: features.column_feature(rows, kind, input_) for input_, kind in (kinds or {}).items()}
        for rows in (features.TIMELINE, features.HISTORY)
    }
    more = [name for of_rows in sources.values() for name in of_rows.values()]
    columns, lengths = _read(files, transform_output, [*TIMELINE_FEATURES, *more])
    history_length = transform_output.transformed_feature_spec()[features.HISTORY].shape[0]
    return Timelines(
        activities=Activities(
            items=columns[features.TIMELINE].astype(np.int32),
            ratings=columns[features.TIMELINE_RATING],
            times=columns[features.TIMELINE_TIME].astype(np.int32),
            columns={input_: _narrow(columns[name]) for input_, name in sources[features.TIMELINE].items()},
        ),
        starts=np.concatenate([[0], lengths[features.TIMELINE]]).cumsum(),
        histories=Activities(
            items=columns[features.HISTORY].astype(np.int32).reshape(-1, history_length),
            ratings=columns[features.HISTORY_RATING].reshape(-1, history_length),
            times=columns[features.HISTORY_TIME].astype(np.int32).reshape(-1, history_length),
            columns={
                input_: _narrow(columns[name]).reshape(-1, history_length)
                for input_, name in sources[features.HISTORY].items()
            },
        ),
        targets=columns[features.TARGET].astype(np.int32).reshape(-1),
        weights=columns[features.TIMELINE_WEIGHT] if len(columns[features.TIMELINE_WEIGHT]) else None,
    )


def _narrow(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int32) if values.dtype == np.int64 else values


def read_catalog(files: list[str], transform_output: tft.TFTransformOutput, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads the transformed examples of the catalog split.

    Args:
        files: patterns of file names.
        transform_output: of Transform.
        size: number of item indices V.

    Returns:
        int32 [F, 2], an item index and the index of one of its tokens, without items that have no index; and float32
        [V, D], the vectors of items, with D 0 where they have none.
    """
    columns, lengths = _read(files, transform_output, ITEM_FEATURES)
    items = np.repeat(columns[features.ITEM].reshape(-1), lengths[features.ITEM_TOKENS])
    pairs = np.stack([items, columns[features.ITEM_TOKENS]], axis=1).astype(np.int32)
    indices = columns[features.ITEM].reshape(-1)
    of_items = columns[features.ITEM_VECTOR].astype(np.float32).reshape(len(indices), -1) if len(indices) else None
    vectors = np.zeros((size, 0 if of_items is None else of_items.shape[1]), np.float32)
    if of_items is not None:
        vectors[indices] = of_items
        vectors[: features.FIRST_INDEX] = 0
    return pairs[(pairs >= features.FIRST_INDEX).all(axis=1)], vectors


def _read(
    files: list[str], transform_output: tft.TFTransformOutput, chosen: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """All values of some features, one example after another; of ragged ones also how many each example has."""
    known = transform_output.transformed_feature_spec()
    spec = {name: known[name] for name in chosen}
    names = tf.data.Dataset.list_files(files, shuffle=False)
    records = tf.data.TFRecordDataset(names, compression_type="GZIP")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in spec}
    lengths: dict[str, list[np.ndarray]] = {name: [np.empty(0, np.int64)] for name in spec}
    for batch in records.batch(READ_BATCH).map(lambda examples: tf.io.parse_example(examples, spec)).prefetch(2):
        for name, value in batch.items():
            if isinstance(value, tf.SparseTensor):
                rows = value.indices[:, 0].numpy()
                lengths[name].append(np.bincount(rows, minlength=int(value.dense_shape[0])))
                value = value.values
            parts[name].append(value.numpy())
    empty = {name: np.empty(0, feature.dtype.as_numpy_dtype) for name, feature in spec.items()}
    columns = {name: np.concatenate(values) if values else empty[name] for name, values in parts.items()}
    return columns, {name: np.concatenate(values) for name, values in lengths.items()}


def without_unknown(timelines: Timelines) -> Timelines:
    """Timelines without their UNKNOWN items, which the model skips in a history too."""
    known = timelines.items >= features.FIRST_INDEX
    return dataclasses.replace(
        timelines,
        activities=timelines.activities[known],
        starts=np.concatenate([[0], np.cumsum(known)])[timelines.starts],
        weights=None if timelines.weights is None else timelines.weights[known],
    )


def make_windows(starts: np.ndarray, window: int, random: np.random.Generator) -> np.ndarray:
    """Cut every timeline into windows that start at a random offset.

    Neighbouring windows share one item: the last input of one is the first of the next, so that every step from an
    item to the next is trained exactly once.

    Args:
        starts: int64 [U + 1], bounds of the timelines.
        window: largest number of inputs in a window.
        random: of the offset.

    Returns:
        int64 [W, 2]: first input and last target (included) of each window.
    """
    windows = []
    offsets = random.integers(1, window + 1, len(starts) - 1)
    for start, stop, offset in zip(starts[:-1].tolist(), starts[1:].tolist(), offsets.tolist(), strict=True):
        last = stop - 1
        inner = range(start + offset, last, window) if last - start > window else ()
        windows += [(first, end) for first, end in itertools.pairwise([start, *inner, last]) if end > first]
    return np.array(windows, np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class Batch:
    """Windows of about one length.

    Attributes:
        inputs: [B, L], activities, then PADDING.
        targets: int32 [B, L], the item after each input, PADDING where there is none.
        weights: float32 [B, L], how much each target counts, 0 where there is none.
    """

    inputs: Activities
    targets: np.ndarray
    weights: np.ndarray

    def tensors(self) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """As the training step takes them."""
        return self.inputs.tensors(), tf.constant(self.targets), tf.constant(self.weights)


class Batches:
    """Cuts timelines into batches, anew for every epoch.

    All batches of a length have one shape, so that each is compiled once; the last of a length is filled with empty
    rows.

    Args:
        timelines: of the train split.
        window: largest number of inputs in a window.
        positions: number of positions in a batch, padding included.
        weights: float32 [E], how much each activity counts as a target; None counts all alike.
    """

    def __init__(self, timelines: Timelines, window: int, positions: int, weights: np.ndarray | None = None):
        longest = int(min(window, max(np.diff(timelines.starts).max(initial=2) - 1, 1)))
        self._timelines = timelines
        self._weights = np.ones(len(timelines.items), np.float32) if weights is None else weights
        self._window = longest
        self._lengths = sorted({max(int(np.ceil(longest * share)), 1) for share in BUCKETS})
        self._rows = {length: max(positions // length, 1) for length in self._lengths}

    @functools.cached_property
    def steps(self) -> int:
        """About how many batches an epoch has; windows start at random, so it varies a little."""
        return max(len(self._groups(np.random.default_rng(0))), 1)

    def shapes(self) -> list[tuple[int, int]]:
        """The shapes [B, L] of all batches."""
        return [(self._rows[length], length) for length in self._lengths]

    def epoch(self, seed: int) -> Iterator[Batch]:
        """The batches of an epoch in random order."""
        random = np.random.default_rng(seed)
        groups = self._groups(random)
        for index in random.permutation(len(groups)):
            yield self._fill(*groups[index])

    def _groups(self, random: np.random.Generator) -> list[tuple[np.ndarray, int]]:
        """Windows that make a batch, with the length that they are padded to."""
        windows = make_windows(self._timelines.starts, self._window, random)
        random.shuffle(windows)
        bucket = np.searchsorted(self._lengths, windows[:, 1] - windows[:, 0])
        groups = []
        for number, length in enumerate(self._lengths):
            chosen = windows[bucket == number]
            rows = self._rows[length]
            groups += [(chosen[first : first + rows], length) for first in range(0, len(chosen), rows)]
        return groups

    def _fill(self, windows: np.ndarray, length: int) -> Batch:
        """Lay windows out as rows of `length` inputs."""
        steps = np.arange(length)
        at = windows[:, :1] + steps
        inside = at < windows[:, 1:]
        activities = self._timelines.activities
        at = np.minimum(at, len(activities.items) - 2)

        def rows(values: np.ndarray) -> np.ndarray:
            filled = np.zeros((self._rows[length], length), values.dtype)
            filled[: len(windows)] = np.where(inside, values, 0)
            return filled

        return Batch(
            activities[at].map(rows),
            rows(activities.items[at + 1]),
            rows(self._weights[at + 1]),
        )

    def empty(self) -> Iterator[Batch]:
        """One batch of every shape, with nothing in it."""
        nothing = np.empty((0, 2), np.int64)
        yield from (self._fill(nothing, length) for length in self._lengths)
