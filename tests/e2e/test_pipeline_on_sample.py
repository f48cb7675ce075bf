"""The pipeline on the synthetic sample, as a user runs it: exit codes, and recommendations of the pushed file."""

from __future__ import annotations

import html
import itertools
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import runtime_matrix
from components.features import history_bucket
from components.trainer.settings import SPARSE
from on_device.recommender import Recommender
from tests.forked import run_forked
from tests.shared_runs import SAMPLE, SAMPLE_CONFIG, SharedRun


@pytest.fixture
def run_again(sample_run: SharedRun, tmp_path: Path) -> Callable[..., tuple[subprocess.CompletedProcess[str], dict]]:
    """Returns a function that runs again in the folders of the run, and returns the process and the summary."""

    def run_again(*options: str) -> tuple[subprocess.CompletedProcess[str], dict]:
        summary = tmp_path / "summary.json"
        arguments = ["--data", str(sample_run.data), "--output", str(sample_run.output), "--json", str(summary)]
        arguments += ["--serving-dir", str(sample_run.serving), "--config", str(SAMPLE_CONFIG), *options]
        process = run_forked("local_runner", arguments, tmp_path)
        return process, json.loads(summary.read_text(encoding="utf-8"))

    return run_again


@pytest.fixture
def summary(sample_run: SharedRun) -> dict:
    return sample_run.summary


def broken_copy(folder: Path, extra: str) -> Path:
    """Writes a copy of the sample with more rows, and returns its folder."""
    folder.mkdir()
    (folder / "movies.dat").write_bytes((SAMPLE / "movies.dat").read_bytes())
    (folder / "ratings.dat").write_bytes((SAMPLE / "ratings.dat").read_bytes() + extra.encode())
    return folder


def timelines() -> dict[str, list[str]]:
    """Returns every user's film ids, oldest first, read without the readers of the project."""
    rows = [line.split("::") for line in (SAMPLE / "ratings.dat").read_text(encoding="latin-1").splitlines()]
    order = sorted(range(len(rows)), key=lambda index: (int(rows[index][3]), index))
    users: dict[str, list[str]] = {}
    for index in order:
        users.setdefault(rows[index][0], []).append(rows[index][1])
    return users


def test_the_output_has_every_step_and_no_warnings(sample_run):
    for step in ("ExampleGen", "StatisticsGen", "ExampleValidator", "Transform", "Trainer", "Evaluator", "Pusher"):
        assert f"+ {step}" in sample_run.stdout
    assert "Traceback" not in sample_run.stdout + sample_run.stderr
    assert "WARNING" not in sample_run.stdout + sample_run.stderr
    assert sample_run.stderr == ""


def test_the_model_beats_the_popularity_list(summary):
    assert summary["outcome"] == "pushed" and summary["gate"]["blessed"]
    assert summary["metrics"]["model"]["recall_at_10"] > 2 * summary["metrics"]["popularity"]["recall_at_10"]


def test_the_summary_counts_users_ratings_and_splits(summary):
    users = timelines()
    assert summary["data"]["users"] == len(users)
    assert summary["data"]["ratings"] == sum(map(len, users.values()))
    assert summary["data"]["split"] == {"train": len(users), "eval": len(users), "test": len(users)}


def test_the_pushed_file_has_the_reported_recall(sample_run, summary):
    """Ranks every user's last film with only the client, from the raw ratings."""
    recommender = Recommender.load(sample_run.serving / "sample")
    hits = [last in {item.id for item in recommender.recommend(history)} for *history, last in timelines().values()]
    metrics = summary["artifact"]["metrics"]
    assert np.mean(hits) == pytest.approx(metrics["tflite"]["recall_at_10"], abs=1e-9)
    assert metrics["tflite"]["recall_at_10"] == pytest.approx(metrics["saved_model"]["recall_at_10"], rel=0.01)
    assert summary["artifact"]["agreement_at_10"] >= 0.95


@pytest.fixture(scope="module")
def overlaps(sample_run) -> dict[str, dict[str, float] | str]:
    (saved_model,) = (sample_run.output / "sample" / "artifacts" / "Trainer" / "model").glob("*/Format-Serving")
    try:
        return runtime_matrix.matrix(saved_model)
    except runtime_matrix.RuntimeUnavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("runtime", runtime_matrix.RUNTIMES)
def test_every_precision_gives_similar_answers_on_every_runtime(overlaps, runtime):
    """Tests the runtimes that docs/embed.md names, with and without XNNPACK, in both signatures."""
    if isinstance(overlaps[runtime], str):
        pytest.skip(overlaps[runtime])
    assert len(overlaps[runtime]) == 4 * 2
    assert {key: value for key, value in overlaps[runtime].items() if value < 0.97} == {}


