"""Names and constants of the features that steps exchange.

The pipeline has two kinds of examples.

A *raw* example, written by ExampleGen, is a timeline: the activities of a user, oldest first, and in the `eval` and
`test` splits also the target, the next item. Ids are bytes, so that they can be of any kind. The `catalog` split has an
example per item instead, with its features, and the `words` split an example per word of the activities.

A *transformed* example, written by Transform, is the same timeline as indices into the vocabularies, with its last
`history_length` activities as a fixed-length history; or the same item as indices.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Splits of the data.
TRAIN, EVAL, TEST = "train", "eval", "test"
SPLITS = (TRAIN, EVAL, TEST)
CATALOG = "catalog"  # a split of the same artifact, with items instead of timelines
WORDS = "words"  # a split of the same artifact, with the words of activity features
ALL = "all"  # a split of complete timelines for Refit; only in pipelines that refit

# Indices with the same meaning in every vocabulary, also on the device.
PADDING = 0
UNKNOWN = 1
FIRST_INDEX = 2  # of an item or token

# Raw features of every split of timelines; `T` is the length of the timeline.
USER_ID = "user_id"  # bytes [1]
ITEM_ID = "item_id"  # bytes [T], oldest first
RATING = "rating"  # float32 [T]
TIMESTAMP = "timestamp"  # int64 [T], seconds since 1970-01-01 UTC
WEIGHT = "weight"  # float32 [T], the weight of each activity as a target; empty where all are equal
# The columns of the log that are activity features, `C` values per activity; empty where there are none.
ACTIVITY_WORDS = "activity_words"  # bytes [T * C], empty where missing and in columns of numbers
ACTIVITY_NUMBERS = "activity_numbers"  # float32 [T * C], NaN where missing and in columns of words
# Raw features of the eval and test splits only.
TARGET_ID = "target_id"  # bytes [1]
TARGET_RATING = "target_rating"  # float32 [1]
TARGET_TIMESTAMP = "target_timestamp"  # int64 [1]
HISTORY_BUCKET = "history_bucket"  # bytes [1], one of HISTORY_BUCKETS
POPULARITY_BUCKET = "popularity_bucket"  # bytes [1], one of POPULARITY_BUCKETS

# Raw features of the catalog split.
CATALOG_ITEM_ID = "catalog_item_id"  # bytes [1]
CATALOG_TOKENS = "catalog_tokens"  # bytes [F], the features of the item, as `token` writes them
CATALOG_VECTOR = "catalog_vector"  # float32 [D], such as a text embedding; empty where the items have none
CATALOG_TRAIN_EVENTS = "catalog_train_events"  # int64 [1], number of events of the item in the train split
CATALOG_EVENTS = "catalog_events"  # int64 [1], number of events of the item in the log

# Raw features of the words split.
WORD = "word"  # bytes [1]
WORD_COLUMN = "word_column"  # int64 [1], number of the column, from 0
WORD_TRAIN_EVENTS = "word_train_events"  # int64 [1], number of its occurrences in the train split
WORD_EVENTS = "word_events"  # int64 [1], number of its occurrences in the log

# Ranges of the length of a timeline before the target: label -> smallest length, in order.
HISTORY_BUCKETS = {"0": 0, "1": 1, "2-4": 2, "5-9": 5, "10-19": 10, "20-49": 20, "50-199": 50, "200+": 200}
# Popularity of the target: items in order of their train events, cut at one and two thirds of all train events; `cold`
# items have no train events.
POPULARITY_BUCKETS = ("head", "middle", "tail", "cold")

# Transformed features; those of timelines are empty in the catalog split, those of items in all others.
TIMELINE = "timeline"  # int64 [T], item indices, oldest first
TIMELINE_RATING = "timeline_rating"  # float32 [T]
TIMELINE_TIME = "timeline_time"  # int64 [T], seconds since 1970-01-01 UTC
TIMELINE_WEIGHT = "timeline_weight"  # float32 [T], or empty
HISTORY = "history"  # int64 [history_length], the last item indices, oldest first, then PADDING
HISTORY_RATING = "history_rating"  # float32 [history_length]
HISTORY_TIME = "history_time"  # int64 [history_length]
TARGET = "target"  # int64 [1], item index; PADDING in the train split
ITEM = "item"  # int64 [1], item index; PADDING in all other splits
ITEM_VECTOR = "item_vector"  # float32 [D]
ITEM_TOKENS = "item_tokens"  # int64 [F], indices of the item's tokens

NO_ITEM = -1  # fills the output where fewer items remain

# Names of the vocabularies inside the Transform graph.
ITEM_VOCABULARY = "items"
TOKEN_VOCABULARY = "tokens"

# Activity features that every log has; others are columns of the log.
RATING_FEATURE, TIME_GAP_FEATURE = "rating", "time_gap"
# The names of their inputs, and reserved names that the inputs of other features must not have.
ACTIVITY_INPUTS = {RATING_FEATURE: "ratings", TIME_GAP_FEATURE: "times"}
OTHER_INPUTS = frozenset({*ACTIVITY_INPUTS.values(), "history", "exclude", "items", "k", "self"})


def activity_columns(names: Iterable[str]) -> list[str]:
    """Returns the activity features that are columns of the log."""
    return [name for name in names if name not in ACTIVITY_INPUTS]


def activity_input(name: str) -> str:
    """Returns the name of the model's input for an activity feature, such as `device` for `device:token`."""
    if name in ACTIVITY_INPUTS:
        return ACTIVITY_INPUTS[name]
    plain = re.sub(r"\W", "_", name.partition(":")[0].strip() or name, flags=re.ASCII)
    return f"column_{plain}" if plain in OTHER_INPUTS or not plain[:1].isalpha() else plain


def column_feature(rows: str, kind: str, input_: str) -> str:
    """Returns the name of the transformed feature of a column of the log, such as `history_word_device`.

    Args:
        rows: `TIMELINE` for values [T], or `HISTORY` for values [history_length].
        kind: `word`, int64 indices into the vocabulary of the column, PADDING where missing; or `number`, float32.
        input_: name of the model's input.
    """
    return f"{rows}_{kind}_{input_}"


def word_vocabulary(input_: str) -> str:
    """Returns the name of the vocabulary of a column that holds words."""
    return f"activity_{input_}"


def history_bucket(length: int) -> str:
    """Returns the bucket of a history of `length` items."""
    return next(label for label, least in reversed(HISTORY_BUCKETS.items()) if length >= least)


def token(feature: str, value: str) -> str:
    """Returns the token of a value of an item feature, such as `genres=Comedy`."""
    return f"{feature}={value}"


def vector_word(size: int) -> str:
    """Returns the value of a vector feature in tokens; the vector itself is in `CATALOG_VECTOR`."""
    return f"vector of {size} numbers"


def feature_of(token: str) -> str:
    """Returns the feature of a token."""
    return token.partition("=")[0]
