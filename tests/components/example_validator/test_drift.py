"""The measures of drift compared with values computed by hand, and the limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.spatial.distance import jensenshannon
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.example_validator.drift import chance_divergence, compare, jensen_shannon, write_into
from components.example_validator.profile import Profile
from components.example_validator.settings import ValidationSettings

LENGTHS = np.array([2.0, 4, 8, 8, 8, 8, 16, 16, 32, 64])
BEFORE = Profile(
    "a",
    1000,
    100,
    {"x": 600, "y": 400},
    {"genres": {"War": 700, "Drama": 500}, "brand": {"Acme": 1000}},
    (3.5, 1.0),
    LENGTHS,
)
SETTINGS = ValidationSettings()


def profile(**changes: object) -> Profile:
    return Profile(**{**vars(BEFORE), **changes})


def measured(now: Profile, before: Profile = BEFORE, settings: ValidationSettings = SETTINGS) -> dict[str, tuple]:
    return {measure.name: (measure.value, measure.level) for measure in compare(now, before, settings)}


def test_the_same_data_has_no_drift():
    measures = measured(profile())
    assert len(measures) == 8
    assert all(value == pytest.approx(0, abs=1e-12) and level == "ok" for value, level in measures.values())


@pytest.mark.parametrize(
    ("changes", "name", "value", "level"),
    [
        ({"interactions": 899}, "interactions_lost", 0.101, "warn"),
        ({"interactions": 500}, "interactions_lost", 0.5, "stop"),
        ({"interactions": 5000}, "interactions_lost", 0.0, "ok"),
        ({"users": 50}, "users_lost", 0.5, "stop"),
        ({"items": {"x": 500, "y": 400, "z": 100}}, "new_items", 0.1, "warn"),
        ({"items": {"x": 600}}, "vanished_items", 0.4, "stop"),
        ({"items": {"X": 600, "Y": 400}}, "new_items", 1.0, "stop"),
        ({"items": {"X": 600, "Y": 400}}, "vanished_items", 1.0, "stop"),
        ({"items": {"X": 600, "Y": 400}}, "item_popularity", 1 - 3 * 0.002 / (8 * math.log(2)), "stop"),
        ({"features": {}}, "item_features", 1.0, "stop"),
        (
            {"features": {**BEFORE.features, "brand": {"Other": 1000}}},
            "item_features",
            1 - 0.002 / (8 * math.log(2)),
            "stop",
        ),
        ({"rating": (3.5, 0.0)}, "rating", 1.0, "stop"),
        ({"rating": (3.5, 1.2)}, "rating", 0.2, "warn"),
        ({"rating": (3.2, 1.4)}, "rating", 0.5, "stop"),
        ({"lengths": LENGTHS / 4}, "timeline_length", 2.0, "stop"),
        ({"lengths": LENGTHS * np.where(np.arange(10) < 5, 2, 1)}, "timeline_length", 0.5, "warn"),
    ],
)
def test_each_measure_has_its_value_and_default_limits(changes, name, value, level):
    assert measured(profile(**changes))[name] == (pytest.approx(value), level)


def test_missing_columns_are_not_measured():
    without = profile(features={}, rating=None)
    assert not {"item_features", "rating"} & set(measured(profile(), without))
    assert "rating" not in measured(without)


def test_jensen_shannon_agrees_with_scipy():
    first, second = {"a": 5, "b": 3, "c": 2}, {"a": 1, "c": 9, "d": 30}
    rows = [[counts.get(key, 0) for key in "abcd"] for counts in (first, second)]
    assert jensen_shannon(first, second) == pytest.approx(jensenshannon(*rows, base=2) ** 2)
    assert jensen_shannon(first, {"e": 1}) == pytest.approx(1) and jensen_shannon({}, {}) == 0


def test_samples_of_one_distribution_diverge_as_chance_predicts():
    random = np.random.default_rng(7)
    shares, n = np.full(200, 1 / 200), 20_000
    samples = [dict(enumerate(random.multinomial(n, shares).tolist())) for _ in range(40)]
    mean = np.mean([jensen_shannon(*pair) for pair in zip(samples[::2], samples[1::2], strict=True)])
    assert mean == pytest.approx(chance_divergence(*samples[:2]), rel=0.1)
    assert chance_divergence(samples[0], samples[1]) == pytest.approx(199 / (4 * n * math.log(2)))
    assert chance_divergence({}, samples[0]) == 0


def test_one_level_can_be_set_or_turned_off():
    settings = ValidationSettings.model_validate({"new_items": {"stop": 0.9}, "users_lost": {"warn": None}})
    assert (settings.new_items.warn, settings.new_items.stop) == (SETTINGS.new_items.warn, 0.9)
    assert (settings.users_lost.warn, settings.users_lost.stop) == (None, SETTINGS.users_lost.stop)
    measures = measured(profile(users=70, items={"x": 1, "z": 1}), settings=settings)
    assert measures["users_lost"][1] == "ok" and measures["new_items"] == (0.5, "warn")
    with pytest.raises(ValidationError, match=r"warn 0\.5 is over stop 0\.3"):
        ValidationSettings.model_validate({"new_items": {"warn": 0.5}})


def test_without_stops_every_stop_is_a_warning():
    settings = ValidationSettings.model_validate({"stop": False, "users_lost": {"warn": None}})
    measures = measured(profile(users=50, items={"Z": 1}), settings=settings)
    assert {measures[name][1] for name in ("users_lost", "new_items", "item_popularity")} == {"warn"}


def test_anomalies_name_the_feature_the_severity_and_the_divergence():
    anomalies = anomalies_pb2.Anomalies()
    now = profile(items={"x": 500, "y": 400, "z": 100}, users=50, rating=(3.7, 1.0))
    write_into(anomalies, compare(now, BEFORE, SETTINGS))
    assert set(anomalies.anomaly_info) == {"item_id", "rating"}
    assert anomalies.anomaly_info["item_id"].severity == anomalies_pb2.AnomalyInfo.WARNING
    assert "10.0% of the interactions are of items that had none" in anomalies.anomaly_info["item_id"].description
    assert anomalies.dataset_anomaly_info.severity == anomalies_pb2.AnomalyInfo.ERROR
    assert "50.0% fewer users, over validation.users_lost.stop 0.4" in anomalies.dataset_anomaly_info.description
    paths = {tuple(info.path.step): info.drift_measurements[0] for info in anomalies.drift_skew_info}
    beyond_chance = jensen_shannon(now.items, BEFORE.items) - chance_divergence(now.items, BEFORE.items)
    assert paths[("item_id",)].value == pytest.approx(beyond_chance)
    assert ("catalog_tokens",) in paths and paths[("item_id",)].threshold == SETTINGS.item_popularity.warn
