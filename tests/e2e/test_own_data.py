"""The entire pipeline on a user's log: features of items and activities, kinds of interactions, and a refit.

The refit adds the items without interactions.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from on_device.recommender import Recommender
from tests.forked import run_forked
from tests.shared_runs import SharedRun
from tests.shop import RATINGS, UNRATED, sample_rows

ROOT = Path(__file__).parents[2]


def test_the_output_reports_the_teacher_and_unused_columns(shop_run):
    assert shop_run.stdout.count("the teacher predicted items at ") == 2, "for the Trainer and for Refit"
    assert "the items' column 'about' is free text and left out" in shop_run.stdout


def splits_of(run: SharedRun, step: str, output: str) -> set[str]:
    return {path.name for path in run.output.glob(f"**/{step}/{output}/*/Split-*")}


def test_statistics_and_their_validation_use_only_timelines(shop_run):
    timelines = {"Split-train", "Split-eval", "Split-test"}
    assert splits_of(shop_run, "ExampleGen", "examples") == timelines | {"Split-catalog", "Split-words", "Split-all"}
    assert splits_of(shop_run, "StatisticsGen", "statistics") == timelines
    assert splits_of(shop_run, "ExampleValidator", "anomalies") == timelines
    transformed = {"Split-train", "Split-eval", "Split-catalog"}
    assert splits_of(shop_run, "Transform", "transformed_examples") == transformed
    assert splits_of(shop_run, "RefitTransform", "transformed_examples") == {"Split-all", "Split-catalog"}


def test_the_refitted_model_is_pushed_with_metrics_of_the_evaluated_model(shop_run):
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
    process = run_forked("lineage", arguments, ROOT)
    assert process.returncode == 0, process.stderr
    info = shop_run.summary["artifact"]["mlmd"]
    assert f"Refitted  the pushed model is artifact {info['refitted_model_id']}" in process.stdout
    assert f"model: Model {info['model_id']} " in process.stdout
    assert f"refitted_model: Model {info['refitted_model_id']} " in process.stdout
    assert "RefitTransform" in process.stdout
    assert process.stdout.count("teacher: Model ") == 2, "of the Trainer and of Refit"


def test_unrated_items_are_last_in_the_pushed_catalogue(shop_run):
    items = Recommender.load(shop_run.serving / "shop").items
    assert {item.id for item in items[-3:]} == set(UNRATED)
    assert [item.count for item in items[-4:]][1:] == [0, 0, 0] and items[-4].count > 0
    assert len(items) == len(sample_rows("movies.dat")) + 3


def test_unrated_items_are_recommended_for_their_features(shop_run):
    recommender = Recommender.load(shop_run.serving / "shop")
    ranks: list[int] = []
    for item in recommender.items[:40]:
        ids = [recommended.id for recommended in recommender.recommend([item.id], k=recommender.top_k)]
        ranks += [ids.index(id_) for id_ in UNRATED if id_ in ids]
        scores = [
            recommended.score
            for recommended in recommender.recommend([item.id], k=recommender.top_k)
            if recommended.id in UNRATED
        ]
        assert max(scores) - min(scores) < 1e-3, "they have the same features"
    assert min(ranks) < 75, "not always among the last"


def test_the_pushed_file_agrees_with_its_model_and_uses_activities(shop_run):
    summary = shop_run.summary
    assert summary["outcome"] == "pushed" and summary["artifact"]["agreement_at_10"] >= 0.95
    recommender = Recommender.load(shop_run.serving / "shop")
    assert recommender.artifact.info["activity_features"] == ["rating", "time_gap", "event", "Device", "price"]
    assert set(recommender.activity_inputs) == {"ratings", "times", "event", "Device", "price"}
    inputs = {values["input"]: values for values in recommender.artifact.info["activity_inputs"]}
    assert inputs["event"] == {"feature": "event", "input": "event", "kind": "word", "words": ["buy", "look"]}
    assert inputs["Device"]["kind"] == "word" and sorted(inputs["Device"]["words"]) == ["phone", "tablet"]
    assert inputs["price"] == {"feature": "price", "input": "price", "kind": "number"}
    history = [row[1] for row in RATINGS[:12]]
    times = [978_300_000 + 60 * number for number in range(12)]
    liked, disliked, slower, cheap, phone, new_device, unknown = (
        {recommended.id: recommended.score for recommended in recommender.recommend(history, **values)}
        for values in (
            {"ratings": [5] * 12, "times": times},
            {"ratings": [1] * 12, "times": times},
            {"ratings": [5] * 12, "times": [978_300_000 + 86_400 * number for number in range(12)]},
            {"ratings": [5] * 12, "times": times, "price": [1.5] * 12},
            {"ratings": [5] * 12, "times": times, "Device": ["phone", None] * 6},
            {"ratings": [5] * 12, "times": times, "Device": ["watch"] * 12},
            {},
        )
    )
    variants = (disliked, slower, cheap, phone, unknown)
    assert all(liked != variant for variant in variants)
    assert new_device == liked, "a word that the log lacks is like a missing one"
