"""The pipeline with the Tuner: the Trainer uses the chosen settings, and ML Metadata records them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from tests.forked import run_forked
from tests.shared_runs import SAMPLE, SAMPLE_CONFIG, SharedRun

SPACE = "{dropout: [0.15, 0.25], item_features: [[genres], []]}"  # the configuration has none of these values
QUICK = {
    **{"tuner.enabled": "true", "tuner.trials": 2, "tuner.max_epochs": 1, "tuner.search_space": SPACE},
    **{
        "trainer.encoder": "bow",
        "trainer.max_epochs": 1,
        "pusher.precision": "dynamic_int8",
        "gate.min_recall_at_10": 0,
        "gate.min_lift_over_popularity": 0,
        "gate.min_lift_over_markov": 0,
        "gate.baseline_runs": 0,  # The shared run has a better model.
    },
}


def run(data: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    arguments = ["--data", str(data), "--config", str(SAMPLE_CONFIG)]
    arguments += ["--json", "summary.json", *(f"--set={key}={value}" for key, value in QUICK.items())]
    return run_forked("local_runner", [*arguments, *options], folder)


@pytest.fixture(scope="module")
def folder(sample_run: SharedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    sample_run.lend_results(folder / "output")
    return folder


@pytest.fixture(scope="module")
def first_run(sample_run: SharedRun, folder: Path) -> subprocess.CompletedProcess[str]:
    process = run(sample_run.data, folder)
    assert process.returncode == 0, process.stdout + process.stderr
    return process


@pytest.fixture(scope="module")
def summary(folder: Path, first_run: subprocess.CompletedProcess[str]) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def trainer_inputs(folder: Path) -> dict[str, pb.Artifact]:
    """Returns the input artifacts of the latest Trainer step, by name."""
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(folder / "output" / "sample" / "metadata.db")
    store = mlmd.MetadataStore(config)
    *_, trainer = store.get_executions_by_type("components.trainer.component.RecommenderTrainer")
    events = {event.artifact_id: event for event in store.get_events_by_execution_ids([trainer.id])}
    inputs = [artifact for artifact, event in events.items() if event.type == pb.Event.INPUT]
    return {events[artifact.id].path.steps[0].key: artifact for artifact in store.get_artifacts_by_id(inputs)}


def test_the_trainer_uses_the_settings_that_the_tuner_chose(summary):
    chosen = summary["tuner"]["chosen"]
    assert set(chosen) == {"dropout", "item_features"} and chosen["dropout"] in (0.15, 0.25)
    settings = summary["artifact"]["settings"]
    assert {name: settings[name] for name in chosen} == chosen
    assert (settings["max_epochs"], settings["dimension"]) == (1, 32), "other settings stay as they are"
    best = max(summary["tuner"]["trials"], key=lambda trial: trial["recall_at_10"])
    assert best == {"settings": chosen, "recall_at_10": summary["tuner"]["recall_at_10"]}


def test_the_output_has_every_trial_and_no_noise(folder, first_run):
    assert first_run.stderr == ""
    for line in ("✓ Tuner", "trial 1/2  ", "trial 2/2  ", "Tuned     dropout 0."):
        assert line in first_run.stdout
    assert first_run.stdout.count("epoch 1/1") == 1, "only the Trainer's"
    for noise in ("Search", "Hyperparameter", "WARNING", "Traceback"):
        assert noise not in first_run.stdout
    assert {path.name for path in folder.iterdir()} == {"output", "serving_models", "summary.json"}
    assert not list((folder / "output").rglob("trial_*")), "KerasTuner's own files are deleted"


def test_the_trainer_reads_the_best_hyperparameters(folder, summary):
    artifact = trainer_inputs(folder)["hyperparameters"]
    assert artifact.type == "HyperParameters"
    assert "/Tuner/best_hyperparameters/" in artifact.uri


def test_a_run_from_the_trainer_uses_the_chosen_settings(sample_run, folder, summary):
    before = trainer_inputs(folder)["hyperparameters"]
    process = run(sample_run.data, folder, "--from-node", "Trainer", "--to-node", "Trainer", "--no-cache")
    assert process.returncode == 4, process.stdout
    assert "Tuner" not in process.stdout
    assert "8,321 interactions" in process.stdout, "of the earlier ExampleGen"
    assert trainer_inputs(folder)["hyperparameters"].id == before.id


def test_a_start_after_steps_that_never_ran_is_an_error(tmp_path):
    process = run(SAMPLE, tmp_path, "--from-node", "Trainer")
    assert process.returncode == 1
    assert "error: the last run has no result of earlier steps; start at an earlier step" in process.stdout
    assert "Traceback" not in process.stdout + process.stderr
