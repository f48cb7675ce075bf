"""The synthetic sample contains sequences that a model can learn."""

from __future__ import annotations

import collections
import itertools

import pytest

from data.formats import open_dataset
from data.items import read_items
from data.quick_check import quick_check
from data.registry import SAMPLE
from tests.data import make_sample
from tests.data.reading import read_all, rows_of


@pytest.fixture(scope="module")
def timelines() -> list[list[str]]:
    """The items of each user, oldest first."""
    dataset = open_dataset(SAMPLE, "")
    (chunk,) = read_all(dataset)
    assert not chunk.bad_rows
    by_user: dict[str, list[tuple[int, int, str]]] = collections.defaultdict(list)
    for position, (user, item, _, time) in enumerate(rows_of([chunk])):
        by_user[user].append((time, position, item))
    return [[item for _, _, item in sorted(rows)] for rows in by_user.values()]


def test_the_sample_is_small_and_complete(timelines) -> None:
    assert quick_check(SAMPLE).name == "sample"
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 200_000
    items = read_items(open_dataset(SAMPLE, ""))
    assert len({item.title for item in items}) == len(items)
    assert all(item.genres and item.year for item in items)
    assert {item for timeline in timelines for item in timeline} <= {item.id for item in items}
    assert all(len(set(timeline)) == len(timeline) for timeline in timelines)


def test_transitions_predict_better_than_popularity(timelines) -> None:
    popular: collections.Counter[bytes] = collections.Counter()
    following: dict[bytes, collections.Counter[bytes]] = collections.defaultdict(collections.Counter)
    for *history, _ in timelines:
        popular.update(history)
        for before, after in itertools.pairwise(history):
            following[before][after] += 1

    def recall_at_10(counts_after: dict[bytes, collections.Counter[bytes]]) -> float:
        hits = 0
        for *history, target in timelines:
            counts = counts_after.get(history[-1], popular)
            unseen = [item for item in sorted(popular, key=lambda item: -counts[item]) if item not in history]
            hits += target in unseen[:10]
        return hits / len(timelines)

    assert recall_at_10(following) > 2 * recall_at_10({})


def test_the_generator_writes_the_same_bytes(tmp_path) -> None:
    make_sample.make_sample(tmp_path)
    for name in ("ratings.dat", "movies.dat"):
        assert (tmp_path / name).read_bytes() == (SAMPLE / name).read_bytes()
