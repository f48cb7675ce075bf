"""Reads datasets for tests."""

from __future__ import annotations

from data.dataset import Dataset
from data.readers import BLOCK_BYTES, Interactions, read_unit, units_of


def read_all(dataset: Dataset, block_bytes: int = BLOCK_BYTES) -> list[Interactions]:
    """Returns all chunks of a log."""
    log = dataset.log
    units = [unit for number in range(len(log.files)) for unit in units_of(log, number, block_bytes)]
    return [chunk for unit in units for chunk in read_unit(log, unit)]


def rows_of(chunks: list[Interactions]) -> list[tuple[str, str, float, int]]:
    """Returns (user, item, rating, timestamp in ns) of every interaction."""
    columns = ("user", "item", "rating", "timestamp")
    return [row for chunk in chunks for row in zip(*(chunk.table[name].to_pylist() for name in columns), strict=True)]
