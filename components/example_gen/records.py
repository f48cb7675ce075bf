"""Rows of timelines, and items -> serialized raw examples, as `components/features.py` describes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components import features
from components.example_gen.timelines import Ratings, Rows

# Ratings that are serialized at once, and so travel in one element: 16 bytes each, about.
BATCH_RATINGS = 1 << 18


@dataclass(frozen=True)
class ItemLookup:
    """A number for each of some items, found by id.

    Attributes:
        ids: bytes [I], sorted.
        values: int64 [I].
        missing: the value of an id that is not among them.
    """

    ids: np.ndarray
    values: np.ndarray
    missing: int

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """The values of `ids`, bytes [T]."""
        if not len(self.ids):
            return np.full(len(ids), self.missing, np.int64)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[at] == ids, self.values[at], self.missing)


class ExampleWriter:
    """Serializes rows, many at a time.

    Args:
        popularity: bucket of items with train events.
    """

    def __init__(self, popularity: ItemLookup):
        self._popularity = popularity
        self._encoder = RecordBatchToExamplesEncoder()

    def __call__(self, ratings: Ratings, rows: Rows) -> Iterator[list[bytes]]:
        """The serialized `tf.train.Example`s of the rows of a split; `ratings` are those of the rows' timelines."""
        for piece in rows.pieces(BATCH_RATINGS):
            yield self._encoder.encode(self._columns(ratings, piece))

    def _columns(self, ratings: Ratings, rows: Rows) -> pa.RecordBatch:
        lengths = rows.stop - rows.start
        ends = np.cumsum(lengths)
        bounds = np.concatenate([[0], ends])
        at = np.arange(bounds[-1]) + np.repeat(rows.start - bounds[:-1], lengths)
        targeted = rows.target >= 0
        # A user without a history still has a target.
        columns = {
            features.USER_ID: _singles(ratings.user[np.where(targeted, rows.target, rows.start)]),
            features.ITEM_ID: _lists(ratings.item[at], bounds),
            features.RATING: _lists(ratings.rating[at], bounds),
            features.TIMESTAMP: _lists(ratings.timestamp[at], bounds),
        }
        if targeted.any():
            target = ratings.item[rows.target]
            columns |= {
                features.TARGET_ID: _singles(target),
                features.TARGET_RATING: _singles(ratings.rating[rows.target]),
                features.TARGET_TIMESTAMP: _singles(ratings.timestamp[rows.target]),
                features.HISTORY_BUCKET: _singles(_HISTORY_BUCKETS[_history_buckets(lengths)]),
                features.POPULARITY_BUCKET: _singles(_POPULARITY_BUCKETS[self._popularity(target)]),
            }
        return pa.RecordBatch.from_pydict(columns)


_POPULARITY_BUCKETS = np.array([bucket.encode() for bucket in features.POPULARITY_BUCKETS])
_HISTORY_BUCKETS = np.array([bucket.encode() for bucket in features.HISTORY_BUCKETS])


def _history_buckets(lengths: np.ndarray) -> np.ndarray:
    """Positions in `features.HISTORY_BUCKETS`, of histories of some lengths."""
    return np.searchsorted(list(features.HISTORY_BUCKETS.values()), lengths, side="right") - 1


def item_records(items: list[tuple[str, dict[str, tuple[str, ...]], int]]) -> list[bytes]:
    """The serialized `tf.train.Example`s of items: the id, values of features and number of train events of each."""
    tokens = [
        [features.token(name, value).encode() for name, values in sorted(known.items()) for value in values]
        for _, known, _ in items
    ]
    columns = {
        features.CATALOG_ITEM_ID: _singles(np.array([id_.encode() for id_, _, _ in items], "S")),
        features.CATALOG_TOKENS: pa.array(tokens, pa.large_list(pa.binary())),
        features.CATALOG_TRAIN_EVENTS: _singles(np.array([events for _, _, events in items], np.int64)),
    }
    records: list[bytes] = RecordBatchToExamplesEncoder().encode(pa.RecordBatch.from_pydict(columns))
    return records


def _singles(values: np.ndarray) -> pa.Array:
    """A list of one value for each example."""
    return _lists(values, np.arange(len(values) + 1))


def _lists(values: np.ndarray, bounds: np.ndarray) -> pa.Array:
    """A list for each example; that of example `n` has the values from `bounds[n]` to before `bounds[n + 1]`."""
    return pa.LargeListArray.from_arrays(pa.array(bounds, pa.int64()), pa.array(values))
