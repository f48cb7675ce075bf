"""The addresses of artifacts that Kubeflow's launcher and TFX's entry point get."""

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
    """With an input in another store, and two outputs of which one's name begins with the other's."""
    made = {name: {"artifacts": [{"uri": f"{ROOT}/{name}", **custom}]} for name in ("model", "model_run")}
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
            "outputs": {"artifacts": made, "outputFile": "/tmp/kfp_outputs/output_metadata.json"},
        }
    )


def test_steps_read_and_write_where_the_launcher_copies_to_and_from():
    told = json.loads(for_tfx(executor_input(), SPEC))
    (examples,) = told["inputs"]["artifacts"]["examples"]["artifacts"]
    assert examples == {"name": "7", "uri": "/minio/other/examples", "type": TYPE}
    assert told["inputs"]["parameterValues"] == {"data": "s3://bucket/log.csv"}, "no artifact"
    (model,) = told["outputs"]["artifacts"]["model"]["artifacts"]
    assert model["uri"] == "/s3/bucket/pipelines/shop/run/Trainer/task/model"
    assert told["outputs"]["outputFile"] == "/tmp/kfp_outputs/output_metadata.json"


def test_copies_of_google_s_buckets_are_used_too():
    given = executor_input().replace("s3://", "gs://").replace("minio://", "gs://")
    told = json.loads(for_tfx(given, SPEC))
    assert told["inputs"]["artifacts"]["examples"]["artifacts"][0]["uri"] == "/gcs/other/examples"


def test_artifacts_are_read_and_written_in_place_where_there_are_no_copies(monkeypatch):
    monkeypatch.setenv(ARTIFACTS_IN_PLACE, "yes")
    given = executor_input().replace("s3://", "gs://").replace("minio://", "gs://")
    told = json.loads(for_tfx(given, SPEC))
    assert told["inputs"]["artifacts"]["examples"]["artifacts"][0]["uri"] == "gs://other/examples"
    assert addresses._URIS == {}


def test_the_log_is_none_of_the_step_s_outputs():
    given = json.loads(executor_input())
    log = {"uri": f"{ROOT}/executor-logs", "type": {"schemaTitle": "system.Artifact"}}
    given["outputs"]["artifacts"]["executor-logs"] = {"artifacts": [log]}
    assert set(json.loads(for_tfx(json.dumps(given), SPEC))["outputs"]["artifacts"]) == {"model", "model_run"}


def test_a_path_that_the_launcher_gives_counts():
    told = json.loads(for_tfx(executor_input(customPath="/mnt/model"), SPEC))
    assert told["outputs"]["artifacts"]["model"]["artifacts"][0]["uri"] == "/mnt/model"


def test_what_a_step_tells_names_no_local_path():
    for_tfx(executor_input(), SPEC)
    local = "/s3/bucket/pipelines/shop/run/Trainer/task"
    told = {
        "artifacts": {
            "model": {
                "artifacts": [{"uri": f"{local}/model", "metadata": {"blessed": 1.0, "base": "/minio/other/examples"}}]
            },
            "model_run": {"artifacts": [{"uri": f"{local}/model_run", "metadata": {"file": f"{local}/model/a.pb"}}]},
        },
        "parameterValues": {"place": "/elsewhere", "more": f"{local}/models"},
    }
    assert for_kubeflow(told) == {
        "artifacts": {
            "model": {
                "artifacts": [{"uri": f"{ROOT}/model", "metadata": {"blessed": 1.0, "base": "minio://other/examples"}}]
            },
            "model_run": {"artifacts": [{"uri": f"{ROOT}/model_run", "metadata": {"file": f"{ROOT}/model/a.pb"}}]},
        },
        "parameterValues": {"place": "/elsewhere", "more": f"{local}/models"},
    }


def test_where_artifacts_are_in_place_their_address_is_their_uri():
    assert addresses.address("gs://bucket/model") == "gs://bucket/model"
    assert addresses.address("/home/ann/output/model") == "/home/ann/output/model"
