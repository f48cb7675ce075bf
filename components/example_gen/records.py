"""Serializes rows of timelines, and words, as raw examples; `components/features.py` describes their features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components import features
from components.example_gen.item_counts import Counts, look_up, sum_counts
from components.example_gen.timelines import Ratings, Rows
from data.clock import SECOND

# Ratings, of about 16 bytes each, that are serialized at once and become one element.
BATCH_RATINGS = 1 << 18


def timeline_records(ratings: Ratings, rows: Rows, popularity: Counts, weighted: bool = False) -> Iterator[list[bytes]]:
    """Yields lists of the raw examples of rows of timelines.

    Args:
        ratings: the ratings that `rows` index.
        rows: rows of one split.
        popularity: ids of the items with train events, and the popularity bucket of each.
        weighted: whether examples contain the weight of each interaction as a target.
    """
    encoder = RecordBatchToExamplesEncoder()
    for piece in rows.pieces(BATCH_RATINGS):
        yield encoder.encode(_timeline_columns(ratings, piece, popularity, weighted))


def _timeline_columns(ratings: Ratings, rows: Rows, popularity: Counts, weighted: bool) -> pa.RecordBatch:
    lengths = rows.stop - rows.start
    ends = np.cumsum(lengths)
    bounds = np.concatenate([[0], ends])
    indices = np.arange(bounds[-1]) + np.repeat(rows.start - bounds[:-1], lengths)
    has_target = rows.target >= 0
    # The history of a row with a target may be empty.
    user = ratings.user[np.where(has_target, rows.target, rows.start)]
    columns = {
        features.USER_ID: singles(_ids(ratings.users, user)),
        features.ITEM_ID: lists(_ids(ratings.items, ratings.item[indices]), bounds),
        features.RATING: lists(ratings.rating[indices], bounds),
        features.TIMESTAMP: lists(ratings.timestamp[indices] // SECOND, bounds),
    }
    if ratings.activity.num_columns:
        columns |= _activity_columns(ratings.activity.take(pa.array(indices)), bounds)
    if weighted:
        columns[features.WEIGHT] = lists(ratings.weight[indices], bounds)
    if has_target.any():
        target = ratings.item[rows.target]
        buckets = look_up(popularity, ratings.items, missing=features.POPULARITY_BUCKETS.index("cold"))
        columns |= {
            features.TARGET_ID: singles(_ids(ratings.items, target)),
            features.TARGET_RATING: singles(ratings.rating[rows.target]),
            features.TARGET_TIMESTAMP: singles(ratings.timestamp[rows.target] // SECOND),
            features.HISTORY_BUCKET: singles(_HISTORY_BUCKETS[_history_buckets(lengths)]),
            features.POPULARITY_BUCKET: singles(_POPULARITY_BUCKETS[buckets[target]]),
        }
    return pa.RecordBatch.from_pydict(columns)


def _activity_columns(activity: pa.Table, bounds: np.ndarray) -> dict[str, pa.Array]:
    """Returns the words and the numbers of `C` columns, with the `C` values of each activity next to each other."""
    count = len(activity)
    no_words, no_numbers = pa.nulls(count, pa.string()).fill_null(""), np.full(count, np.nan, np.float32)
    words, numbers = [], []
    for column in activity.columns:
        is_word = pa.types.is_string(column.type)
        words.append(column.combine_chunks() if is_word else no_words)
        numbers.append(no_numbers if is_word else column.to_numpy())
    order = np.arange(len(words) * count).reshape(len(words), count).T.reshape(-1)
    joined = pa.concat_arrays([part.cast(pa.binary()) for part in words]).take(pa.array(order))
    return {
        features.ACTIVITY_WORDS: lists(joined, bounds * len(words)),
        features.ACTIVITY_NUMBERS: lists(np.stack(numbers, axis=1).reshape(-1), bounds * len(words)),
    }


def count_words(ratings: Ratings, rows: np.ndarray | slice) -> Counts:
    """Returns the count of each word in some rows; the id of a word is its column's number, a space, and the word."""
    parts = []
    for number, column in enumerate(ratings.activity.columns):
        if pa.types.is_string(column.type):
            words = column.combine_chunks().dictionary_encode()
            counts = np.bincount(words.indices.to_numpy()[rows], minlength=len(words.dictionary))
            known = (counts > 0) & pc.not_equal(words.dictionary, "").to_numpy(zero_copy_only=False)
            keys = [f"{number} {word}" for word in words.dictionary.filter(pa.array(known)).to_pylist()]
            parts.append((pa.array(keys, pa.string()), counts[known]))
    return sum_counts(parts)


def word_records(counts: Counts, train_counts: Counts) -> list[bytes]:
    """Returns the raw examples of the words of activities; both counts are results of `count_words`."""
    keys, events = counts
    if not len(keys):
        return []
    numbers, words = zip(*(key.split(" ", 1) for key in keys.to_pylist()), strict=True)
    columns = {
        features.WORD: singles(pa.array([word.encode() for word in words], pa.binary())),
        features.WORD_COLUMN: singles(np.array(numbers, np.int64)),
        features.WORD_TRAIN_EVENTS: singles(look_up(train_counts, keys)),
        features.WORD_EVENTS: singles(events),
    }
    records: list[bytes] = RecordBatchToExamplesEncoder().encode(pa.RecordBatch.from_pydict(columns))
    return records


_POPULARITY_BUCKETS = np.array([bucket.encode() for bucket in features.POPULARITY_BUCKETS])
_HISTORY_BUCKETS = np.array([bucket.encode() for bucket in features.HISTORY_BUCKETS])


def _history_buckets(lengths: np.ndarray) -> np.ndarray:
    """Returns the indices in `features.HISTORY_BUCKETS` of histories with the given lengths."""
    return np.searchsorted(list(features.HISTORY_BUCKETS.values()), lengths, side="right") - 1


def _ids(ids: pa.Array, numbers: np.ndarray) -> pa.Array:
    return ids.cast(pa.binary()).take(pa.array(numbers))


def singles(values: np.ndarray | pa.Array) -> pa.Array:
    """Returns one list per example, each with one value."""
    return lists(values, np.arange(len(values) + 1))


def lists(values: np.ndarray | pa.Array, bounds: np.ndarray) -> pa.Array:
    """Returns one list per example; list `n` has the values from `bounds[n]` to before `bounds[n + 1]`."""
    values = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.LargeListArray.from_arrays(pa.array(bounds, pa.int64()), values)
