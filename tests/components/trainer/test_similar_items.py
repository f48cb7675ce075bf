"""Tests similar items against a plain computation, and their part in the embeddings of items."""

from __future__ import annotations

import collections
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from components.features import PADDING, UNKNOWN
from components.trainer.item_tower import ItemTower
from components.trainer.lazy_adam import LazyAdam
from components.trainer.model import RecommenderModel
from components.trainer.settings import TrainerSettings
from components.trainer.similar_items import DISTANCE, SimilarItems, similar_items

SIZE = 14
SIMILAR = SimilarItems(
    np.array([[0, 0], [0, 0], [3, 4], [2, 0], [2, 3]], np.int32),
    np.array([[0, 0], [0, 0], [0.75, 0.25], [1, 0], [0.5, 0.5]], np.float32),
)


def similar_by_counting(timelines: list[list[int]], count: int) -> list[list[tuple[int, float]]]:
    """Returns the similar items of each item with their weights."""
    pairs, interactions = collections.Counter(), collections.Counter(itertools.chain(*timelines))
    for timeline in timelines:
        for (first, item), (second, other) in itertools.permutations(enumerate(timeline), 2):
            if item != other and abs(first - second) <= DISTANCE:
                pairs[item, other] += 1
    rows = []
    for item in range(SIZE):
        near = [(pairs[item, other] / math.sqrt(interactions[item] * interactions[other]), other)
                for other in range(SIZE) if pairs[item, other]]  # fmt: skip
        near = sorted(near, key=lambda pair: (-pair[0], pair[1]))[:count]
        total = sum(similarity for similarity, _ in near)
        rows.append([(other, similarity / total) for similarity, other in near])
    return rows


@pytest.mark.parametrize("count", [1, 3, 30])
def test_similar_items_agree_with_a_plain_count(timelines_of, count):
    random = np.random.default_rng(1)
    timelines = [random.integers(2, SIZE - 1, length).tolist() for length in (0, 1, 2, 5, 9, 40)]
    similar = similar_items(timelines_of(timelines), SIZE, count)
    assert similar.items.shape == similar.weights.shape == (SIZE, count)
    for items, weights, expected in zip(*similar, similar_by_counting(timelines, count), strict=True):
        assert items.tolist() == [item for item, _ in expected] + [PADDING] * (count - len(expected))
        np.testing.assert_allclose(weights[: len(expected)], [weight for _, weight in expected], rtol=1e-5)
        assert not weights[len(expected) :].any()


def test_items_far_apart_and_unknown_items_form_no_pairs(timelines_of):
    similar = similar_items(timelines_of([[2, *[3] * DISTANCE, 4], [UNKNOWN, 5]]), 6, 2)
    assert similar.items.tolist() == [[0, 0], [0, 0], [3, 0], [2, 4], [3, 0], [0, 0]]


def make_tower() -> ItemTower:
    tower = ItemTower(TrainerSettings(dimension=4).decided(), np.array([0, 0, 3, 2, 1]), {}, SIMILAR)
    tower.build()
    return tower


def test_the_embedding_of_an_item_includes_the_mean_of_similar_items():
    tower = make_tower()
    own = tower.item_tables["item"].numpy()
    labels = tower.tables().labels.numpy()
    np.testing.assert_allclose(labels[2], own[2] + 0.75 * own[3] + 0.25 * own[4], rtol=1e-5)
    np.testing.assert_allclose(labels[3], own[3] + own[2], rtol=1e-5)


def test_rows_of_the_tables_have_the_gradients_of_the_entire_tables():
    tower, rows = make_tower(), tf.constant([0, 1, 4, 2])
    factors = tf.reshape(tf.range(1.0, 17.0), [4, 4])
    gradients = []
    for is_part in (False, True):
        with tf.GradientTape() as tape:
            labels = tower.tables(rows=rows).labels if is_part else tf.gather(tower.tables().labels, rows)
            loss = tf.reduce_sum(labels * factors)
        gradients.append(tape.gradient(loss, tower.item_tables["item"].value))
    entire, part = gradients
    assert len(set(part.indices.numpy().tolist())) == len(part.indices), "the optimizer needs unique rows"
    np.testing.assert_allclose(tf.convert_to_tensor(part), tf.convert_to_tensor(entire), rtol=1e-5)


@pytest.mark.parametrize(
    ("items", "positions", "changes", "count"),
    [
        (1000, 50_000, {}, 10),
        (1000, 200_000, {}, 0),
        (1000, 50_000, {"loss": "sampled_softmax"}, 0),
        (1000, 50_000, {"loss": "sampled_softmax", "similar_items": 5}, 5),
        (1000, 200_000, {"similar_items": 5}, 5),
    ],
)
def test_sparse_data_uses_similar_items(items, positions, changes, count):
    assert TrainerSettings(**changes).for_data(items, positions, 100).similar_items == count


def test_a_step_with_some_rows_also_trains_similar_items():
    settings = TrainerSettings(encoder="bow", dimension=4, members=[], loss="in_batch_softmax", similar_items=1)
    similar = SimilarItems(np.array([[0], [0], [3], [0], [0], [0]], np.int32), np.eye(6, dtype=np.float32)[:, 2:3])
    model = RecommenderModel(settings, 2, np.array([0, 0, 3, 2, 1, 1]), similar=similar)
    model.compile(LazyAdam(0.1))
    table = model.members[0].item_tower.item_tables["item"]
    before = table.numpy()
    model.train_step(({"items": tf.constant([[2, 4]])}, tf.constant([[4, 5]]), tf.constant([[1.0, 1.0]])))
    changed = (table.numpy() != before).any(axis=1)
    assert changed.tolist() == [False, False, True, True, True, True], "item 3 is only similar to item 2"
