"""The pipeline with the Tuner: the Trainer takes its choice, and ML Metadata has it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from tests.forked import run_forked
from tests.shared_runs import SAMPLE, SAMPLE_CONFIG, SharedRun

SPACE = "{dropout: [0.15, 0.25], item_features: [[genres], []]}"  # none of these is the configuration's own
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
def first(sample_run: SharedRun, folder: Path) -> subprocess.CompletedProcess[str]:
    done = run(sample_run.data, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def told(folder: Path, first: subprocess.CompletedProcess[str]) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def inputs_of_trainer(folder: Path) -> dict[str, pb.Artifact]:
    """What the last Trainer read, by input."""
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(folder / "output" / "sample" / "metadata.db")
    store = mlmd.MetadataStore(config)
    *_, trainer = store.get_executions_by_type("components.trainer.component.RecommenderTrainer")
    events = {event.artifact_id: event for event in store.get_events_by_execution_ids([trainer.id])}
    inputs = [artifact for artifact, event in events.items() if event.type == pb.Event.INPUT]
    return {events[artifact.id].path.steps[0].key: artifact for artifact in store.get_artifacts_by_id(inputs)}


def test_trainer_takes_what_the_tuner_chose(told):
    chosen = told["tuner"]["chosen"]
    assert set(chosen) == {"dropout", "item_features"} and chosen["dropout"] in (0.15, 0.25)
    settings = told["artifact"]["settings"]
    assert {name: settings[name] for name in chosen} == chosen
    assert (settings["max_epochs"], settings["dimension"]) == (1, 32), "other settings stay as they are"
    best = max(told["tuner"]["trials"], key=lambda trial: trial["recall_at_10"])
    assert best == {"settings": chosen, "recall_at_10": told["tuner"]["recall_at_10"]}


def test_says_what_it_tries_and_nothing_else(folder, first):
    assert first.stderr == ""
    for line in ("✓ Tuner", "trial 1/2  ", "trial 2/2  ", "Tuned     dropout 0."):
        assert line in first.stdout
    assert first.stdout.count("epoch 1/1") == 1, "only the Trainer's"
    for noise in ("Search", "Hyperparameter", "WARNING", "Traceback"):
        assert noise not in first.stdout
    assert {path.name for path in folder.iterdir()} == {"output", "serving_models", "summary.json"}
    assert not list((folder / "output").rglob("trial_*")), "KerasTuner's own files are gone"


def test_lineage_names_the_hyperparameters(folder, told):
    read = inputs_of_trainer(folder)["hyperparameters"]
    assert read.type == "HyperParameters"
    assert "/Tuner/best_hyperparameters/" in read.uri


def test_starts_at_the_trainer_with_what_was_chosen(sample_run, folder, told):
    before = inputs_of_trainer(folder)["hyperparameters"]
    done = run(sample_run.data, folder, "--from-node", "Trainer", "--to-node", "Trainer", "--no-cache")
    assert done.returncode == 4, done.stdout
    assert "Tuner" not in done.stdout
    assert "8,321 interactions" in done.stdout, "of ExampleGen, which ran before"
    assert inputs_of_trainer(folder)["hyperparameters"].id == before.id


def test_a_start_behind_steps_that_never_ran(tmp_path):
    done = run(SAMPLE, tmp_path, "--from-node", "Trainer")
    assert done.returncode == 1
    assert "error: the last run has no result of earlier steps; start at an earlier step" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
