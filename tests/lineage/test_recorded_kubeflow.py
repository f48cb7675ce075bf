"""Tests reading the store of a real Kubeflow Pipelines 2.17.0, after thirteen runs.

`kubeflow_2.17.sql.gz` has the rows of its MariaDB, as a SQLite script.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import sqlite3
from pathlib import Path

import pytest

from lineage import as_json
from lineage.__main__ import main
from lineage.compare import compare
from lineage.find import find
from lineage.graph import LOG
from lineage.runs import list_runs
from lineage.store import Store, open_store

RECORDED = Path(__file__).with_name("kubeflow_2.17.sql.gz")
FAILED, RUNNING, COMPLETE = "failed", "running", "complete"
RUNS = {
    2: (FAILED, "before the first step"),  # Its driver failed.
    3: (FAILED, "at LatestBlessedModel"),
    4: (COMPLETE, "pushed version 1"),
    5: (COMPLETE, "pushed version 2"),
    6: (FAILED, "at ExampleGen"),  # Bad rows.
    7: (COMPLETE, "not blessed"),
    8: (COMPLETE, "not blessed"),
    10: (COMPLETE, "pushed version 1"),
    11: (COMPLETE, "pushed version 3"),
    12: (RUNNING, "at LatestBlessedModel"),
    13: (COMPLETE, "pushed version 4"),
    14: (RUNNING, "at Trainer"),
    15: (FAILED, "at ExampleValidator"),  # Drift.
}
MINUTE = 60_000


@pytest.fixture
def database(tmp_path) -> Path:
    path = tmp_path / "metadata.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(gzip.decompress(RECORDED.read_bytes()).decode())
    return path


@pytest.fixture
def store(database) -> Store:
    return open_store(str(database))


def test_every_run_has_its_state_and_outcome(store):
    assert {run.id: (run.state, run.outcome) for run in list_runs(store)} == RUNS


def test_parameters_of_a_run_override_its_settings(store):
    runs = {run.id: run for run in list_runs(store)}
    assert compare(runs[5], runs[7])["Settings"] == {"gate.min_recall_at_10": (0.05, 0.99)}
    for run, *values in (
        (5, 20, 1, "transformer"),
        (8, 3, 1, "transformer"),
        (10, 6, 1, "transformer"),
        (11, 60, 3, "lstm"),
        (13, 500, 10, "lstm"),
        (14, 2, 1, "transformer"),
    ):
        assert [runs[run].settings[f"trainer.{name}"] for name in ("max_epochs", "max_minutes", "encoder")] == values


def test_a_run_is_running_between_two_steps(database):
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        pusher = "SELECT execution_id FROM ExecutionProperty WHERE name = 'task_name' AND string_value = 'Pusher'"
        connection.execute(f"DELETE FROM Association WHERE context_id = 13 AND execution_id IN ({pusher})")
    run = next(run for run in list_runs(open_store(str(database))) if run.id == 13)
    assert (run.state, run.outcome) == (RUNNING, "after Evaluator")


@pytest.mark.parametrize(("minutes", "state"), [(9, RUNNING), (11, FAILED)])
def test_a_run_without_steps_fails_after_ten_minutes(store, monkeypatch, minutes, state):
    started = next(run.started for run in list_runs(store) if run.id == 2)
    monkeypatch.setattr("time.time", lambda: (started + minutes * MINUTE) / 1000)
    run = next(run for run in list_runs(store) if run.id == 2)
    assert (run.state, run.outcome) == (state, "before the first step")


@pytest.mark.parametrize(
    ("address", "version"),
    [
        ("minio://mlpipeline/models/sample/2", "2"),
        ("minio://mlpipeline/models/sample/2/", "2"),
        ("minio://mlpipeline/models/sample/2/model.tflite", "2"),
        ("minio://mlpipeline/models/sample", "4"),
        ("s3://mlpipeline/models/s3shop/1", "1"),
    ],
)
def test_pushed_models_are_found_by_address(store, address, version):
    artifact = find(store, address).node
    assert artifact is not None and artifact.properties["pushed_version"] == version


def test_answer_excludes_logs_and_the_session_of_the_store(store):
    answer = as_json.match(find(store, "minio://mlpipeline/models/sample/2"))
    assert not [artifact for artifact in answer["graph"]["artifacts"] if LOG in artifact["uri"]]
    assert "accesskey" not in json.dumps(answer)


def test_error_for_a_remote_file_says_how_to_prove_it(database, capsys):
    assert main(["prove", "minio://mlpipeline/models/sample/2", "--metadata", str(database)]) == 1
    assert "only a file on this machine can be proved; copy it here" in capsys.readouterr().err
