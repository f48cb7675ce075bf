"""The addresses of artifacts for Kubeflow's launcher and for TFX's entry point."""

from __future__ import annotations

import json

import pytest

from cluster.container import for_kubeflow, for_tfx
from components import addresses
from components.settings import ARTIFACTS_IN_PLACE

TYPE = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}
SPEC = json.dumps({"artifacts": {"examples": {"artifactType": TYPE}}})
ROOT = "s3://bucket/pipelines/shop/run/Trainer/task"


@pytest.fixture(autouse=True)
def no_addresses(monkeypatch):
    monkeypatch.setattr(addresses, "_URIS", {})


def executor_input(**custom):
    """Returns an executor input with an input in another store, and two outputs whose names have the same prefix."""
    outputs = {name: {"artifacts": [{"uri": f"{ROOT}/{name}", **custom}]} for name in ("model", "model_run")}
    return json.dumps(
        {
            "inputs": {
                "parameterValues": {"data": "s3://bucket/log.csv"},
                "artifacts": {
                    "examples": {
                        "artifacts": [{"name": "7", "uri": "minio://other/examples", "type": {"instanceSchema": ""}}]
                    }
                },
            },
            "outputs": {"artifacts": outputs, "outputFile": "/tmp/kfp_outputs/output_metadata.json"},
        }
    )


def test_steps_use_the_local_copies_of_the_launcher():
    converted = json.loads(for_tfx(executor_input(), SPEC))
    (examples,) = converted["inputs"]["artifacts"]["examples"]["artifacts"]
    assert examples == {"name": "7", "uri": "/minio/other/examples", "type": TYPE}
    assert converted["inputs"]["parameterValues"] == {"data": "s3://bucket/log.csv"}, "not an artifact"
    (model,) = converted["outputs"]["artifacts"]["model"]["artifacts"]
    assert model["uri"] == "/s3/bucket/pipelines/shop/run/Trainer/task/model"
    assert converted["outputs"]["outputFile"] == "/tmp/kfp_outputs/output_metadata.json"


def test_steps_use_the_local_copies_of_google_cloud_storage():
    original = executor_input().replace("s3://", "gs://").replace("minio://", "gs://")
    converted = json.loads(for_tfx(original, SPEC))
    assert converted["inputs"]["artifacts"]["examples"]["artifacts"][0]["uri"] == "/gcs/other/examples"


def test_steps_use_remote_addresses_if_there_are_no_local_copies(monkeypatch):
    monkeypatch.setenv(ARTIFACTS_IN_PLACE, "yes")
    original = executor_input().replace("s3://", "gs://").replace("minio://", "gs://")
    converted = json.loads(for_tfx(original, SPEC))
    assert converted["inputs"]["artifacts"]["examples"]["artifacts"][0]["uri"] == "gs://other/examples"
    assert addresses._URIS == {}


def test_the_log_of_a_step_is_not_an_output():
    original = json.loads(executor_input())
    log = {"uri": f"{ROOT}/executor-logs", "type": {"schemaTitle": "system.Artifact"}}
    original["outputs"]["artifacts"]["executor-logs"] = {"artifacts": [log]}
    assert set(json.loads(for_tfx(json.dumps(original), SPEC))["outputs"]["artifacts"]) == {"model", "model_run"}


def test_a_custom_path_of_the_launcher_is_used():
    converted = json.loads(for_tfx(executor_input(customPath="/mnt/model"), SPEC))
    assert converted["outputs"]["artifacts"]["model"]["artifacts"][0]["uri"] == "/mnt/model"


def test_the_outputs_for_kubeflow_contain_no_local_paths():
    for_tfx(executor_input(), SPEC)
    local = "/s3/bucket/pipelines/shop/run/Trainer/task"
    outputs = {
        "artifacts": {
            "model": {
                "artifacts": [{"uri": f"{local}/model", "metadata": {"blessed": 1.0, "base": "/minio/other/examples"}}]
            },
            "model_run": {"artifacts": [{"uri": f"{local}/model_run", "metadata": {"file": f"{local}/model/a.pb"}}]},
        },
        "parameterValues": {"place": "/elsewhere", "more": f"{local}/models"},
    }
    assert for_kubeflow(outputs) == {
        "artifacts": {
            "model": {
                "artifacts": [{"uri": f"{ROOT}/model", "metadata": {"blessed": 1.0, "base": "minio://other/examples"}}]
            },
            "model_run": {"artifacts": [{"uri": f"{ROOT}/model_run", "metadata": {"file": f"{ROOT}/model/a.pb"}}]},
        },
        "parameterValues": {"place": "/elsewhere", "more": f"{local}/models"},
    }


def test_the_address_of_an_artifact_in_place_is_its_uri():
    assert addresses.address("gs://bucket/model") == "gs://bucket/model"
    assert addresses.address("/home/ann/output/model") == "/home/ann/output/model"
