"""The entire pipeline on a user's log: features of items and activities, kinds of interactions, and a refit.

The refit gets to know the items that nobody chose yet.
"""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from on_device.recommender import Recommender
from tests.forked import run_forked

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"
UNRATED = ("new-1", "new-2", "new-3")
SETTINGS = (
    *("transform.history_length=20", "trainer.item_features=[genres,brand,price,text,year]"),
    *("example_gen.split=temporal", "example_gen.events={look: 0.5, buy: 1}", "example_gen.targets=[buy]"),
    *(
        "trainer.activity_features=[rating,time_gap,event,Device,price]",
        "trainer.min_target_rating=2",
        "trainer.item_dropout=0.2",
    ),
    *("trainer.encoder=bow", "trainer.dimension=16", "trainer.max_epochs=6", "trainer.top_k=150", "trainer.members=[]"),
    *("trainer.learning_rate=0.01", "trainer.batch_positions=1280"),
    "teacher={encoder: cnn, dimension: 16, max_epochs: 2, item_features: [genres], activity_features: [event]}",
    *("pusher.precision=dynamic_int8", "gate.min_targets=0", "gate.min_recall_at_10=0"),
    *("gate.min_lift_over_popularity=0", "gate.min_lift_over_markov=0"),
)


def rows(name: str) -> list[list[str]]:
    """The rows of a file of the sample."""
    return [line.split("::") for line in (SAMPLE / name).read_text(encoding="latin-1").splitlines()]


RATINGS = rows("ratings.dat")


def write(path: Path, header: list[str], content: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *content])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run on the data left."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "shop").mkdir()
    kinds = ["leave" if number % 10 == 9 else "buy" if number % 3 else "look" for number in range(len(RATINGS))]
    devices = ["", "phone", "tablet"]
    log = [
        [*row, kind, devices[number % 3], f"{number % 90 / 4}" if number % 7 else "n/a"]
        for number, (row, kind) in enumerate(zip(RATINGS, kinds, strict=True))
    ]
    write(folder / "shop" / "log.csv", ["user", "item", "rating", "timestamp", "event_type", "device", "price"], log)
    items = [[*row, f"brand {number % 5}"] for number, row in enumerate(rows("movies.dat"))]
    items += [[id_, f"Film {id_}", "Comedy", "brand 1"] for id_ in UNRATED]
    films = len(items) - len(UNRATED)
    for number, row in ((min(place, films), row) for place, row in enumerate(items)):
        vector = " ".join(f"{math.sin(number * place):.3f}" for place in range(1, 9))
        row += [f"{number * 1.5}", f"All that is to say of film number {number}", vector]
    write(folder / "shop" / "items.csv", ["item", "title", "genres", "brand", "price", "about", "text"], items)
    places = ["--data", str(folder / "shop"), "--output", str(folder / "output")]
    places += ["--serving-dir", str(folder / "serving"), "--json", str(folder / "summary.json")]
    settings = [f"--set={setting}" for setting in ("name=shop", *SETTINGS)]
    done = run_forked("local_runner", [*places, *settings], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the teacher answered at ") == 2, "to the Trainer and to Refit"
    assert "the items' column 'about' is free text and left out" in done.stdout
    return folder


def splits_of(folder: Path, step: str, output: str) -> set[str]:
    return {path.name for path in (folder / "output").glob(f"**/{step}/{output}/*/Split-*")}


def test_statistics_and_their_check_are_of_timelines_alone(folder):
    timelines = {"Split-train", "Split-eval", "Split-test"}
    assert splits_of(folder, "ExampleGen", "examples") == timelines | {"Split-catalog", "Split-words", "Split-all"}
    assert splits_of(folder, "StatisticsGen", "statistics") == timelines
    assert splits_of(folder, "ExampleValidator", "anomalies") == timelines
    transformed = {"Split-train", "Split-eval", "Split-catalog"}
    assert splits_of(folder, "Transform", "transformed_examples") == transformed
    assert splits_of(folder, "RefitTransform", "transformed_examples") == {"Split-all", "Split-catalog"}


def test_the_refitted_model_is_pushed_and_the_figures_are_the_evaluated_one_s(folder):
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
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


def test_the_lineage_has_both_models(folder):
    command = [sys.executable, "-m", "lineage", "show", str(folder / "serving" / "shop")]
    done = subprocess.run([*command, "--metadata", str(folder / "output")], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    info = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["artifact"]["mlmd"]
    assert f"Refitted  the pushed model is artifact {info['refitted_model_id']}" in done.stdout
    assert f"model: Model {info['model_id']} " in done.stdout
    assert f"refitted_model: Model {info['refitted_model_id']} " in done.stdout
    assert "RefitTransform" in done.stdout
    assert done.stdout.count("teacher: Model ") == 2, "of the Trainer and of Refit"


def test_unrated_items_are_the_last_of_the_pushed_catalogue(folder):
    items = Recommender.load(folder / "serving" / "shop").items
    assert {item.id for item in items[-3:]} == set(UNRATED)
    assert [item.count for item in items[-4:]][1:] == [0, 0, 0] and items[-4].count > 0
    assert len(items) == len(rows("movies.dat")) + 3


def test_unrated_items_are_recommended_for_their_features(folder):
    recommender = Recommender.load(folder / "serving" / "shop")
    places: list[int] = []
    for item in recommender.items[:40]:
        found = [one.id for one in recommender.recommend([item.id], k=recommender.top_k)]
        places += [found.index(id_) for id_ in UNRATED if id_ in found]
        alike = [one.score for one in recommender.recommend([item.id], k=recommender.top_k) if one.id in UNRATED]
        assert max(alike) - min(alike) < 1e-3, "they have the same features"
    assert min(places) < 75, "not always among the last"


def test_pushed_file_agrees_with_its_model_and_heeds_ratings_and_times(folder):
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["outcome"] == "pushed" and summary["artifact"]["agreement_at_10"] >= 0.95
    recommender = Recommender.load(folder / "serving" / "shop")
    assert recommender.artifact.info["activity_features"] == ["rating", "time_gap", "event", "Device", "price"]
    assert set(recommender.activity_inputs) == {"ratings", "times", "event", "Device", "price"}
    inputs = {about["input"]: about for about in recommender.artifact.info["activity_inputs"]}
    assert inputs["event"] == {"feature": "event", "input": "event", "kind": "word", "words": ["buy", "look"]}
    assert inputs["Device"]["kind"] == "word" and sorted(inputs["Device"]["words"]) == ["phone", "tablet"]
    assert inputs["price"] == {"feature": "price", "input": "price", "kind": "number"}
    history = [row[1] for row in rows("ratings.dat")[:12]]
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
