"""Ranking in blocks and the popularity list, compared with entire rows that NumPy sorts."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components import features
from components.features import NO_ITEM
from components.trainer import ranking
from components.trainer.baselines import PopularityList
from components.trainer.ranking import ItemScores

BLOCK, USERS = 16, 40
# Sizes at and around the edges of blocks, within the first block, and with only two items.
SIZES = (4, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK - 1, 3 * BLOCK, 3 * BLOCK + 1)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "BLOCK", BLOCK)


class World:
    """Users with scores, many of which are equal, with seen items, and with targets of every kind."""

    def __init__(self, size: int):
        random = np.random.default_rng(size)
        self.size = size
        self.scores = random.integers(0, 5, (USERS, size)).astype(np.float32)
        self.seen = random.integers(0, size, (USERS, 12)).astype(np.int32)  # PADDING, UNKNOWN and repeats among them
        self.seen[0] = features.PADDING
        self.targets = random.integers(0, size, USERS).astype(np.int32)
        self.targets[:4] = [features.PADDING, features.UNKNOWN, features.FIRST_INDEX, size - 1]
        self.targets[4] = self.seen[4, -1]

    def unseen(self) -> ItemScores:
        return ItemScores(lambda first, last: tf.constant(self.scores)[:, first:last], self.size, self.seen)

    def lists(self, scores: np.ndarray) -> list[list[int]]:
        """Returns all unseen items of each user, best first, ties in the order of their indices."""
        orders = [np.lexsort((np.arange(self.size), -row)) for row in scores]
        excluded = [{features.PADDING, features.UNKNOWN, *row} for row in self.seen.tolist()]
        return [
            [item for item in row.tolist() if item not in excluded_items]
            for row, excluded_items in zip(orders, excluded, strict=True)
        ]

    def ranks(self, lists: list[list[int]]) -> list[int]:
        return [
            row.index(target) if target in row else self.size
            for row, target in zip(lists, self.targets.tolist(), strict=True)
        ]


@pytest.fixture(params=SIZES, name="world")
def make_world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def filled(lists: list[list[int]], length: int, filler: int) -> list[list[int]]:
    return [(row + [filler] * length)[:length] for row in lists]


def test_ranks_agree_with_sorting_entire_rows(world):
    expected = world.ranks(world.lists(world.scores))
    assert world.unseen().ranks(tf.constant(world.targets)).numpy().tolist() == expected
    assert world.size in expected[:5], "unknown and seen targets have no rank"


@pytest.mark.parametrize("length", [1, 10, 60])
def test_the_best_items_agree_with_sorting_entire_rows(world, length):
    scores, ids = (tensor.numpy() for tensor in world.unseen().best(length))
    lists = world.lists(world.scores)
    assert np.where(scores > ranking.FORBIDDEN / 2, ids, NO_ITEM).tolist() == filled(lists, length, NO_ITEM)
    expected_scores = filled(
        [world.scores[user, row].tolist() for user, row in enumerate(lists)], length, ranking.FORBIDDEN
    )
    np.testing.assert_array_equal(scores, expected_scores)


def test_the_popularity_list_is_the_order_of_indices_without_seen_items(world):
    by_popularity = np.tile(-np.arange(world.size, dtype=np.float32), (USERS, 1))
    lists, popular = world.lists(by_popularity), PopularityList(world.size, tf.constant(world.seen))
    assert popular.ranks(tf.constant(world.targets)).numpy().tolist() == world.ranks(lists)
    for length in (1, min(10, world.size)):
        assert popular.best(length).numpy().tolist() == filled(lists, length, NO_ITEM)


def test_no_block_exceeds_the_catalogue():
    requested = []

    def scores_of(first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        requested.append((int(first), int(last)))
        return tf.zeros([1, last - first])

    ItemScores(scores_of, 2 * BLOCK + 3, tf.zeros([1, 0], tf.int32)).best(3)
    assert requested == [(0, BLOCK), (BLOCK, 2 * BLOCK), (2 * BLOCK, 2 * BLOCK + 3)]
