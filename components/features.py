"""Names and numbers that one step promises the next: the single source of truth for features.

Two kinds of record travel through the pipeline.

A *raw* example, written by ExampleGen, is one timeline: what a user did, oldest first, and in the `eval` and `test`
splits also the target, the item that came next. Ids are bytes, so that any catalogue's ids fit. The `catalog` split has
one example an item instead, with all that is known of it, and the `words` split one a word of the activities.

A *transformed* example, written by Transform, is the same timeline as indices into the vocabularies, with its last
`history_length` activities as a fixed-length history; or the same item as indices.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Splits of the data.
TRAIN, EVAL, TEST = "train", "eval", "test"
SPLITS = (TRAIN, EVAL, TEST)
CATALOG = "catalog"  # a split of the same artifact: items, not timelines
WORDS = "words"  # a split of the same artifact: the words that features of activities have
ALL = "all"  # a split of complete timelines, which the pushed model is refitted on; only where it is refitted

# Indices that mean the same in every vocabulary, on the device too.
PADDING = 0
UNKNOWN = 1
FIRST_INDEX = 2  # the first index that stands for a real item or token

# Raw features of every split of timelines. `T` is the length of the timeline.
USER_ID = "user_id"  # bytes [1]
ITEM_ID = "item_id"  # bytes [T], oldest first
RATING = "rating"  # float32 [T]
TIMESTAMP = "timestamp"  # int64 [T], seconds since 1970-01-01 UTC
WEIGHT = "weight"  # float32 [T], how much each counts as a target; empty where all count alike
# The columns of the log that are features of activities, `C` values for each activity; empty where there are none.
ACTIVITY_WORDS = "activity_words"  # bytes [T * C], empty where missing and in columns of numbers
ACTIVITY_NUMBERS = "activity_numbers"  # float32 [T * C], NaN where missing and in columns of words
# Raw features of the eval and test splits alone.
TARGET_ID = "target_id"  # bytes [1]
TARGET_RATING = "target_rating"  # float32 [1]
TARGET_TIMESTAMP = "target_timestamp"  # int64 [1]
HISTORY_BUCKET = "history_bucket"  # bytes [1], one of HISTORY_BUCKETS
POPULARITY_BUCKET = "popularity_bucket"  # bytes [1], one of POPULARITY_BUCKETS

# Raw features of the catalog split.
CATALOG_ITEM_ID = "catalog_item_id"  # bytes [1]
CATALOG_TOKENS = "catalog_tokens"  # bytes [F], what is known of the item, as `token` writes it
CATALOG_VECTOR = "catalog_vector"  # float32 [D], such as a text embedding; empty where the items have none
CATALOG_TRAIN_EVENTS = "catalog_train_events"  # int64 [1], how often the item stands in the train split
CATALOG_EVENTS = "catalog_events"  # int64 [1], how often the item stands in the log

# Raw features of the split of words.
WORD = "word"  # bytes [1]
WORD_COLUMN = "word_column"  # int64 [1], the number of its column, from 0
WORD_TRAIN_EVENTS = "word_train_events"  # int64 [1], how often it stands there in the train split
WORD_EVENTS = "word_events"  # int64 [1], how often it stands there in the log

# How many items a user's timeline has before the target: label -> least length, in order.
HISTORY_BUCKETS = {"0": 0, "1": 1, "2-4": 2, "5-9": 5, "10-19": 10, "20-49": 20, "50-199": 50, "200+": 200}
# How popular the target is: items in order of their number of train events, cut where a third and two thirds of all
# train events are reached; `cold` items have no train event.
POPULARITY_BUCKETS = ("head", "middle", "tail", "cold")

# Transformed features; those of timelines are empty in the catalog split, and those of items elsewhere.
TIMELINE = "timeline"  # int64 [T], item indices, oldest first
TIMELINE_RATING = "timeline_rating"  # float32 [T]
TIMELINE_TIME = "timeline_time"  # int64 [T], seconds since 1970-01-01 UTC
TIMELINE_WEIGHT = "timeline_weight"  # float32 [T], or empty
HISTORY = "history"  # int64 [history_length], the last item indices, oldest first, then PADDING
HISTORY_RATING = "history_rating"  # float32 [history_length]
HISTORY_TIME = "history_time"  # int64 [history_length]
TARGET = "target"  # int64 [1], item index; PADDING in the train split
ITEM = "item"  # int64 [1], item index; PADDING where there is none
ITEM_VECTOR = "item_vector"  # float32 [D]
ITEM_TOKENS = "item_tokens"  # int64 [F], indices of the item's tokens

NO_ITEM = -1  # fills an answer where fewer items remain

# Names of the vocabularies inside the Transform graph.
ITEM_VOCABULARY = "items"
TOKEN_VOCABULARY = "tokens"


# Features of activities that every log has; others are columns of it.
RATING_FEATURE, TIME_GAP_FEATURE = "rating", "time_gap"
# Their inputs, and names that inputs of other features must not have.
ACTIVITY_INPUTS = {RATING_FEATURE: "ratings", TIME_GAP_FEATURE: "times"}
OTHER_INPUTS = frozenset({*ACTIVITY_INPUTS.values(), "history", "exclude", "items", "k", "self"})


def activity_columns(names: Iterable[str]) -> list[str]:
    """Returns those of some features of activities that are columns of the log."""
    return [name for name in names if name not in ACTIVITY_INPUTS]


def activity_input(name: str) -> str:
    """Returns the name of the model's input for a feature of activities, such as `device` for `device:token`."""
    if name in ACTIVITY_INPUTS:
        return ACTIVITY_INPUTS[name]
    plain = re.sub(r"\W", "_", name.partition(":")[0].strip() or name, flags=re.ASCII)
    return f"column_{plain}" if plain in OTHER_INPUTS or not plain[:1].isalpha() else plain


def column_feature(rows: str, kind: str, input_: str) -> str:
    """Returns the transformed feature with a column of the log, such as `history_word_device`.

    Args:
        rows: `TIMELINE`, for one of values [T], or `HISTORY`, for values [history_length].
        kind: `word`, int64 indices into the vocabulary of the column, PADDING where missing; or `number`, float32.
        input_: name of the model's input.
    """
    return f"{rows}_{kind}_{input_}"


def word_vocabulary(input_: str) -> str:
    """Returns the name of the vocabulary of a column that holds words."""
    return f"activity_{input_}"


def history_bucket(length: int) -> str:
    """The bucket of a history of `length` items."""
    return next(label for label, least in reversed(HISTORY_BUCKETS.items()) if length >= least)


def token(feature: str, value: str) -> str:
    """A value of an item's feature as one word of the token vocabulary, such as `genres=Comedy`."""
    return f"{feature}={value}"


def vector_word(size: int) -> str:
    """Returns the value of a feature that is a vector, which `CATALOG_VECTOR` holds."""
    return f"vector of {size} numbers"


def feature_of(token: str) -> str:
    """The feature that a token is a value of."""
    return token.partition("=")[0]
