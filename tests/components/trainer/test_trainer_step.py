"""TFX's Trainer step as several workers run it: with a `TF_CONFIG`, by the command that TFX starts on Vertex AI."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.types import artifact_utils

from tests.components.trainer.test_workers import cluster_of
from tests.forked import ROOT, run_forked, run_together
from tests.shared_runs import SAMPLE_CONFIG

PROPERTIES = ("custom_config", "run_fn", "train_args", "eval_args")


def step_of(database: Path, outputs: Path) -> tuple[str, list[str]]:
    """Returns the module and the arguments that run the latest Trainer step, with outputs in another folder."""
    store = MetadataStore(sqlite_metadata_connection_config(str(database)))
    types = {type_.id: type_ for type_ in store.get_artifact_types()}
    executions = store.get_executions_by_type("components.trainer.component.RecommenderTrainer")
    execution = max(executions, key=lambda execution: execution.id)
    artifacts: dict[bool, dict[str, list[Any]]] = {True: {}, False: {}}
    for event in store.get_events_by_execution_ids([execution.id]):
        name = event.path.steps[0].key
        (artifact,) = store.get_artifacts_by_id([event.artifact_id])
        is_input = event.type == metadata_store_pb2.Event.INPUT
        if not is_input:
            artifact.uri = str(outputs / name)
        deserialised = artifact_utils.deserialize_artifact(types[artifact.type_id], artifact)
        artifacts[is_input].setdefault(name, []).append(deserialised)
    properties = {name: execution.custom_properties[name].string_value for name in PROPERTIES}
    return "tfx.scripts.run_executor", [
        *("--executor_class_path", "components.trainer.component.Executor"),
        *("--inputs", artifact_utils.jsonify_artifact_dict(artifacts[True])),
        *("--outputs", artifact_utils.jsonify_artifact_dict(artifacts[False])),
        *("--exec-properties", json.dumps(properties)),
        *("--temp_directory_path", str(outputs)),
    ]


def facts_of(model: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((model / "Format-Serving" / "model_facts.json").read_text(encoding="utf-8"))
    return facts


def test_two_workers_train_the_same_model_as_one_worker(sample_run, tmp_path):
    settings = ["--encoder", "bow", "--max-epochs", "2", "--set", "trainer.loss=sampled_softmax"]
    output = sample_run.lend_results(tmp_path / "output")
    outputs = ["--output", str(output), "--serving-dir", str(tmp_path / "serving")]
    sample = ["--data", str(sample_run.data), "--config", str(SAMPLE_CONFIG)]
    run = run_forked("local_runner", [*sample, *settings, *outputs, "--to-node", "Trainer"], tmp_path)
    assert run.returncode == 4, "nothing is pushed"
    command = step_of(tmp_path / "output" / "sample" / "metadata.db", tmp_path / "workers")
    environments = [{**os.environ, "TF_CONFIG": config} for config in cluster_of(2)]
    for process in run_together(*command, ROOT, environments):
        assert process.returncode == 0, process.stderr[-2000:]
    models = (tmp_path / "output" / "sample" / "artifacts" / "Trainer" / "model").iterdir()
    (single,) = (path for path in models if path.is_dir())
    expected, facts = facts_of(single)["history"], facts_of(tmp_path / "workers" / "model")["history"]
    # Workers drop out other activations than one process does.
    for name, tolerance in (("loss", 5e-3), ("recall_at_10", 0.02)):
        values, expected_values = ([epoch[name] for epoch in epochs] for epochs in (facts, expected))
        assert values == pytest.approx(expected_values, rel=tolerance)
    assert facts_of(tmp_path / "workers" / "model")["device"].startswith("2 workers, this one with ")
