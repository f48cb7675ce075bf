"""Rows of timelines, and items -> serialized raw examples, as `components/features.py` describes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components import features
from components.example_gen.timelines import Ratings, Row


@dataclass(frozen=True)
class ItemLookup:
    """Columns about items, found by id.

    Attributes:
        ids: bytes [I], sorted.
        values: [I] or [I, ...], what is known of each.
        missing: the value of an id that is not among them.
    """

    ids: np.ndarray
    values: np.ndarray
    missing: object

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """The values of `ids`, bytes [T]."""
        if not len(self.ids):
            return np.full(len(ids), self.missing, self.values.dtype)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[at] == ids, self.values[at], np.asarray(self.missing, self.values.dtype))


class ExampleWriter:
    """Serializes rows.

    Args:
        popularity: bucket of items with train events, int64.
    """

    def __init__(self, popularity: ItemLookup):
        self._popularity = popularity

    def __call__(self, ratings: Ratings, row: Row) -> bytes:
        """The serialized `tf.train.Example` of one row; `ratings` are those of the row's timelines."""
        span = slice(row.start, row.stop)
        # A user without a history still has a target.
        user = ratings.user[row.start if row.target is None else row.target]
        columns = {
            features.USER_ID: _bytes([user]),
            features.ITEM_ID: _bytes(ratings.item[span].tolist()),
            features.RATING: _floats(ratings.rating[span]),
            features.TIMESTAMP: _ints(ratings.timestamp[span]),
        }
        if row.target is not None:
            target = slice(row.target, row.target + 1)
            bucket = features.POPULARITY_BUCKETS[int(self._popularity(ratings.item[target])[0])]
            columns[features.TARGET_ID] = _bytes(ratings.item[target].tolist())
            columns[features.TARGET_RATING] = _floats(ratings.rating[target])
            columns[features.TARGET_TIMESTAMP] = _ints(ratings.timestamp[target])
            columns[features.HISTORY_BUCKET] = _bytes([features.history_bucket(row.stop - row.start).encode()])
            columns[features.POPULARITY_BUCKET] = _bytes([bucket.encode()])
        return _serialized(columns)


def item_record(item_id: str, known: dict[str, tuple[str, ...]]) -> bytes:
    """The serialized `tf.train.Example` of one item; `known` are the values of its features."""
    tokens = [features.token(name, value).encode() for name, values in sorted(known.items()) for value in values]
    return _serialized({features.CATALOG_ITEM_ID: _bytes([item_id.encode()]), features.CATALOG_TOKENS: _bytes(tokens)})


def _serialized(columns: dict[str, tf.train.Feature]) -> bytes:
    example = tf.train.Example(features=tf.train.Features(feature=columns))
    serialized: bytes = example.SerializeToString(deterministic=True)
    return serialized


def _bytes(values: list[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _floats(values: np.ndarray) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _ints(values: np.ndarray) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
