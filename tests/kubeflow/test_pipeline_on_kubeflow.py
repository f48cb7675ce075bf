"""The compiled YAML, run step by step as in Kubeflow Pipelines, on the log of a shop: the same file as a local run.

All data and artifacts are in a fake S3; each step has copies on its own disk. With `gs://`, which folders imitate,
steps read and write in place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tfx.dsl.io import fileio

from cluster.notify import notify
from cluster.outcomes import read_outcome
from components.evaluator.blessed import Blessed
from components.evaluator.last_blessed import read_record as read_blessed
from components.example_validator.profile import read_profile
from components.example_validator.record import read_record
from components.pusher.object_store import ObjectVersionStore
from components.trees import copy_tree
from tests import shop
from tests.forked import run_forked
from tests.kubeflow.engine import Engine, EngineError
from tests.object_store import BUCKET, played_s3

ROOT = Path(__file__).parents[2]
STEPS = (
    *("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform", "Trainer", "LatestBlessedModel"),
    *("WarmStart", "Teacher", "Evaluator", "RefitTransform", "Refit", "Pusher"),
)
EPOCHS, FLOOR = 6, 0.02  # The local run on the shop has the same number of epochs.

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Returns the compiled files by the scheme of their addresses, with settings that the submission overrides."""
    folder = tmp_path_factory.mktemp("compiled")
    options = ["--engine", "kubeflow", "--image", "registry/recommender:1", "--project-dir", str(ROOT)]
    # The submission overrides these.
    options += [*shop.OPTIONS, "--max-epochs", "1", "--max-minutes", "1", "--min-recall", "0.9"]
    for scheme in ("gs", "s3"):
        bucket = f"{scheme}://{BUCKET}"
        addresses = ["--pipeline-root", f"{bucket}/pipelines", "--data", f"{bucket}/elsewhere"]
        addresses += ["--serving-dir", f"{bucket}/models", "--output", str(folder / f"{scheme}.yaml")]
        process = run_forked("kubeflow_runner", [*options, *addresses], ROOT)
        assert process.returncode == 0, process.stdout + process.stderr
    return {file.stem: file.read_text(encoding="utf-8") for file in folder.iterdir()}


