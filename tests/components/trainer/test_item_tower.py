"""The item tables against values by hand: an item's own embedding, the means of its features, and transitions."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.item_tower import FeatureValues, ItemTower, feature_values
from components.trainer.settings import TrainerSettings

COUNTS = np.array([0, 0, 3, 1, 0, 0])  # items 4 and 5 have no train events


def values_of(values_by_item: list[list[int]], size: int) -> FeatureValues:
    splits = np.cumsum([0, *map(len, values_by_item)])
    return FeatureValues(
        np.array([value for item_values in values_by_item for value in item_values], np.int32), splits, size
    )


GENRES = values_of([[], [], [0, 1], [0], [1, 2], []], 3)
YEARS = values_of([[], [], [1], [0], [1], []], 2)


def make(item_features: dict[str, FeatureValues], **settings: object) -> tuple[ItemTower, dict[str, np.ndarray]]:
    keras.utils.set_random_seed(1)
    tower = ItemTower(TrainerSettings(dimension=4, **settings).decided(), COUNTS, item_features)
    tower.build()
    return tower, {weight.name: np.asarray(weight) for weight in tower.weights}


@pytest.mark.parametrize(("with_genres", "with_years"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("transition", [False, True])
def test_tables_agree_with_values_by_hand(with_genres, with_years, transition):
    item_features = ({"genres": GENRES} if with_genres else {}) | ({"year": YEARS} if with_years else {})
    tower, weights = make(item_features, transition=transition)
    assert set(weights) == {"item", *item_features, *(["transition"] if transition else [])}
    expected = weights["item"] * (COUNTS > 0)[:, None]
    if with_genres:
        expected[2] += (weights["genres"][0] + weights["genres"][1]) / 2
        expected[3] += weights["genres"][0]
        expected[4] += (weights["genres"][1] + weights["genres"][2]) / 2
    if with_years:
        expected[[2, 4]] += weights["year"][1]
        expected[3] += weights["year"][0]
    tables = tower.tables()
    np.testing.assert_allclose(tables.labels, expected, atol=1e-6)
    expected_inputs = expected + weights["transition"] if transition else expected
    np.testing.assert_allclose(tables.inputs, expected_inputs * math.sqrt(4), atol=1e-6)


def test_an_item_without_train_events_has_only_the_embeddings_of_its_features():
    tower, _ = make({"genres": GENRES})
    before = np.asarray(tower.tables().labels)
    tower._item.assign_add(np.ones(tower._item.shape))
    moved = np.abs(np.asarray(tower.tables().labels) - before).max(axis=1) > 0
    assert moved.tolist() == [False, False, True, True, False, False]


def test_item_dropout_keeps_features_and_applies_only_in_training():
    counts = np.concatenate([[0, 0], np.ones(2000, np.int64)])
    genres = values_of([[0]] * 2002, 1)
    tower = ItemTower(TrainerSettings(dimension=4, item_dropout=0.3), counts, {"genres": genres})
    tower.build()
    serving, serving_again, dropped, dropped_again = (
        np.asarray(tower.tables(training=training).labels) for training in (False, False, True, True)
    )
    np.testing.assert_array_equal(serving, serving_again)
    feature_embedding = np.asarray(tower._of_feature["genres"])[0]
    is_dropped = np.isclose(dropped[2:], feature_embedding, atol=1e-7).all(axis=1)
    assert 0.25 < is_dropped.mean() < 0.35
    np.testing.assert_allclose(dropped[2:][~is_dropped], serving[2:][~is_dropped], atol=1e-6)  # not scaled
    assert (np.isclose(dropped_again[2:], feature_embedding, atol=1e-7).all(axis=1) != is_dropped).any(), (
        "every step drops other items"
    )


def test_item_dropout_drops_an_item_from_both_tables_but_not_its_transition():
    tower, weights = make({}, item_dropout=0.9)
    for _ in range(20):
        tables = tower.tables(training=True)
        labels, inputs = np.asarray(tables.labels), np.asarray(tables.inputs)
        np.testing.assert_allclose(inputs, (labels + weights["transition"]) * 2, atol=1e-6)
        for item in (2, 3):
            assert not labels[item].any() or np.allclose(labels[item], weights["item"][item])


def test_rows_of_the_tables_agree_with_the_entire_tables():
    tower, _ = make({"genres": GENRES, "year": YEARS})
    rows = np.array([4, 0, 2], np.int32)
    for part, entire in zip(tower.tables(rows=rows), tower.tables(), strict=True):
        np.testing.assert_allclose(part, np.asarray(entire)[rows], atol=1e-6)


def listed(known: FeatureValues) -> list[list[int]]:
    return [part.tolist() for part in np.split(known.values, known.splits[1:-1])]


def test_feature_values_agree_with_values_by_hand():
    # Tokens 2 and 7 belong to the feature, 3 and 5 to another; item 4 has a token of each, item 3 only of the other.
    pairs = np.array([[2, 7], [2, 3], [2, 2], [4, 7], [4, 5], [3, 5]], np.int32)
    known = feature_values(pairs, np.array([7, 2], np.int32), 6)
    assert (listed(known), known.size) == ([[], [], [0, 1], [], [0], []], 2)


@pytest.mark.parametrize("pairs", [np.zeros((0, 2), np.int32), np.array([[2, 3]], np.int32)])
def test_items_without_tokens_of_a_feature_have_no_values(pairs):
    assert listed(feature_values(pairs, np.array([2], np.int32), 4)) == [[]] * 4


def test_feature_values_agree_with_counting():
    random = np.random.default_rng(4)
    known = {item: random.choice(20, random.integers(0, 5), replace=False) + 2 for item in range(2, 30)}
    pairs = np.array([(item, token) for item, tokens in known.items() for token in tokens], np.int32)
    feature_tokens = random.permutation(20)[:9].astype(np.int32) + 2
    values = listed(feature_values(random.permutation(pairs), feature_tokens, 30))
    for item, tokens in known.items():
        assert sorted(feature_tokens[values[item]]) == sorted(set(tokens) & set(feature_tokens))


def test_feature_values_take_memory_only_for_existing_values():
    """A matrix of 90,000 items by 5,000 brands would take 1.8 GB."""
    items, brands = 90_000, 5_000
    pairs = np.stack([np.arange(items) + 2, np.arange(items) % brands + 2], axis=1).astype(np.int32)
    brand = feature_values(pairs, np.arange(brands, dtype=np.int32) + 2, items + 2)
    assert brand.values.nbytes + brand.splits.nbytes < 2_000_000
    tower = ItemTower(TrainerSettings(dimension=4), np.ones(items + 2, np.int64), {"brand": brand})
    tower.build()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tower.tables(rows=tf.constant([2, 2 + brands, 7])).labels)
    gradient = tape.gradient(loss, tower._of_feature["brand"].value)
    assert isinstance(gradient, tf.Tensor), "a sparse gradient needs unique rows"
    assert np.asarray(gradient)[[0, 5, 6], 0].tolist() == [2, 1, 0], "items 2 and 5,002 share a brand"