def test_the_report_is_one_file_with_the_values_of_the_summary(sample_run, summary):
    path = sample_run.output / "sample" / "report.html"
    assert str(path) in sample_run.stdout and "warning" not in sample_run.stdout
    content = path.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"'\s<)]+", content)) <= {"http://www.w3.org/2000/svg"}  # a name, not a place
    assert not re.search(r"<(link|img|iframe)\b|\bsrc=|@import|url\((?!#)", content)
    for address in re.findall(r'href="([^"]+)"', content):
        assert address.startswith("file:///") or (path.parent / address).exists(), address
    text = re.sub(r"\s+", " ", re.sub(r"<(style|script|title)\b.*?</\1>|<[^>]+>", " ", content, flags=re.S))
    info = json.loads((Path(summary["artifact"]["path"]) / "model_info.json").read_text(encoding="utf-8"))
    saved_model, popularity = info["metrics"]["saved_model"], info["metrics"]["popularity"]
    assert f"pushed as version {info['version']}" in text and info["sha256"]["model.tflite"] in text
    errors = {name: values["recall_at_10"] for name, values in summary["metrics"]["standard_errors"].items()}
    recalls = [f"{saved_model['recall_at_10']:.4f} ± {errors['model']:.4f}"]
    recalls += [f"{popularity['recall_at_10']:.4f} ± {errors['popularity']:.4f}"]
    assert f"Recall@10 {' '.join(recalls)}" in text
    for precision in info["precisions"]:
        assert f"{precision['recall_at_10']:.4f} {precision['agreement_at_10']:.2%}" in text
    for item in Recommender.load(summary["artifact"]["path"]).recommend([])[:5]:
        assert item.title in html.unescape(text)
    assert "proved" in text and "Missing: " not in text and "encoder: transformer" in text


def test_popularity_metrics_agree_with_counting(summary):
    users = timelines()
    counts: dict[str, int] = {}
    for *train, _, _ in users.values():
        for film in train:
            counts[film] = counts.get(film, 0) + 1
    items = json.loads((Path(summary["artifact"]["path"]) / "items.json").read_text(encoding="utf-8"))["items"]
    assert {item["id"]: item["count"] for item in items} == counts
    ranked = [item["id"] for item in items]  # the vocabulary is in order of counts
    assert [counts[film] for film in ranked] == sorted(counts.values(), reverse=True)
    hits = []
    for *history, last in users.values():
        unseen = [film for film in ranked if film not in set(history)]
        hits.append(last in unseen[:10])
    assert summary["metrics"]["popularity"]["recall_at_10"] == pytest.approx(np.mean(hits))


def test_markov_metrics_agree_with_counting(summary):
    users = timelines()
    items = json.loads((Path(summary["artifact"]["path"]) / "items.json").read_text(encoding="utf-8"))["items"]
    ranked = [item["id"] for item in items]
    followers: dict[str, dict[str, int]] = {film: {} for film in ranked}
    for *train, _, _ in users.values():
        for film, after in itertools.pairwise(train):
            followers[film][after] = followers[film].get(after, 0) + 1
    hits = []
    for *history, last in users.values():
        counts = followers[next(film for film in reversed(history) if film in followers)]
        order = sorted(ranked, key=lambda film: -counts.get(film, 0))  # a stable sort: then by popularity
        hits.append(last in [film for film in order if film not in set(history)][:10])
    assert summary["metrics"]["markov"]["recall_at_10"] == pytest.approx(np.mean(hits))


def test_items_of_the_history_are_never_recommended(sample_run, summary):
    recommender = Recommender.load(sample_run.serving / "sample")
    for history in list(timelines().values())[:50]:
        recommendations = recommender.recommend(history, k=recommender.top_k)
        assert not {answer.id for answer in recommendations} & set(history)
        scores = [answer.score for answer in recommendations]
        assert scores == sorted(scores, reverse=True)
    counts = [recommender.catalogue.find(answer.id).count for answer in recommender.recommend([])]
    assert counts == sorted(counts, reverse=True) and counts[0] == max(item.count for item in recommender.items)


def test_a_second_run_uses_the_cache_for_every_step(run_again, summary):
    process, second_summary = run_again()
    assert process.returncode == 0, process.stdout
    uncached = [name for name, step in second_summary["steps"].items() if not step["cached"]]
    assert uncached == ["LatestBlessedModel"]  # a resolver is a look-up, never cached
    assert second_summary["artifact"]["version"] == summary["artifact"]["version"] == "1"


