"""The entire pipeline on a user's log: features of items and activities, kinds of interactions, and a refit.

The refit gets to know the items that nobody chose yet.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from on_device.recommender import Recommender
from tests.forked import run_forked
from tests.shared_runs import SharedRun
from tests.shop import RATINGS, UNRATED, sample_rows

ROOT = Path(__file__).parents[2]


def test_says_what_it_does_with_the_teacher_and_the_columns(shop_run):
    assert shop_run.stdout.count("the teacher predicted items at ") == 2, "to the Trainer and to Refit"
    assert "the items' column 'about' is free text and left out" in shop_run.stdout


def splits_of(run: SharedRun, step: str, output: str) -> set[str]:
    return {path.name for path in run.output.glob(f"**/{step}/{output}/*/Split-*")}


def test_statistics_and_their_check_are_of_timelines_alone(shop_run):
    timelines = {"Split-train", "Split-eval", "Split-test"}
    assert splits_of(shop_run, "ExampleGen", "examples") == timelines | {"Split-catalog", "Split-words", "Split-all"}
    assert splits_of(shop_run, "StatisticsGen", "statistics") == timelines
    assert splits_of(shop_run, "ExampleValidator", "anomalies") == timelines
    transformed = {"Split-train", "Split-eval", "Split-catalog"}
    assert splits_of(shop_run, "Transform", "transformed_examples") == transformed
    assert splits_of(shop_run, "RefitTransform", "transformed_examples") == {"Split-all", "Split-catalog"}


def test_the_refitted_model_is_pushed_and_the_figures_are_the_evaluated_one_s(shop_run):
    summary = shop_run.summary
    counted = len(RATINGS) - len(RATINGS) // 10
    assert summary["data"]["ratings"] == counted and summary["data"]["other_events"] == len(RATINGS) // 10
    refit = summary["artifact"]["refit"]
    assert refit["evaluated_trained_on"] < refit["trained_on"] == counted
    assert summary["artifact"]["mlmd"]["refitted_model_id"] > summary["artifact"]["mlmd"]["model_id"]
    model, file = summary["metrics"]["model"], summary["artifact"]["metrics"]["tflite"]
    assert file["recall_at_10"] == pytest.approx(model["recall_at_10"], abs=0.02)
    assert refit["epochs"] == summary["training"]["best_epoch"]
    assert [len(summary[key]["history"]) for key in ("teaching", "training")] == [2, 6]
    assert list(summary["steps"])[-3:] == ["RefitTransform", "Refit", "Pusher"]


def test_the_lineage_has_both_models(shop_run):
    arguments = ["show", str(shop_run.serving / "shop"), "--metadata", str(shop_run.output)]
    done = run_forked("lineage", arguments, ROOT)
    assert done.returncode == 0, done.stderr
    info = shop_run.summary["artifact"]["mlmd"]
    assert f"Refitted  the pushed model is artifact {info['refitted_model_id']}" in done.stdout
    assert f"model: Model {info['model_id']} " in done.stdout
    assert f"refitted_model: Model {info['refitted_model_id']} " in done.stdout
    assert "RefitTransform" in done.stdout
    assert done.stdout.count("teacher: Model ") == 2, "of the Trainer and of Refit"


def test_unrated_items_are_the_last_of_the_pushed_catalogue(shop_run):
    items = Recommender.load(shop_run.serving / "shop").items
    assert {item.id for item in items[-3:]} == set(UNRATED)
    assert [item.count for item in items[-4:]][1:] == [0, 0, 0] and items[-4].count > 0
    assert len(items) == len(sample_rows("movies.dat")) + 3


def test_unrated_items_are_recommended_for_their_features(shop_run):
    recommender = Recommender.load(shop_run.serving / "shop")
    places: list[int] = []
    for item in recommender.items[:40]:
        found = [one.id for one in recommender.recommend([item.id], k=recommender.top_k)]
        places += [found.index(id_) for id_ in UNRATED if id_ in found]
        alike = [one.score for one in recommender.recommend([item.id], k=recommender.top_k) if one.id in UNRATED]
        assert max(alike) - min(alike) < 1e-3, "they have the same features"
    assert min(places) < 75, "not always among the last"


def test_pushed_file_agrees_with_its_model_and_heeds_ratings_and_times(shop_run):
    summary = shop_run.summary
    assert summary["outcome"] == "pushed" and summary["artifact"]["agreement_at_10"] >= 0.95
    recommender = Recommender.load(shop_run.serving / "shop")
    assert recommender.artifact.info["activity_features"] == ["rating", "time_gap", "event", "Device", "price"]
    assert set(recommender.activity_inputs) == {"ratings", "times", "event", "Device", "price"}
    inputs = {about["input"]: about for about in recommender.artifact.info["activity_inputs"]}
    assert inputs["event"] == {"feature": "event", "input": "event", "kind": "word", "words": ["buy", "look"]}
    assert inputs["Device"]["kind"] == "word" and sorted(inputs["Device"]["words"]) == ["phone", "tablet"]
    assert inputs["price"] == {"feature": "price", "input": "price", "kind": "number"}
    history = [row[1] for row in RATINGS[:12]]
    times = [978_300_000 + 60 * number for number in range(12)]
    liked, disliked, slower, cheap, phone, new_device, unknown = (
        {one.id: one.score for one in recommender.recommend(history, **about)}
        for about in (
            {"ratings": [5] * 12, "times": times},
            {"ratings": [1] * 12, "times": times},
            {"ratings": [5] * 12, "times": [978_300_000 + 86_400 * number for number in range(12)]},
            {"ratings": [5] * 12, "times": times, "price": [1.5] * 12},
            {"ratings": [5] * 12, "times": times, "Device": ["phone", None] * 6},
            {"ratings": [5] * 12, "times": times, "Device": ["watch"] * 12},
            {},
        )
    )
    others = (disliked, slower, cheap, phone, unknown)
    assert all(liked != other for other in others)
    assert new_device == liked, "a word that the log lacks is like a missing one"
