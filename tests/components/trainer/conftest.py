"""Timelines in memory that are created from lists, and settings for fast fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from components import features
from components.trainer import input_pipeline
from components.trainer.input_pipeline import ITEMS, RATINGS, TIMES, Activities, Timelines
from components.trainer.settings import TrainerSettings

# A model with one member and few weights, which fits in seconds; each test changes the settings that it needs.
SMALL = TrainerSettings(encoder="bow", members=(), dimension=4, window=4, max_minutes=60, patience=2, top_k=3)
Columns = Sequence[Sequence[float]]


@pytest.fixture(scope="session")
def activities_of() -> Callable[..., Activities]:
    """Returns a function that creates activities from item indices; by default, all ratings are 3 and times unknown."""

    def make(
        items: Sequence | np.ndarray, ratings: Sequence | np.ndarray = (), times: Sequence | np.ndarray = ()
    ) -> Activities:
        items = np.asarray(items, np.int32)
        return {
            ITEMS: items,
            RATINGS: np.asarray(ratings, np.float32) if len(ratings) else np.full(items.shape, 3, np.float32),
            TIMES: np.asarray(times, np.int32) if len(times) else np.zeros(items.shape, np.int32),
        }

    return make


@pytest.fixture(scope="session")
def timelines_of(activities_of: Callable[..., Activities]) -> Callable[..., Timelines]:
    """Returns a function that creates timelines from a list of item indices per user, and from optional columns."""

    def make(
        items: Columns,
        targets: Sequence[int] = (),
        ratings: Columns | None = None,
        times: Columns | None = None,
    ) -> Timelines:
        ratings = [[3.0] * len(row) for row in items] if ratings is None else ratings
        times = [[0] * len(row) for row in items] if times is None else times
        flat = ([value for row in column for value in row] for column in (items, ratings, times))
        return Timelines(
            activities=activities_of(*flat),
            starts=np.concatenate([[0], np.cumsum([len(row) for row in items], dtype=np.int64)]),
            targets=np.array(targets if len(targets) else [features.PADDING] * len(items), np.int32),
        )

    return make


@pytest.fixture(scope="session")
def circle(timelines_of: Callable[..., Timelines]) -> Callable[..., Timelines]:
    """Returns a function that creates timelines in which all users follow one circle: the next item is certain."""

    def make(users: int = 40, films: int = 12, length: int = 9) -> Timelines:
        rows = (np.arange(users)[:, None] % films + np.arange(length + 1)) % films + features.FIRST_INDEX
        return timelines_of(rows[:, :length].tolist(), rows[:, length].tolist())

    return make


@pytest.fixture(scope="module")
def one_shape() -> Iterator[None]:
    """Gives all batches one shape, because tracing takes most of the time of small fits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(input_pipeline, "BUCKETS", (1.0,))
        yield