@pytest.fixture(scope="module")
def engine(compiled: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with played_s3() as environment:
        folder = tmp_path_factory.mktemp("kubeflow")
        shop.write_log(folder / "shop")
        copy_tree(str(folder / "shop"), f"s3://{BUCKET}/shop")
        yield Engine(compiled["s3"], folder, ROOT, environment, forked=True)


@pytest.fixture(scope="module")
def finished_steps(engine: Engine) -> list[str]:
    data = f"s3://{BUCKET}/shop"
    parameters = {"data": data, "max_epochs": EPOCHS, "max_minutes": 30.0, "min_recall_at_10": FLOOR}
    return list(engine.run(parameters))


@pytest.fixture(scope="module")
def store(engine: Engine) -> ObjectVersionStore:
    return ObjectVersionStore(f"s3://{BUCKET}/models", "shop", create=False)


@pytest.fixture(scope="module")
def pushed(store: ObjectVersionStore, finished_steps: list[str]) -> dict[str, Any]:
    latest = store.latest()
    assert latest == "1"
    with store.here(latest) as folder:
        assert (folder / "model.tflite").stat().st_size > 1000
        info: dict[str, Any] = json.loads((folder / "model_info.json").read_text(encoding="utf-8"))
    return info


def read(uri: str) -> str:
    with fileio.open(uri) as stream:
        return str(stream.read())


def test_every_step_runs_in_its_own_container(engine, finished_steps):
    assert sorted(finished_steps) == sorted(STEPS)
    for name in finished_steps:
        assert engine.runs[name].command[:3] == ["python", "-m", "cluster.container"]
    assert (
        finished_steps.index("Trainer")
        < finished_steps.index("Evaluator")
        < finished_steps.index("Pusher")
        == len(finished_steps) - 1
    )


def test_steps_leave_no_local_files_and_record_no_local_paths(engine, finished_steps):
    assert not list((engine.folder / "disks").iterdir())
    records = [json.dumps(engine.runs[name].artifacts) for name in finished_steps]
    records += [read(f"s3://{BUCKET}/pipelines/shop/{name}") for name in ("last_blessed_model", "last_statistics")]
    assert not [text for text in records if str(engine.folder) in text]


def test_the_next_run_can_read_the_statistics_of_this_run(finished_steps, pushed):
    (record,) = read_record(f"s3://{BUCKET}/pipelines/shop/last_statistics")
    profile = read_profile(record.statistics, record.catalog)
    assert profile.interactions == pushed["data"]["ratings"] and len(profile.items) > 100


def test_the_parameters_of_the_submission_are_used(pushed):
    assert pushed["settings"]["max_epochs"] == EPOCHS
    assert pushed["settings"]["max_minutes"] == 30.0
    assert pushed["data"]["name"] == "shop"  # not the compiled value


def test_the_pushed_file_is_as_good_as_the_file_of_a_local_run(pushed, shop_run):
    local = shop_run.summary["artifact"]
    assert pushed["data"]["fingerprint_of"] == "names, sizes and ETags"
    assert local["data"]["fingerprint_of"] == "content"
    ignored = {"fingerprint": "", "fingerprint_of": ""}
    assert pushed["data"] | ignored == local["data"] | ignored
    assert pushed["settings"] == {**local["settings"], "max_minutes": 30.0}
    assert pushed["metrics"]["popularity"] == pytest.approx(local["metrics"]["popularity"])
    recall, local_recall = (info["metrics"]["tflite"]["recall_at_10"] for info in (pushed, local))
    assert recall > FLOOR
    # The difference is a few hits in the test split: sums have another order, and weights have 8 bits.
    assert recall == pytest.approx(local_recall, abs=0.02)
    assert recall == pytest.approx(pushed["metrics"]["saved_model"]["recall_at_10"], abs=0.02)


def test_metrics_and_the_report_are_recorded_for_the_pages_of_the_engine(engine, finished_steps, pushed):
    evaluated, published = (engine.runs[step].artifacts for step in ("Evaluator", "Pusher"))
    shown = evaluated["metrics"]["metadata"]
    assert shown["blessed"] == 1 and shown["recall_at_10"] == pushed["metrics"]["saved_model"]["recall_at_10"]
    assert {"ndcg_at_10", "recall_at_10_lift", "recall_at_10_standard_error"} <= set(shown)
    assert published["metrics"]["metadata"]["size_bytes"] == pushed["size_bytes"]
    assert published["metrics"]["metadata"]["latency_us"] > 0
    page = read(published["report"]["uri"])
    assert page.startswith("<!doctype html>") and "pushed as version 1" in page and "Some answers" in page
    assert "Missing: " not in page


def test_a_webhook_receives_the_pushed_version(engine, finished_steps, webhook):
    folder = engine.runs["Pusher"].artifacts["pushed_model"]["uri"].partition("/Pusher/")[0]
    notify("shop", folder, webhook.url)
    (message,) = webhook.messages
    assert message["text"] == f"shop: pushed: version 1, s3://{BUCKET}/models/shop/1"
    assert (message["outcome"], message["version"], message["run"]) == ("pushed", "1", folder.rpartition("/")[2])
    assert message["metrics"]["latency_us"] > 0


def test_a_second_run_uses_the_blessed_model_as_baseline_and_pushes_no_weak_model(engine, store, pushed):
    trained = engine.runs["Trainer"].artifacts["model"]["uri"]
    record = f"s3://{BUCKET}/pipelines/shop/last_blessed_model"
    assert read_blessed(record) == [Blessed(trained)]
    engine.run({"min_recall_at_10": 0.99}, only=("LatestBlessedModel", "Evaluator", "Pusher"))
    last = engine.runs["LatestBlessedModel"].artifacts["model"]
    assert last["metadata"]["copy_of"] == trained
    blessing = engine.runs["Evaluator"].artifacts["blessing"]["metadata"]
    assert blessing["baseline_model"] == last["uri"] and blessing["blessed"] == 0
    assert engine.runs["Pusher"].artifacts["pushed_model"]["metadata"]["pushed"] == 0
    assert store.latest() == "1" and store.versions() == ["1"]
    outcome = read_outcome(engine.runs["Pusher"].artifacts["pushed_model"]["uri"].partition("/Pusher/")[0])
    assert outcome and outcome.outcome == "not blessed" and "below the floor of 0.9900" in outcome.text
    assert read_blessed(record) == [Blessed(trained)]


def test_a_failed_step_records_the_reason_in_the_folder_of_the_run(engine, store, pushed):
    with fileio.open(f"s3://{BUCKET}/damaged/log.csv", "w") as stream:
        stream.write("user,item,rating,timestamp,event_type,device,price\n" + "1,2,many,978300760,buy,phone,1\n" * 10)
    with pytest.raises(EngineError):
        engine.run({"data": f"s3://{BUCKET}/damaged"}, only=("ExampleGen",))
    runs = f"s3://{BUCKET}/pipelines/shop"
    outcomes = [read_outcome(f"{runs}/{name}") for name in fileio.listdir(runs) if fileio.isdir(f"{runs}/{name}")]
    (failure,) = [outcome for outcome in outcomes if outcome and outcome.outcome == "failed"]
    assert failure.step == "ExampleGen"
    assert failure.text.startswith("ExampleGen: log.csv, line 2: rating 'many' is not a number")


def test_steps_read_and_write_google_cloud_storage_in_place(compiled, tmp_path):
    """Runs the first steps of the same pipeline with folders in place of buckets."""
    engine = Engine(compiled["gs"], tmp_path, ROOT)
    shop.write_log(tmp_path / BUCKET / "shop")
    data = {"data": str(tmp_path / BUCKET / "shop")}
    task_runs = engine.run(data, only=("ExampleGen",))
    engine.forked = True  # One step in a new process is enough.
    task_runs |= engine.run(data, only=("StatisticsGen",))
    for name, run in task_runs.items():
        for artifact in run.artifacts.values():
            assert Path(artifact["uri"]).is_relative_to(tmp_path / BUCKET / "pipelines" / "shop"), name
            assert any(Path(artifact["uri"]).iterdir())
