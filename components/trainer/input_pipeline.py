"""The input pipeline: reads transformed examples into timelines, and cuts these into batches of similar length."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components import features
from components.errors import StepError
from components.trainer.settings import TrainerSettings

READ_BATCH = 256
PREFETCHED = 4  # batches that are prepared while the model trains on one
# The names of the model's inputs.
ITEMS = "items"
RATINGS, TIMES = (features.ACTIVITY_INPUTS[name] for name in (features.RATING_FEATURE, features.TIME_GAP_FEATURE))
# Windows are padded to one of these fractions of the longest window.
BUCKETS = (0.125, 0.25, 0.5, 0.75, 1.0)


# Activities of users, as parallel arrays of one shape, by the name of the model's input:
# - ITEMS: int32, item indices.
# - RATINGS: float32.
# - TIMES: int32, seconds since 1970-01-01 UTC. Times after 2038 wrap around; differences stay correct.
# - the activity features that are columns of the log: int32 indices of words, or float32.
Activities = dict[str, np.ndarray]


@dataclass(frozen=True)
class Timelines:
    """The timelines of a split.

    Attributes:
        activities: [E], one user after another, oldest first.
        starts: int64 [U + 1]; user `u` has the activities from `starts[u]` to before `starts[u + 1]`.
        targets: int32 [U], the next item of each user; PADDING in the train split.
        weights: float32 [E], the weight of each activity as a target, 0 for none; None: all have the same weight.
    """

    activities: Activities
    starts: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def items(self) -> np.ndarray:
        """Item indices, int32 [E]."""
        return self.activities[ITEMS]

    def of_users(self, users: np.ndarray) -> Timelines:
        """Returns the timelines of the given users: int64 [M]."""
        lengths = np.diff(self.starts)[users]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(self.starts[users] - starts[:-1], lengths) + np.arange(starts[-1])
        weights = None if self.weights is None else self.weights[places]
        return Timelines(take(self.activities, places), starts, self.targets[users], weights)

    def histories(self, users: slice | np.ndarray, length: int) -> Activities:
        """Returns the last activities of the given users, oldest first, then padding: [M, length]."""
        starts, stops = self.starts[:-1][users, None], self.starts[1:][users, None]
        places = np.maximum(stops - length, starts) + np.arange(length)
        inside = places < stops
        if not len(self.items):
            return {name: np.zeros(places.shape, values.dtype) for name, values in self.activities.items()}
        filled = take(self.activities, np.where(inside, places, 0))
        return {name: np.where(inside, values, 0) for name, values in filled.items()}


def take(activities: Activities, index: slice | np.ndarray) -> Activities:
    """Returns the activities at a slice, a mask or an array of indices."""
    return {name: values[index] for name, values in activities.items()}


def read_timelines(
    files: list[str], transform_output: tft.TFTransformOutput, kinds: Mapping[str, str] | None = None
) -> Timelines:
    """Reads the transformed examples of a split of timelines.

    The arrays are memory-mapped files of 12 bytes per activity, and 4 more per column of the log. The operating system
    keeps as much of them in memory as fits.

    Args:
        files: patterns of file names.
        transform_output: output of Transform.
        kinds: `word` or `number` for each activity feature that is a column of the log, by the name of its input.
    """
    column_names = {
        input_: features.column_feature(features.TIMELINE, kind, input_) for input_, kind in (kinds or {}).items()
    }
    names = (features.TIMELINE, features.TIMELINE_RATING, features.TIMELINE_TIME, features.TIMELINE_WEIGHT)
    columns, lengths = _read(files, transform_output, [*names, features.TARGET, *column_names.values()])
    items, ratings, times, weights = (columns[name] for name in names)
    return Timelines(
        activities={ITEMS: items, RATINGS: ratings, TIMES: times}
        | {input_: columns[name] for input_, name in column_names.items()},
        starts=np.concatenate([[0], lengths[features.TIMELINE]]).cumsum(),
        targets=columns[features.TARGET],
        weights=weights if len(weights) else None,
    )


def read_catalog(files: list[str], transform_output: tft.TFTransformOutput, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads the transformed examples of the catalog split.

    Args:
        files: patterns of file names.
        transform_output: output of Transform.
        size: number of item indices V.

    Returns:
        int32 [F, 2], pairs of an item index and the index of one of its tokens, without items that have no index; and
        float32 [V, D], the item vectors, with D = 0 where the items have none.
    """
    columns, lengths = _read(files, transform_output, (features.ITEM, features.ITEM_TOKENS, features.ITEM_VECTOR))
    items = np.repeat(columns[features.ITEM], lengths[features.ITEM_TOKENS])
    pairs = np.stack([items, columns[features.ITEM_TOKENS]], axis=1)
    indices = columns[features.ITEM]
    dimension = len(columns[features.ITEM_VECTOR]) // max(len(indices), 1)
    vectors = np.zeros((size, dimension), np.float32)
    vectors[indices] = columns[features.ITEM_VECTOR].reshape(len(indices), dimension)
    vectors[: features.FIRST_INDEX] = 0
    return pairs[(pairs >= features.FIRST_INDEX).all(axis=1)], vectors


