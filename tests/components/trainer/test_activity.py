"""The embeddings that ratings, times and other columns add to items, by bucket."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from components.trainer.activity import GAP_EDGES, TIME_GAP, ActivityFeature, ActivityTower, number_feature
from components.trainer.input_pipeline import Activities
from components.trainer.model import RecommenderModel
from components.trainer.settings import TrainerSettings

RATING = ActivityFeature("rating", (1.5, 2.5, 4.5))
DEVICE = ActivityFeature("device", words=("phone", "tablet"))
PRICE = ActivityFeature("price", (10.0, 70_000.0))
FEATURES = {feature.name: feature for feature in (RATING, TIME_GAP, DEVICE, PRICE)}
LATEST = 2**31 - 1  # the last second of 32 bits, in 2038
NAN = float("nan")


@pytest.fixture
def bucket_of() -> Callable[..., list[int]]:
    """Returns a function that computes the bucket of each activity of a history for one feature."""

    def compute_buckets(feature: str, **columns: list) -> list[int]:
        tower = ActivityTower([FEATURES[feature]], 4)
        tower.build()
        (table,) = tower.weights
        assert not np.asarray(table).any(), "the table is zero before training"
        table.assign(np.repeat(np.arange(table.shape[0])[:, None], 4, axis=1))
        length = len(next(iter(columns.values())))
        filled = {"ratings": [0.0] * length, "times": [0] * length, **columns}
        activities = {
            "items": np.full((1, length), 2, np.int32),
            "ratings": np.array([filled["ratings"]], np.float32),
            "times": np.array([filled["times"]]).astype(np.int32),
            "device": np.array([filled.get("device", [])], np.int32),
            "price": np.array([filled.get("price", [])], np.float32),
        }
        embedded = np.asarray(tower(activities))
        assert embedded.shape == (1, length, 4) and (embedded == embedded[..., :1]).all()
        return embedded[0, :, 0].astype(int).tolist()

    return compute_buckets


def test_ratings_have_buckets_and_unknown_ratings_have_their_own(bucket_of):
    ratings = [-1.0, 1.0, 1.5, 2.0, 2.5, 4.0, 5.0, NAN, float("inf")]
    assert bucket_of("rating", ratings=ratings) == [1, 1, 2, 2, 3, 3, 4, 0, 4]


def test_time_gaps_have_buckets_that_double_in_width(bucket_of):
    gaps = [0, 1, 2, 3, 4, 7, 8, 86_400]
    times = np.cumsum([1_000_000_000, *gaps]).tolist()
    # The first activity has no gap. A gap of 0 is below the first bound, and 86,400 is between 2^16 and 2^17.
    assert bucket_of("time_gap", times=times) == [0, 1, 2, 3, 3, 4, 4, 5, 18]


def test_a_time_gap_needs_two_known_times(bucket_of):
    assert bucket_of("time_gap", times=[5, 0, 6, 7, 0, 0]) == [0, 0, 0, 2, 0, 0]


def test_time_gaps_do_not_change_after_the_year_2038(bucket_of):
    for gap in (1, 1000, 86_400 * 365):
        earlier = bucket_of("time_gap", times=[1_000_000_000, 1_000_000_000 + gap])
        assert bucket_of("time_gap", times=[LATEST, LATEST + gap]) == earlier
        assert bucket_of("time_gap", times=[2**32 + 10, 2**32 + 10 + gap]) == earlier


def test_the_longest_time_gap_has_a_bucket(bucket_of):
    assert bucket_of("time_gap", times=[1, LATEST]) == [0, len(GAP_EDGES) + 1]


def test_the_embeddings_of_two_features_are_added():
    tower = ActivityTower([RATING, TIME_GAP], 4)
    tower.build()
    weights = {weight.name: weight for weight in tower.weights}
    random = np.random.default_rng(1)
    for weight in weights.values():
        weight.assign(random.normal(size=weight.shape))
    activities = {"ratings": np.array([[NAN, 5]], np.float32), "times": np.array([[10, 11]], np.int32)}
    rating, gap = (np.asarray(weights[name]) for name in ("ratings", "times"))
    np.testing.assert_allclose(tower(activities)[0], [rating[0] + gap[0], rating[4] + gap[2]], rtol=1e-5)


def rating_edges(ratings: np.ndarray) -> np.ndarray:
    return np.array(number_feature("rating", ratings).edges, np.float32)


def test_each_word_has_a_row_and_unknown_words_use_that_of_missing_words(bucket_of):
    assert bucket_of("device", device=[2, 3, 4, 1, 0, -5, 99]) == [2, 3, 0, 0, 0, 0, 0]


def test_large_numbers_have_buckets(bucket_of):
    prices = [0, 9.5, 10, 69_999, 70_000, 1e30, NAN]
    assert bucket_of("price", price=prices) == [1, 1, 2, 2, 3, 3, 0]


def test_missing_numbers_do_not_move_the_bounds():
    assert number_feature("hour", np.array([NAN, 3, NAN, 5], np.float32)).edges == (4.0,)
    hours = np.tile(np.arange(24, dtype=np.float32), 3)
    assert number_feature("hour", hours).edges == tuple(hour + 0.5 for hour in range(23)), "each hour has a bucket"


def test_features_describe_the_input_that_they_need():
    assert DEVICE.describe() == {"feature": "device", "input": "device", "kind": "word", "words": ["phone", "tablet"]}
    assert TIME_GAP.describe() == {"feature": "time_gap", "input": "times", "kind": "time"}
    assert ActivityFeature("price:float").describe() == {"feature": "price:float", "input": "price", "kind": "number"}


def test_dropout_removes_values_in_training_and_not_in_serving(activities_of):
    tower = ActivityTower([RATING], 4, dropout=0.2)
    tower.build()
    tower.weights[0].assign(np.repeat(np.array([0, 0, 0, 1, 0], np.float32)[:, None], 4, axis=1))
    activities = activities_of(np.full((2000, 20), 2))  # All are rated 3.
    assert (np.asarray(tower(activities)) == 1).all()
    kept = np.asarray(tower(activities, training=True))[..., 0]
    is_empty = ~kept.any(axis=1)
    assert is_empty.mean() == pytest.approx(0.2, abs=0.03), "share of histories without any value"
    assert kept[~is_empty].mean() == pytest.approx(0.8, abs=0.01), "share of values in the other histories"
    assert (np.asarray(tower(activities, training=True))[..., 0] != kept).any(), "each call drops other values"


def test_each_of_a_few_distinct_ratings_has_a_bucket():
    ratings = np.array([5, 1, 3.5, 3.5, 1, 5, 5], np.float32)
    assert rating_edges(ratings).tolist() == [2.25, 4.25]
    assert rating_edges(ratings).dtype == np.float32
    assert rating_edges(np.ones(4, np.float32)).tolist() == []
    assert rating_edges(np.zeros(0, np.float32)).tolist() == []


def test_many_distinct_ratings_share_buckets_of_equal_size():
    plays = np.random.default_rng(2).permutation(1200).astype(np.float32)
    edges = rating_edges(plays)
    sizes = np.bincount(np.searchsorted(edges, plays, side="right"))
    assert len(sizes) == 12 and sizes.max() - sizes.min() <= 2


def test_bounds_of_very_uneven_ratings_are_unique():
    edges = rating_edges(np.array([0.0] * 1000 + list(range(1, 50)), np.float32))
    assert (np.diff(edges) > 0).all()


@pytest.mark.parametrize("ratings", [[0.1, 0.2, 3.3], [999, 1000, 2001, 2002]])
def test_bounds_are_the_same_in_float16(ratings):
    edges = rating_edges(np.array(ratings, np.float32))
    assert np.isfinite(edges).all() and (np.diff(edges) > 0).all()
    np.testing.assert_array_equal(edges, edges.astype(np.float16))


def test_bounds_beyond_float16_are_kept():
    edges = rating_edges(np.array([-70_000, 1, 2, 70_000, 90_000], np.float32))
    np.testing.assert_allclose(edges, [-34_999.5, 1.5, 35_001, 80_000], rtol=1e-3)


def changed(activities: Activities, ratings: list, times: list) -> Activities:
    return {**activities, "ratings": np.array([ratings], np.float32), "times": np.array([times], np.int32)}


@pytest.mark.parametrize(
    ("activity_features", "uses_ratings", "uses_times"),
    [([], False, False), (["rating"], True, False), (["time_gap"], False, True), (["rating", "time_gap"], True, True)],
)
def test_a_model_uses_only_the_activity_features_of_its_settings(
    activities_of, activity_features, uses_ratings, uses_times
):
    settings = TrainerSettings(dimension=4, blocks=1, activity_features=activity_features, seed=2)
    known = [FEATURES[name] for name in activity_features]
    model = RecommenderModel(settings, 3, np.array([0, 0, 3, 2, 1]), activity_features=known)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    plain = activities_of([[2, 3, 4]], [[1, 2, 5]], [[10, 20, 9000]])
    tables = model.tables()

    def context(activities: Activities) -> np.ndarray:
        return np.asarray(model.read_out(activities, tables.embed)[0])

    other_ratings = changed(plain, [1, 5, 5], [10, 20, 9000])
    other_times = changed(plain, [1, 2, 5], [10, 2000, 9000])
    assert bool(np.abs(context(plain) - context(other_ratings)).max() > 1e-3) == uses_ratings
    assert bool(np.abs(context(plain) - context(other_times)).max() > 1e-3) == uses_times
    later = changed(plain, [1, 2, 5], [1010, 1020, 10_000])
    np.testing.assert_allclose(context(plain), context(later), atol=1e-6)


def test_ratings_and_times_of_skipped_items_are_skipped_too(activities_of):
    settings = TrainerSettings(dimension=4, blocks=1, activity_features=["rating", "time_gap"])
    model = RecommenderModel(settings, 4, np.array([0, 0, 3, 2, 1]), activity_features=[RATING, TIME_GAP])
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    tables = model.tables()
    plain = activities_of([[2, 3, 0, 0]], [[1, 5, 0, 0]], [[10, 20, 0, 0]])
    expected, _ = model.read_out(plain, tables.embed)
    for items in ([2, 0, 3, 0], [1, 2, 3, 99]):
        positions = [items.index(2), items.index(3)]
        ratings, times = np.full((1, 4), NAN, np.float32), np.full((1, 4), 15, np.int32)
        ratings[0, positions], times[0, positions] = (1, 5), (10, 20)
        activities = {"items": np.array([items], np.int32), "ratings": ratings, "times": times}
        context, length = model.read_out(activities, tables.embed)
        assert length.numpy() == [2]
        np.testing.assert_allclose(context, expected, rtol=1e-5)
