"""Counts interactions by item, and sums the counts of partitions."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MAX_PARTS = 8  # parts that an accumulator holds before it sums them

Counts = tuple[pa.Array, np.ndarray]  # sorted ids, `pa.string()` [I], and the count of each, int64 [I]


def count_items(ids: pa.Array, numbers: np.ndarray) -> Counts:
    """Returns how often each item occurs; `numbers` are indices into `ids`, which are sorted."""
    counts = np.bincount(numbers, minlength=len(ids))
    return ids.filter(pa.array(counts > 0)), counts[counts > 0]


def sum_counts(parts: list[Counts]) -> Counts:
    """Returns the sum of the counts of several partitions."""
    if not parts:
        return pa.array([], pa.string()), np.empty(0, np.int64)
    encoded = pa.concat_arrays([ids for ids, _ in parts]).dictionary_encode()
    counts = np.bincount(encoded.indices.to_numpy(), np.concatenate([counts for _, counts in parts]))
    order = pc.sort_indices(encoded.dictionary)
    return encoded.dictionary.take(order), counts.astype(np.int64)[order.to_numpy()]


class SumCounts(beam.CombineFn):
    """Sums the counts of partitions as they arrive.

    Each partition has counts of most items, so that the counts of all partitions would fill the memory.
    """

    def create_accumulator(self) -> list[Counts]:
        """Returns an empty list of counts."""
        return []

    def add_input(self, accumulator: list[Counts], element: Counts) -> list[Counts]:
        """Adds the counts of a partition."""
        return self.merge_accumulators([accumulator, [element]])

    def merge_accumulators(self, accumulators: Iterable[list[Counts]]) -> list[Counts]:
        """Returns the counts of all accumulators, summed if there are `MAX_PARTS` or more."""
        parts = [counts for accumulator in accumulators for counts in accumulator]
        return parts if len(parts) < MAX_PARTS else [sum_counts(parts)]

    def extract_output(self, accumulator: list[Counts]) -> Counts:
        """Returns the sum."""
        return sum_counts(accumulator)

    def compact(self, accumulator: list[Counts]) -> list[Counts]:
        """Returns the sum as the only element, so that little data is shuffled."""
        return [sum_counts(accumulator)]
