"""What the pushed file recommends to some users of the test split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import features
from on_device.recommender import Recommendation, Recommender

READ = 500  # timelines, of which some are shown
SHARES = (0.05, 0.5, 0.95)  # where those stand, in order of length
SHOWN_HISTORY, SHOWN = 4, 5
CUT = 10


@dataclass(frozen=True)
class User:
    """A timeline of the test split: ids oldest first, ratings, seconds since 1970, and the id that came next."""

    items: list[str]
    ratings: list[float]
    times: list[int]
    target: str


@dataclass(frozen=True)
class Example:
    """What is recommended to a user.

    Attributes:
        length: of the history.
        history: titles of its last items, oldest first.
        target: title of the item that came next; None where nobody knows.
        rank: of that item among the best 10, from 1; None where it is not there.
        found: the best items, best first.
    """

    length: int
    history: list[str]
    target: str | None
    rank: int | None
    found: list[Recommendation]


def read_users(examples: Path) -> list[User]:
    """Users with a short, a middling and a long history; `examples` is the folder of ExampleGen's Examples artifact."""
    import tensorflow as tf  # Only now: the page itself does without.

    files = sorted(map(str, examples.glob(f"Split-{features.TEST}/*")))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").take(READ).as_numpy_iterator()
    users = sorted((_user(tf.train.Example.FromString(record)) for record in records), key=lambda user: len(user.items))
    chosen = sorted({round(share * (len(users) - 1)) for share in SHARES}) if users else []
    return [users[at] for at in chosen]


def recommend_for(recommender: Recommender, users: list[User]) -> list[Example]:
    """What each of the users, and one of whom nothing is known, is recommended."""
    best = min(CUT, recommender.top_k)

    def title(wanted: str) -> str:
        item = recommender.catalogue.find(wanted)
        return item.title if item else wanted

    shown = []
    for user in users:
        found = recommender.recommend(user.items, best, ratings=user.ratings, times=user.times)
        rank = next((at for at, one in enumerate(found, start=1) if one.id == user.target), None)
        history = [title(item) for item in user.items[-SHOWN_HISTORY:]]
        shown.append(Example(len(user.items), history, title(user.target), rank, found[:SHOWN]))
    return [*shown, Example(0, [], None, None, recommender.recommend([], best)[:SHOWN])]


def _user(example: Any) -> User:
    held = example.features.feature
    return User(
        items=[item.decode() for item in held[features.ITEM_ID].bytes_list.value],
        ratings=list(held[features.RATING].float_list.value),
        times=list(held[features.TIMESTAMP].int64_list.value),
        target=held[features.TARGET_ID].bytes_list.value[0].decode(),
    )
