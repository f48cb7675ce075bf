"""Copies a dataset with shuffled ties in time, which removes the influence of the order of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.periods import read_log, write_copy
from components.trainer.input_pipeline import Timelines
from data.dataset import Dataset


def shuffled_copy(dataset: Dataset, target: Path, seed: int) -> Path:
    """Writes a copy in the original format, with the interactions of one user at one time in random order.

    Args:
        dataset: the original.
        target: a folder for copies.
        seed: of the order.

    Returns:
        The folder of the copy, named like the dataset.
    """
    log = read_log(dataset)
    lines = log.lines
    _, moment = np.unique(np.stack([log.ratings.user, log.ratings.timestamp]), axis=1, return_inverse=True)
    moment = moment.reshape(-1)
    chance = np.random.default_rng(seed).random(len(lines))
    shuffled = np.empty_like(lines)
    # The n-th position of a moment gets the n-th line of the random order.
    shuffled[np.lexsort((np.arange(len(lines)), moment))] = lines[np.lexsort((chance, moment))]
    return write_copy(log, shuffled, target)


def tied(timelines: Timelines) -> np.ndarray:
    """Returns whether each activity has the time of the previous one in its timeline; bool [E]."""
    times = timelines.activities.times
    same = np.zeros(len(times), bool)
    same[1:] = times[1:] == times[:-1]
    starts = timelines.starts[:-1]
    same[starts[starts < len(times)]] = False
    return same
