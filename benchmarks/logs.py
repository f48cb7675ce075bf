"""Reads a log into memory, writes copies in parts or in another order, and takes targets from a period."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.example_gen.records import timeline_records
from components.example_gen.settings import ExampleGenSettings
from components.example_gen.timelines import Ratings, Rows, as_table, bounds_of, group
from data.clock import SECOND
from data.dataset import Dataset
from data.errors import DataError
from data.files import read_bytes
from data.readers import read_unit, units_of

WEEK = 7 * 24 * 3600  # seconds


@dataclass(frozen=True)
class Log:
    """A dataset in memory.

    Attributes:
        dataset: its files.
        head: the header line; empty without one.
        lines: of the file, without the header; bytes objects [R].
        ratings: of the same lines.
    """

    dataset: Dataset
    head: bytes
    lines: np.ndarray
    ratings: Ratings

    @property
    def seconds(self) -> np.ndarray:
        """Returns the time of each line, int64 [R], seconds since 1970-01-01 UTC."""
        return self.ratings.timestamp // SECOND


@dataclass(frozen=True)
class Targets:
    """The targets of a period.

    Attributes:
        examples: serialized raw examples, as ExampleGen writes them, each with one target.
        users: the user of each target, bytes [T].
        items: the item of each target, bytes [T].
        new_user: whether the user has no interactions before the period, bool [T].
    """

    examples: list[bytes]
    users: np.ndarray
    items: np.ndarray
    new_user: np.ndarray


def read_log(dataset: Dataset) -> Log:
    """Reads a log of one text file into memory.

    Raises:
        DataError: it has several files, or a row that cannot be read.
    """
    if len(dataset.log.files) > 1 or dataset.log.kind != "text":
        raise DataError(f"{dataset.name}: this takes a log of one text file")
    content = read_bytes(dataset.log.files[0].path)
    start = content.index(b"\n") + 1 if dataset.log.header else 0
    lines = [line for line in content[start:].split(b"\n") if line.strip()]
    chunks = [chunk for unit in units_of(dataset.log, 0) for chunk in read_unit(dataset.log, unit)]
    if bad := [bad for chunk in chunks for bad in chunk.bad_rows]:
        raise DataError(bad[0].describe())
    tables = [as_table(chunk, ExampleGenSettings()) for chunk in chunks]
    return Log(dataset, content[:start], np.array(lines, object), Ratings.from_table(pa.concat_tables(tables)))


def cuts(times: np.ndarray, first: float, periods: int | None, weeks: int | None) -> list[int]:
    """Returns the times that end prefixes; a period lies between two successive ones.

    Args:
        times: int64 [R], seconds.
        first: share of the ratings in the first prefix.
        periods: number of periods with equally many ratings; not used with `weeks`.
        weeks: length of each period, without a last, shorter period; None for `periods`.

    Returns:
        Seconds since 1970-01-01 UTC, ascending; one more than there are periods.
    """
    ordered = np.sort(times)
    start, stop = int(ordered[int(first * len(ordered))]), int(ordered[-1]) + 1
    if weeks:
        return list(range(start, stop + 1, weeks * WEEK))
    shares = np.linspace(first, 1, (periods or 1) + 1)[:-1]
    return [*(int(ordered[int(share * len(ordered))]) for share in shares), stop]


def write_copy(log: Log, lines: np.ndarray, target: Path) -> Path:
    """Writes a copy with other lines in the original format; returns its folder, which has the dataset's name."""
    dataset = log.dataset
    folder = target / dataset.name
    folder.mkdir(parents=True, exist_ok=True)
    if dataset.items is not None:
        shutil.copy(dataset.items.file.path, folder / dataset.items.file.name)
    (folder / dataset.log.files[0].name).write_bytes(log.head + b"\n".join(lines.tolist()) + b"\n")
    return folder


def write_prefix(log: Log, before: int, target: Path) -> Path:
    """Writes the interactions before a time; see `write_copy`."""
    return write_copy(log, log.lines[log.seconds < before], target)


def shuffled_copy(dataset: Dataset, target: Path, seed: int) -> Path:
    """Writes a copy with the interactions of one user at one time in random order.

    Args:
        dataset: the original.
        target: a folder for copies.
        seed: of the order.

    Returns:
        The folder of the copy; see `write_copy`.
    """
    log = read_log(dataset)
    user, time = log.ratings.user, log.ratings.timestamp
    chance = np.random.default_rng(seed).random(len(log.lines))
    shuffled = np.empty_like(log.lines)
    # The n-th line of a moment, in the order of the file, is replaced by the n-th in random order.
    shuffled[np.lexsort((time, user))] = log.lines[np.lexsort((chance, time, user))]
    return write_copy(log, shuffled, target)


def targets_of(log: Log, start: int, stop: int, first_only: bool) -> Targets:
    """Returns the interactions of a period as targets, each after all earlier interactions of its user.

    Args:
        log: all ratings.
        start: of the period, in seconds since 1970-01-01 UTC.
        stop: end of the period, exclusive.
        first_only: whether only the first interaction of each user in the period is a target.
    """
    ratings = group(log.ratings)
    seconds, bounds = ratings.timestamp // SECOND, bounds_of(ratings)
    targets = np.flatnonzero((seconds >= start) & (seconds < stop))
    if first_only:
        _, first_of_user = np.unique(ratings.user[targets], return_index=True)
        targets = targets[first_of_user]
    begins = bounds[np.searchsorted(bounds, targets, side="right") - 1]
    no_train_events = (pa.array([], pa.string()), np.empty(0, np.int64))
    batches = timeline_records(ratings, Rows(begins, targets, targets), popularity=no_train_events)
    return Targets(
        [example for batch in batches for example in batch],
        np.array(ratings.users.cast(pa.binary()).to_pylist())[ratings.user[targets]],
        np.array(ratings.items.cast(pa.binary()).to_pylist())[ratings.item[targets]],
        seconds[begins] >= start,
    )
