"""The compiled YAML, run step by step as Kubeflow Pipelines would, on the sample: the same file as locally."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kubeflow.engine import Engine

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"
STEPS = (
    *("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform", "Trainer", "LatestBlessedModel"),
    *("Evaluator", "Pusher"),
)
# A quick fit, the same here and there: by epochs, since minutes differ. What is compiled is changed at submission.
GATE = ["--set", "gate.min_lift_over_popularity=0.5"]
EPOCHS, FLOOR = 3, 0.02

pytestmark = pytest.mark.timeout(1800)


def program(name: str, *options: str) -> None:
    command = [sys.executable, str(ROOT / name), "--config", str(ROOT / "configs" / "sample.yaml"), *GATE, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("kubeflow")
    file = folder / "pipeline.yaml"
    places = ["--pipeline-root", "gs://bucket/pipelines", "--data", "gs://bucket/elsewhere", "--output", str(file)]
    serving = ["--serving-dir", "gs://bucket/models", "--project-dir", str(ROOT)]
    program("kubeflow_runner.py", "--engine", "kubeflow", "--image", "registry/recommender:1", *places, *serving)
    shutil.copytree(SAMPLE, folder / "bucket" / "sample")
    return Engine(file.read_text(encoding="utf-8"), folder, ROOT)


@pytest.fixture(scope="module")
def ran(engine: Engine) -> list[str]:
    data = str(engine.folder / "bucket" / "sample")
    given = {"data": data, "max_epochs": EPOCHS, "max_minutes": 30.0, "min_recall_at_10": FLOOR}
    return list(engine.run(given))


@pytest.fixture(scope="module")
def pushed(engine: Engine, ran: list[str]) -> dict[str, Any]:
    folder = engine.folder / "bucket" / "models" / "sample"
    version = (folder / "latest").read_text(encoding="utf-8").strip()
    assert (folder / version / "model.tflite").stat().st_size > 1000
    found: dict[str, Any] = json.loads((folder / version / "model_info.json").read_text(encoding="utf-8"))
    return found


def test_every_step_ran_in_a_container_of_its_own(engine, ran):
    assert sorted(ran) == sorted(STEPS)
    for name in ran:
        assert engine.runs[name].command[:2] == ["python", "-m"]
    assert ran.index("Trainer") < ran.index("Evaluator") < ran.index("Pusher") == len(ran) - 1


def test_parameters_of_the_submission_were_honoured(pushed):
    assert pushed["settings"]["max_epochs"] == EPOCHS
    assert pushed["settings"]["max_minutes"] == 30.0
    assert pushed["data"]["name"] == "sample"  # not what was compiled


def test_pushed_file_is_as_good_as_that_of_a_local_run(pushed, tmp_path):
    output = ["--output", str(tmp_path / "output"), "--serving-dir", str(tmp_path / "serving")]
    summary = tmp_path / "summary.json"
    budget = ["--max-epochs", str(EPOCHS), "--max-minutes", "30", "--min-recall", str(FLOOR)]
    program("local_runner.py", "--data", str(SAMPLE), *output, "--json", str(summary), *budget)
    local = json.loads(summary.read_text(encoding="utf-8"))["artifact"]
    assert pushed["data"] == local["data"]
    assert pushed["settings"] == local["settings"]
    assert pushed["metrics"]["popularity"] == pytest.approx(local["metrics"]["popularity"])
    recall, here = (info["metrics"]["tflite"]["recall_at_10"] for info in (pushed, local))
    assert recall > FLOOR
    # Two hits or so of the sample's test users: sums in another order, no more.
    assert recall == pytest.approx(here, abs=0.02)
    assert pushed["metrics"]["tflite"]["recall_at_10"] == pytest.approx(
        pushed["metrics"]["saved_model"]["recall_at_10"], abs=0.01
    )


def test_a_second_run_compares_with_the_model_that_was_blessed_and_pushes_nothing_weak(engine, pushed):
    trained = engine.runs["Trainer"].artifacts["model"]["uri"]
    record = engine.folder / "bucket" / "pipelines" / "sample" / "last_blessed_model"
    assert record.read_text(encoding="utf-8").strip() == trained
    engine.run({"min_recall_at_10": 0.99}, only=("LatestBlessedModel", "Evaluator", "Pusher"))
    assert engine.runs["LatestBlessedModel"].artifacts["model"]["uri"] == trained
    blessing = engine.runs["Evaluator"].artifacts["blessing"]["metadata"]
    assert blessing["baseline_model"] == trained and blessing["blessed"] == 0
    assert engine.runs["Pusher"].artifacts["pushed_model"]["metadata"]["pushed"] == 0
    versions = engine.folder / "bucket" / "models" / "sample"
    assert (versions / "latest").read_text(encoding="utf-8").strip() == "1" and not (versions / "2").exists()
    assert record.read_text(encoding="utf-8").strip() == trained
