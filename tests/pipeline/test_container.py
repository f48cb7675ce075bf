"""What Kubeflow's launcher and TFX's entry point are told of where artifacts are."""

from __future__ import annotations

import json

import pytest

from components import addresses
from pipeline.container import with_addresses, with_local_paths

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
                "artifacts": {"examples": {"artifacts": [{"name": "7", "uri": "minio://other/examples"}]}},
            },
            "outputs": {"artifacts": made, "outputFile": "/tmp/kfp_outputs/output_metadata.json"},
        }
    )


def test_steps_read_and_write_where_the_launcher_copies_to_and_from():
    told = json.loads(with_local_paths(executor_input()))
    assert told["inputs"]["artifacts"]["examples"]["artifacts"] == [{"name": "7", "uri": "/minio/other/examples"}]
    assert told["inputs"]["parameterValues"] == {"data": "s3://bucket/log.csv"}, "no artifact"
    (model,) = told["outputs"]["artifacts"]["model"]["artifacts"]
    assert model["uri"] == "/s3/bucket/pipelines/shop/run/Trainer/task/model"
    assert told["outputs"]["outputFile"] == "/tmp/kfp_outputs/output_metadata.json"


def test_a_path_that_the_launcher_gives_counts():
    told = json.loads(with_local_paths(executor_input(customPath="/mnt/model")))
    assert told["outputs"]["artifacts"]["model"]["artifacts"][0]["uri"] == "/mnt/model"


def test_what_a_step_tells_names_no_local_path():
    with_local_paths(executor_input())
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
    assert with_addresses(told) == {
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