def test_lineage_proves_only_the_pushed_file(sample_run, summary, tmp_path):
    """The store has the data, the settings and the metrics of the run."""
    model = Path(summary["artifact"]["path"]) / "model.tflite"
    folder = sample_run.output.parent  # The store of its `output` is the default.
    process = run_forked("lineage", ["prove", "--json", str(model)], folder)
    assert process.returncode == 0, process.stderr
    story = json.loads(process.stdout)["story"]
    assert {key: story["data"][key] for key in ("fingerprint", "ratings", "users", "items")} == {
        key: summary["data"][key] for key in ("fingerprint", "ratings", "users", "items")
    }
    (evaluation,) = story["evaluations"]
    assert evaluation["blessed"]
    for name, value in summary["metrics"]["model"].items():
        assert evaluation["metrics"][name] == pytest.approx(value)
    recorded = {
        key.removeprefix("trainer."): value for key, value in story["settings"].items() if key.startswith("trainer.")
    }
    # By the size of the data, and by its few positions per item.
    decided = {"loss": "full_softmax", "eval_users": 300, "negatives": 512, "transition": False}
    decided |= {name: SPARSE[name] for name in ("dropout", "similar_items")}
    used = {key: value for key, value in summary["artifact"]["settings"].items() if key in recorded}
    assert used == {**recorded, **decided}

    tampered = tmp_path / "model.tflite"
    tampered.write_bytes(model.read_bytes()[:-1] + b"!")
    process = run_forked("lineage", ["prove", "--json", str(tampered)], folder)
    assert process.returncode == 1 and "unknown file" in process.stderr and not json.loads(process.stdout)["known"]


def test_a_weak_model_is_not_pushed(sample_run, run_again):
    process, _ = run_again("--min-recall", "0.99")
    assert process.returncode == 3, process.stdout
    assert "below the floor of 0.9900" in process.stdout
    content = (sample_run.output / "sample" / "report.html").read_text(encoding="utf-8")
    assert "not pushed" in content and "✗ fail" in content and "below the floor of 0.9900" in content
    assert (sample_run.serving / "sample" / "latest").read_text(encoding="utf-8").strip() == "1"


def test_a_missing_baseline_model_stops_the_run_with_one_line(run_again):
    """A resolver that fails records its reason only in the store."""
    process, _ = run_again("--set", "gate.baseline_model=777")
    assert process.returncode == 1
    lines = (process.stdout + process.stderr).splitlines()
    assert [line for line in lines if "gate.baseline_model: there is no model '777' in ML Metadata" in line]
    assert "Traceback" not in process.stdout + process.stderr


def test_bad_rows_stop_the_run_with_one_line(sample_run, run_again, tmp_path):
    text = (SAMPLE / "ratings.dat").read_text(encoding="latin-1")
    broken = broken_copy(tmp_path / "broken", "1::2::9::978300000\n")
    process, _ = run_again("--data", str(broken))
    line = text.count("\n") + 1
    assert process.returncode == 1
    assert f"ratings.dat, line {line}: rating '9' is outside 0.5 to 5" in process.stdout
    content = (sample_run.output / "sample" / "report.html").read_text(encoding="utf-8")
    assert "failed at ExampleGen" in content and f"ratings.dat, line {line}" in content
    assert "Traceback" not in process.stdout + process.stderr


def test_history_lengths_have_their_buckets():
    expected = {0: "0", 1: "1", 2: "2-4", 4: "2-4", 5: "5-9", 19: "10-19", 20: "20-49", 199: "50-199", 5000: "200+"}
    assert {length: history_bucket(length) for length in expected} == expected


def test_an_anomaly_stops_the_run_and_is_reported(run_again, tmp_path):
    year_2200 = 7_258_118_400
    data = broken_copy(tmp_path / "future", "".join(f"1::{film}::3::{year_2200}\n" for film in range(1, 151)))
    process, _ = run_again("--data", str(data))
    assert process.returncode == 1
    assert "✗ ExampleValidator" in process.stdout and "Transform" not in process.stdout
    error = next(line for line in process.stdout.splitlines() if line.startswith("error:"))
    assert "data/schema.pbtxt" in error and "'timestamp'" in error and "test split" in error


def test_a_partial_run_ends_at_the_given_step(run_again):
    process, summary = run_again("--to-node", "StatisticsGen", "--no-cache")
    assert process.returncode == 4
    assert "✓ StatisticsGen" in process.stdout and "ExampleValidator" not in process.stdout
    assert {name: step["cached"] for name, step in summary["steps"].items()} == dict.fromkeys(
        ("ExampleGen", "StatisticsGen"), False
    )


def test_a_temporal_split_skips_bad_rows_and_counts_unknown_films(run_again, tmp_path):
    """Bad rows are skipped up to the limit, and films without a title are counted."""
    rows = [f"1::{film}::3::{979_000_000 + film}" for film in (900, 901)] + ["1::2::3"]
    data = broken_copy(tmp_path / "more", "\n".join(rows) + "\n")
    options = ("--split", "temporal", "--max-bad-rows", "1", "--to-node", "ExampleGen")
    process, summary = run_again("--data", str(data), *options)
    assert process.returncode == 4, process.stdout
    counts = summary["data"]
    assert len(counts["bad_rows"]) == 1 and counts["bad_rows"][0].startswith("ratings.dat, line ")
    assert counts["unknown_items"] == 2
    assert 0 < counts["split"]["train"] <= 300 < counts["split"]["test"], "a user has several targets"
