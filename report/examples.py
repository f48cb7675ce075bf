"""Recommends with the pushed file to some users of the test split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import features
from on_device.recommender import Recommendation, Recommender

READ = 500  # timelines, of which some are shown
QUANTILES = (0.05, 0.5, 0.95)  # of the lengths of the timelines; those with these lengths are shown
SHOWN_HISTORY, SHOWN = 4, 5  # items
CUT = 10  # of the rank


@dataclass(frozen=True)
class User:
    """A user of the test split.

    Attributes:
        items: ids of the history, oldest first.
        ratings: of these items.
        times: of these items, in seconds since 1970-01-01 UTC.
        target: id of the next item.
    """

    items: list[str]
    ratings: list[float]
    times: list[int]
    target: str


@dataclass(frozen=True)
class Example:
    """The recommendations to a user.

    Attributes:
        length: of the history.
        history: titles of its last items, oldest first.
        target: title of the next item; None for a new user.
        rank: of the target among the best 10, from 1; None if it is not among them.
        recommendations: the best items, best first.
    """

    length: int
    history: list[str]
    target: str | None
    rank: int | None
    recommendations: list[Recommendation]


def read_users(examples: Path) -> list[User]:
    """Returns users with a short, a median and a long history.

    Args:
        examples: folder of ExampleGen's Examples artifact.
    """
    import tensorflow as tf  # Here, because the rest of the page does not need it.

    files = sorted(map(str, examples.glob(f"Split-{features.TEST}/*")))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").take(READ).as_numpy_iterator()
    users = sorted((_user(tf.train.Example.FromString(record)) for record in records), key=lambda user: len(user.items))
    chosen = sorted({round(quantile * (len(users) - 1)) for quantile in QUANTILES}) if users else []
    return [users[place] for place in chosen]


def recommend_for(recommender: Recommender, users: list[User]) -> list[Example]:
    """Returns the recommendations to each user, and to a new user."""
    k = min(CUT, recommender.top_k)

    def title(item_id: str) -> str:
        item = recommender.catalogue.find(item_id)
        return item.title if item else item_id

    examples = []
    for user in users:
        recommendations = recommender.recommend(user.items, k, ratings=user.ratings, times=user.times)
        ids = [recommendation.id for recommendation in recommendations]
        rank = ids.index(user.target) + 1 if user.target in ids else None
        history = [title(item_id) for item_id in user.items[-SHOWN_HISTORY:]]
        examples.append(Example(len(user.items), history, title(user.target), rank, recommendations[:SHOWN]))
    return [*examples, Example(0, [], None, None, recommender.recommend([], k)[:SHOWN])]


def _user(example: Any) -> User:
    values = example.features.feature
    return User(
        items=[item.decode() for item in values[features.ITEM_ID].bytes_list.value],
        ratings=list(values[features.RATING].float_list.value),
        times=list(values[features.TIMESTAMP].int64_list.value),
        target=values[features.TARGET_ID].bytes_list.value[0].decode(),
    )
