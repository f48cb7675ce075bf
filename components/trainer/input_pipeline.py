"""Transformed examples -> timelines in memory -> windows -> batches of one length, without work on padding."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components import features

READ_BATCH = 256
# Windows are padded to these shares of the longest window.
BUCKETS = (0.125, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Timelines:
    """The timelines of a split.

    Attributes:
        items: int32 [E], item indices, one user after another, oldest first.
        starts: int64 [U + 1], user `u` has `items[starts[u]:starts[u + 1]]`.
        histories: int32 [U, N], the last items of each, then PADDING.
        targets: int32 [U], the item that came next; PADDING in the train split.
        genres: int32 [E, G] or [0, G], genre indices of each item.
        years: int32 [E] or [0], year index of each item.
    """

    items: np.ndarray
    starts: np.ndarray
    histories: np.ndarray
    targets: np.ndarray
    genres: np.ndarray
    years: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1


def read_timelines(files: list[str], transform_output: tft.TFTransformOutput) -> Timelines:
    """Read the transformed examples of a split; a timeline takes 4 bytes an item in memory."""
    spec = transform_output.transformed_feature_spec()
    names = tf.data.Dataset.list_files(files, shuffle=False)
    records = tf.data.TFRecordDataset(names, compression_type="GZIP")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in spec}
    lengths = []
    for batch in records.batch(READ_BATCH).map(lambda examples: tf.io.parse_example(examples, spec)).prefetch(2):
        for name, value in batch.items():
            values = value.values if isinstance(value, tf.SparseTensor) else value
            parts[name].append(values.numpy().astype(np.int32))
        timeline = batch[features.TIMELINE]
        lengths.append(np.bincount(timeline.indices[:, 0].numpy(), minlength=int(timeline.dense_shape[0])))
    columns = {name: np.concatenate(values) if values else np.empty(0, np.int32) for name, values in parts.items()}
    history_length = spec[features.HISTORY].shape[0]
    items = columns[features.TIMELINE]
    genres = columns[features.TIMELINE_GENRES]
    return Timelines(
        items=items,
        starts=np.concatenate([[0], *(np.asarray(part) for part in lengths)]).cumsum(),
        histories=columns[features.HISTORY].reshape(-1, history_length),
        targets=columns[features.TARGET].reshape(-1),
        genres=genres.reshape(len(items), -1) if len(genres) else genres.reshape(0, 1),
        years=columns[features.TIMELINE_YEAR],
    )


def without_unknown(timelines: Timelines) -> Timelines:
    """Timelines without their UNKNOWN items, which the model skips in a history too."""
    known = timelines.items >= features.FIRST_INDEX
    return dataclasses.replace(
        timelines,
        items=timelines.items[known],
        starts=np.concatenate([[0], np.cumsum(known)])[timelines.starts],
        genres=timelines.genres[known],
        years=timelines.years[known],
    )


def first_values(items: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """What is known of each item, from any of its events: [E, ...] -> [size, ...], zeros where there is no event."""
    table = np.zeros((size, *values.shape[1:]), values.dtype)
    found, event = np.unique(items, return_index=True)
    table[found] = values[event]
    return table


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
        inputs: int32 [B, L], item indices, then PADDING.
        targets: int32 [B, L], the item after each input, PADDING where there is none.
    """

    inputs: np.ndarray
    targets: np.ndarray


class Batches:
    """Cuts timelines into batches, anew for every epoch.

    All batches of a length have one shape, so that each is compiled once; the last of a length is filled with empty
    rows.

    Args:
        timelines: of the train split.
        window: largest number of inputs in a window.
        positions: number of positions in a batch, padding included.
    """

    def __init__(self, timelines: Timelines, window: int, positions: int):
        longest = int(min(window, max(np.diff(timelines.starts).max(initial=2) - 1, 1)))
        self._timelines = timelines
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
        items = self._timelines.items
        at = np.minimum(at, len(items) - 2)
        shape = (self._rows[length], length)
        inputs, targets = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        inputs[: len(windows)] = np.where(inside, items[at], features.PADDING)
        targets[: len(windows)] = np.where(inside, items[at + 1], features.PADDING)
        return Batch(inputs, targets)
