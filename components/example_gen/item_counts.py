"""Counts interactions by item, and sums the counts of partitions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Counts = tuple[pa.Array, np.ndarray]  # sorted ids, `pa.string()` [I], and a number for each, int64 [I]


def count_items(ids: pa.Array, numbers: np.ndarray) -> Counts:
    """Returns how often each item occurs; `numbers` are indices into `ids`, which are sorted."""
    counts = np.bincount(numbers, minlength=len(ids))
    return ids.filter(pa.array(counts > 0)), counts[counts > 0]


def sum_counts(partitions: Iterable[Counts]) -> Counts:
    """Returns the sum of the counts of several partitions."""
    parts = [(pa.array([], pa.string()), np.empty(0, np.int64)), *partitions]
    encoded = pa.concat_arrays([ids for ids, _ in parts]).dictionary_encode()
    counts = np.bincount(encoded.indices.to_numpy(), np.concatenate([counts for _, counts in parts]))
    order = pc.sort_indices(encoded.dictionary)
    return encoded.dictionary.take(order), counts.astype(np.int64)[order.to_numpy()]


def look_up(values: Counts, ids: pa.Array, missing: int = 0) -> np.ndarray:
    """Returns the value of each of `ids`, `pa.string()` [T], as int64 [T]; `missing` for those that `values` lacks."""
    indices = pc.fill_null(pc.index_in(ids, values[0]), -1).to_numpy()
    return np.append(values[1], missing)[indices]
