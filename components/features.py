"""Names and numbers that one step promises the next: the single source of truth for features.

Two kinds of record travel through the pipeline.

A *raw* example, written by ExampleGen, is one timeline: what a user did, oldest first, and in the `eval` and `test`
splits also the target, the item that came next. Ids are bytes, so that any catalogue's ids fit.

A *transformed* example, written by Transform, is the same timeline as indices into the vocabularies, with its last
`history_length` items as a fixed-length history.
"""

from __future__ import annotations

# Splits of the data.
TRAIN, EVAL, TEST = "train", "eval", "test"
SPLITS = (TRAIN, EVAL, TEST)

# Indices that mean the same in every vocabulary, on the device too.
PADDING = 0
UNKNOWN = 1
FIRST_INDEX = 2  # the first index that stands for a real item, genre or year

# Raw features of every split. `T` is the length of the timeline.
USER_ID = "user_id"  # bytes [1]
ITEM_ID = "item_id"  # bytes [T], oldest first
RATING = "rating"  # float32 [T]
TIMESTAMP = "timestamp"  # int64 [T], seconds since 1970-01-01 UTC
# Raw features of the train split alone: what the vocabularies of item features are built from.
GENRES = "genres"  # bytes [T], joined with GENRE_SEPARATOR; empty where unknown
YEAR = "year"  # int64 [T], year of release; NO_YEAR where unknown
# Raw features of the eval and test splits alone.
TARGET_ID = "target_id"  # bytes [1]
TARGET_RATING = "target_rating"  # float32 [1]
TARGET_TIMESTAMP = "target_timestamp"  # int64 [1]
HISTORY_BUCKET = "history_bucket"  # bytes [1], one of HISTORY_BUCKETS
POPULARITY_BUCKET = "popularity_bucket"  # bytes [1], one of POPULARITY_BUCKETS

GENRE_SEPARATOR = "|"
NO_YEAR = 0

# How many items a user's timeline has before the target: label -> least length, in order.
HISTORY_BUCKETS = {"0": 0, "1": 1, "2-4": 2, "5-9": 5, "10-19": 10, "20-49": 20, "50-199": 50, "200+": 200}
# How popular the target is: items in order of their number of train events, cut where a third and two thirds of all
# train events are reached; `cold` items have no train event.
POPULARITY_BUCKETS = ("head", "middle", "tail", "cold")

# Transformed features of every split.
TIMELINE = "timeline"  # int64 [T], item indices, oldest first
HISTORY = "history"  # int64 [history_length], the last item indices, oldest first, then PADDING
TARGET = "target"  # int64 [1], item index; PADDING in the train split
# Transformed features of the train split (empty elsewhere), row t describes item t of the timeline.
TIMELINE_GENRES = "timeline_genres"  # int64 [T * genres_per_item], genre indices, PADDING where fewer
TIMELINE_YEAR = "timeline_year"  # int64 [T], year indices

# Names of the vocabularies inside the Transform graph.
ITEM_VOCABULARY = "items"
GENRE_VOCABULARY = "genres"
YEAR_VOCABULARY = "years"


def history_bucket(length: int) -> str:
    """The bucket of a history of `length` items."""
    return next(label for label, least in reversed(HISTORY_BUCKETS.items()) if length >= least)
