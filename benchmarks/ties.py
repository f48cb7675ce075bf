"""Copies of a dataset in which ties in time are shuffled: what the order of the file decides is left to chance."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np

from components.trainer.input_pipeline import Timelines
from data.formats import TIMESTAMP, USER, Dataset, Table


def shuffled_copy(dataset: Dataset, target: Path, seed: int) -> Path:
    """Write a copy in which the ratings of one user at one time stand in random order, in the original format.

    Args:
        dataset: the original.
        target: a folder for copies.
        seed: of the order.

    Returns:
        The folder of the copy, named like the dataset.
    """
    folder = target / dataset.name
    folder.mkdir(parents=True, exist_ok=True)
    if dataset.items is not None:
        shutil.copy(dataset.items.path, folder / dataset.items.path.name)
    content = dataset.ratings.path.read_bytes()
    head, body = b"", content
    if dataset.ratings.header:
        first = content.index(b"\n") + 1
        head, body = content[:first], content[first:]
    lines = np.array([line for line in body.split(b"\n") if line.strip()], object)
    _, moment = np.unique([_moment(dataset.ratings, line) for line in lines.tolist()], return_inverse=True)
    chance = np.random.default_rng(seed).random(len(lines))
    shuffled = np.empty_like(lines)
    # The n-th place of a moment gets the line that chance made its n-th.
    shuffled[np.lexsort((np.arange(len(lines)), moment))] = lines[np.lexsort((chance, moment))]
    (folder / dataset.ratings.path.name).write_bytes(head + b"\n".join(shuffled.tolist()) + b"\n")
    return folder


def _moment(table: Table, line: bytes) -> str:
    """Who did something and when, as text; all of a line that has other fields than it should."""
    text = line.decode("utf-8", "replace").rstrip("\r")
    fields = next(csv.reader([text], delimiter=table.separator)) if table.quoted else text.split(table.separator)
    if len(fields) != table.width:
        return text
    return f"{fields[table.columns[USER]]}\t{fields[table.columns[TIMESTAMP]]}"


def tied(timelines: Timelines) -> np.ndarray:
    """Whether each activity has the time of the one before it in its timeline; bool [E]."""
    times = timelines.activities.times
    same = np.zeros(len(times), bool)
    same[1:] = times[1:] == times[:-1]
    starts = timelines.starts[:-1]
    same[starts[starts < len(times)]] = False
    return same