def _read(
    files: list[str], transform_output: tft.TFTransformOutput, names: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Reads features of transformed examples into memory-mapped arrays.

    Returns:
        The values of each feature by its name, in the order of the examples, int32 or float32 [...]; and, for ragged
        features, the number of values in each example, int64 [...].
    """
    full_spec = transform_output.transformed_feature_spec()
    spec = {name: full_spec[name] for name in names}
    dtypes = {name: np.int32 if feature.dtype == tf.int64 else np.float32 for name, feature in spec.items()}
    records = tf.data.TFRecordDataset(tf.data.Dataset.list_files(files, shuffle=False), compression_type="GZIP")
    batches = records.batch(READ_BATCH).map(lambda examples: tf.io.parse_example(examples, spec)).prefetch(2)
    lengths: dict[str, list[np.ndarray]] = {name: [np.empty(0, np.int64)] for name in spec}
    columns = {}
    # The mapped arrays stay valid after the folder and its files are deleted.
    with tempfile.TemporaryDirectory(prefix="columns-") as folder, contextlib.ExitStack() as stack:
        paths = {name: os.path.join(folder, name) for name in spec}
        streams = {name: stack.enter_context(open(path, "wb")) for name, path in paths.items()}
        for batch in batches:
            for name, value in batch.items():
                if isinstance(value, tf.SparseTensor):
                    rows = value.indices[:, 0].numpy()
                    lengths[name].append(np.bincount(rows, minlength=int(value.dense_shape[0])))
                    value = value.values
                # Times after 2038 wrap around.
                value.numpy().astype(dtypes[name]).tofile(streams[name])
        for name, stream in streams.items():
            stream.flush()
            columns[name] = np.memmap(paths[name], dtypes[name], "r") if stream.tell() else np.empty(0, dtypes[name])
    return columns, {name: np.concatenate(values) for name, values in lengths.items()}


def without_unknown(timelines: Timelines) -> Timelines:
    """Returns the timelines without UNKNOWN items, which the model also skips in histories."""
    known = timelines.items >= features.FIRST_INDEX
    if known.all():
        return timelines
    return dataclasses.replace(
        timelines,
        activities=take(timelines.activities, known),
        starts=np.concatenate([[0], np.cumsum(known)])[timelines.starts],
        weights=None if timelines.weights is None else timelines.weights[known],
    )


def target_weights(train: Timelines, settings: TrainerSettings) -> np.ndarray:
    """Returns the weight of each activity as a target, float32 [E]; the mean of those above 0 is 1.

    Raises:
        StepError: all weights are 0, for example because no rating reaches `min_target_rating`.
    """
    ratings = train.activities[RATINGS]
    weights = np.ones(len(ratings), np.float32) if train.weights is None else train.weights
    if settings.target_weight == "rating":
        weights = weights * np.maximum(ratings, 0.0)
    if settings.min_target_rating is not None:
        weights = np.where(ratings >= settings.min_target_rating, weights, 0.0)
    if not weights.any():
        raise StepError(
            f"no rating of the train split counts as a target with trainer.min_target_rating "
            f"{settings.min_target_rating} and trainer.target_weight {settings.target_weight!r}; the highest rating is "
            f"{ratings.max(initial=0):g}"
        )
    return (weights / weights[weights > 0].mean()).astype(np.float32)


def make_windows(starts: np.ndarray, window: int, random: np.random.Generator) -> np.ndarray:
    """Cuts every timeline into windows, with the first cut at a random offset.

    Neighbouring windows share one item: the last target of a window is the first input of the next one. Every pair of
    consecutive items is therefore trained on exactly once.

    Args:
        starts: int64 [U + 1], bounds of the timelines.
        window: largest number of inputs in a window.
        random: generator of the offsets.

    Returns:
        int64 [W, 2]: first input and last target (included) of each window.
    """
    lasts = starts[1:] - 1
    steps = lasts - starts[:-1]
    offsets = random.integers(1, window + 1, len(steps))
    cuts = np.where(steps > window, (steps - offsets - 1) // window + 1, 0)
    first = np.repeat(starts[:-1], cuts + 1)
    number = np.arange(len(first)) - np.repeat(np.cumsum(cuts + 1) - cuts - 1, cuts + 1)
    begins = np.where(number > 0, first + np.repeat(offsets, cuts + 1) + (number - 1) * window, first)
    is_last = number == np.repeat(cuts, cuts + 1)
    ends = np.where(is_last, np.repeat(lasts, cuts + 1), first + np.repeat(offsets, cuts + 1) + number * window)
    windows = np.stack([begins, ends], axis=1)
    return windows[ends > begins]


@dataclass(frozen=True)
class SoftTargets:
    """A teacher's predictions of each activity of the train split from the activities before it.

    Attributes:
        items: int32 [E, M], item indices.
        probabilities: float16 [E, M], those of the items, which sum to 1; 0 for the first activity of a timeline.
    """

    items: np.ndarray
    probabilities: np.ndarray


Batch = tuple[Any, ...]  # the arguments of `RecommenderModel.loss_of`


class Batches:
    """Batches of windows, which are cut from the timelines anew in every epoch.

    A batch holds windows of similar length: their activities, each [B, L], then PADDING; their targets, int32 [B, L],
    then PADDING; and the weights of the targets, float32 [B, L], then 0.

    All batches of one length L have the same shape, so that the training step is compiled once per length. Empty rows
    fill up the last batch of a length.

    Args:
        timelines: timelines of the train split.
        window: largest number of inputs in a window.
        positions: number of positions in a batch, padding included.
        weights: float32 [E], the weight of each activity as a target; None: all have the same weight.
        seed: seed of the cuts and of the order of the batches.
        soft: a teacher's predictions, which batches then include, [B, L, M] each; None: no teacher.

    Attributes:
        epoch: number of the epoch that `dataset` and `batches` yield, from 0; set it before each epoch.
    """

    def __init__(
        self,
        timelines: Timelines,
        window: int,
        positions: int,
        weights: np.ndarray | None = None,
        seed: int = 0,
        soft: SoftTargets | None = None,
    ):
        self.epoch = 0
        self._timelines = timelines
        self._window = int(min(window, max(np.diff(timelines.starts).max(initial=2) - 1, 1)))
        self._weights = np.ones(len(timelines.items), np.float32) if weights is None else weights
        self._seed = seed
        self._soft = soft
        self._lengths = sorted({max(int(np.ceil(self._window * fraction)), 1) for fraction in BUCKETS})
        self._rows = {length: max(positions // length, 1) for length in self._lengths}

    @functools.cached_property
    def steps(self) -> int:
        """Approximate number of batches in an epoch; the exact number depends on the random cuts."""
        return max(len(self._groups(np.random.default_rng(0))), 1)

    def shapes(self) -> list[tuple[int, int]]:
        """Returns the shapes [B, L] of all batches."""
        return [(self._rows[length], length) for length in self._lengths]

    def dataset(self) -> tf.data.Dataset:
        """Returns the batches of an epoch as a dataset that prepares them in the background."""
        signature: tuple[Any, ...] = (
            {name: tf.TensorSpec([None, None], values.dtype) for name, values in self._timelines.activities.items()},
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, None], tf.float32),
        )
        if self._soft is not None:
            shape = [None, None, self._soft.items.shape[1]]
            signature += ((tf.TensorSpec(shape, tf.int32), tf.TensorSpec(shape, tf.float16)),)
        return tf.data.Dataset.from_generator(self.batches, output_signature=signature).prefetch(PREFETCHED)

    def batches(self) -> Iterator[Batch]:
        """Yields the batches of an epoch in random order."""
        random = np.random.default_rng(self._seed + 1 + self.epoch)
        groups = self._groups(random)
        for index in random.permutation(len(groups)):
            yield self._fill(*groups[index])

    def _groups(self, random: np.random.Generator) -> list[tuple[np.ndarray, int]]:
        """Returns the windows of each batch, with the length that they are padded to."""
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
        """Returns a batch of windows as rows of `length` inputs."""
        places = windows[:, :1] + np.arange(length)
        inside = places < windows[:, 1:]
        items = self._timelines.items
        places = np.minimum(places, len(items) - 2)

        def rows(values: np.ndarray) -> np.ndarray:
            filled = np.zeros((self._rows[length], *values.shape[1:]), values.dtype)
            filled[: len(windows)] = np.where(inside.reshape(*inside.shape, *[1] * (values.ndim - 2)), values, 0)
            return filled

        activities = {name: rows(values[places]) for name, values in self._timelines.activities.items()}
        batch = (activities, rows(items[places + 1]), rows(self._weights[places + 1]))
        if self._soft is None:
            return batch
        return *batch, (rows(self._soft.items[places + 1]), rows(self._soft.probabilities[places + 1]))
