"""Tests reading a store as Kubeflow Pipelines writes it.

It has other types of executions and contexts, parameters in one property, numbers as floats, and properties with ids
that are not the store's.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from lineage.proof import prove
from lineage.runs import list_runs
from lineage.store import open_store
from lineage.text import data_in_words

TASKS: dict[str, tuple[list[str], dict[str, str], dict[str, Any]]] = {
    "ExampleGen": (
        [],
        {"examples": "tfx.Examples", "catalog": "components.ItemCatalog"},
        {"data": "gs://bucket/ml-1m.zip", "data_fingerprint": "f00d", "code": "e" * 16},
    ),
    "Trainer": (["examples"], {"model": "tfx.Model"}, {"custom_config": json.dumps({"settings": {"dropout": 0.2}})}),
    "Evaluator": (
        ["examples", "model"],
        {"evaluation": "tfx.ModelEvaluation", "blessing": "tfx.ModelBlessing"},
        {"example_splits": '["test"]'},
    ),
    "Pusher": (
        ["model", "evaluation", "blessing", "catalog", "examples"],
        {"pushed_model": "tfx.PushedModel"},
        {"pipeline_name": "films", "code_version": "0123", "settings": json.dumps({"precision": "float16"})},
    ),
}
PROPERTIES: dict[str, dict[str, Any]] = {
    "catalog": {
        "data_name": "ml-1m",
        "data_fingerprint": "f00d",
        "data_fingerprint_of": "names, sizes and ETags",
        "ratings": 5.0,
    },
    "evaluation": {"recall_at_10": 0.31, "is_external": 0.0},
    "blessing": {"blessed": 1.0, "current_model_id": 4711.0},
    "pushed_model": {
        "pushed": 1.0,
        "pushed_destination": "/gcs/bucket/films/1",
        "pushed_version": "1",
        "sha256": hashlib.sha256(b"mine").hexdigest(),
    },
}


@pytest.fixture
def where(tmp_path) -> str:
    """Returns the path of a store with one run."""
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "metadata.db")
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    store = mlmd.MetadataStore(config)
    contexts = [
        pb.Context(type_id=store.put_context_type(pb.ContextType(name=kind)), name=name)
        for kind, name in (("system.Pipeline", "films"), ("system.PipelineRun", "5b1d-run"))
    ]
    container = store.put_execution_type(pb.ExecutionType(name="system.ContainerExecution"))
    entire_run = store.put_execution_type(pb.ExecutionType(name="system.DAGExecution"))
    executions = [pb.Execution(type_id=entire_run, last_known_state=pb.Execution.RUNNING)]
    artifacts: list[pb.Artifact] = []
    edges = []
    positions: dict[str, int] = {}
    for index, (task, (inputs, outputs, parameters)) in enumerate(TASKS.items(), start=1):
        execution = pb.Execution(type_id=container, last_known_state=pb.Execution.COMPLETE)
        execution.custom_properties["task_name"].string_value = task
        execution.custom_properties["image"].string_value = "registry/recommender:1"
        execution.custom_properties["inputs"].struct_value.update(parameters)
        executions.append(execution)
        for name in inputs:
            edges.append((index, positions[name], pb.Event(type=pb.Event.INPUT, path=path_of(name))))
        for name, kind in outputs.items():
            kind_id = store.put_artifact_type(pb.ArtifactType(name=kind))
            artifact = pb.Artifact(type_id=kind_id, uri=f"gs://bucket/{task}/{name}", state=pb.Artifact.LIVE)
            for key, value in PROPERTIES.get(name, {}).items():
                field = "string_value" if isinstance(value, str) else "double_value"
                setattr(artifact.custom_properties[key], field, value)
            positions[name] = len(artifacts)
            artifacts.append(artifact)
            edges.append((index, positions[name], pb.Event(type=pb.Event.OUTPUT, path=path_of(name))))
    store.put_lineage_subgraph(executions, artifacts, contexts, edges)
    return str(tmp_path / "metadata.db")


def path_of(name: str) -> pb.Event.Path:
    return pb.Event.Path(steps=[pb.Event.Path.Step(key=name)])


def test_runs_are_read(where):
    (run,) = list_runs(open_store(where))
    assert (run.pipeline, run.name, run.state, run.outcome) == ("films", "5b1d-run", "complete", "pushed version 1")
    assert [step.name for step in run.steps] == list(TASKS)
    assert run.recall == 0.31


def test_proof_has_data_settings_evaluation_and_commit(where, tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"mine")
    proof = prove(open_store(where), str(tmp_path / "model.tflite"))
    data = {"name": "ml-1m", "fingerprint": "f00d", "fingerprint_of": "names, sizes and ETags", "ratings": 5}
    assert proof.story.data == {**data, "path": "gs://bucket/ml-1m.zip"}
    assert "SHA-256 f00d of names, sizes and ETags, read from" in data_in_words(proof.story.data)
    assert proof.story.settings == {"trainer.dropout": 0.2, "pusher.precision": "float16"}
    assert proof.story.evaluations[0].blessed and proof.story.evaluations[0].metrics == {"recall_at_10": 0.31}
    assert proof.push.code_version == "0123"
