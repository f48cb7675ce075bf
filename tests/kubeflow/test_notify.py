"""The last task of a run, which posts the outcome: its compilation and its messages."""

from __future__ import annotations

import json

import pytest
import requests
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from cluster import notify
from cluster.compilation import compile_pipeline
from cluster.outcomes import Outcome, forget_failure, read_outcome, record_end, record_failure
from components.settings import STEP, WEBHOOK
from pipeline.config import load_config

DEPLOYMENT = {
    "image": "registry/recommender:1",
    "pipeline_root": "gs://bucket/pipelines",
    "data": "gs://bucket/log.csv",
    "notify": True,
    "secret_env": {WEBHOOK: {"secret": "chat", "key": "url"}},
}


@pytest.fixture
def folder(tmp_path) -> str:
    """Returns the folder of a run."""
    return str(tmp_path / "pipelines" / "shop" / "r1")


def test_the_last_task_runs_after_success_and_failure():
    text = compile_pipeline(load_config(None, {"name": "shop", "deployment": DEPLOYMENT}), "kubeflow")
    spec, platform = yaml.safe_load_all(text)
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    tasks = spec["root"]["dag"]["tasks"]
    assert set(tasks) == {"Pipeline", "Notify"}
    assert tasks["Notify"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert tasks["Notify"]["dependentTasks"] == ["Pipeline"]
    inner = spec["components"]["Pipeline"]
    assert {"ExampleGen", "Trainer", "Pusher"} <= set(inner["dag"]["tasks"])
    assert set(inner["inputDefinitions"]["parameters"]) == set(spec["root"]["inputDefinitions"]["parameters"])
    assert set(tasks["Pipeline"]["inputs"]["parameters"]) == set(inner["inputDefinitions"]["parameters"])
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == set(spec["deploymentSpec"]["executors"]), "the last task also has the secret"
    for name, executor in spec["deploymentSpec"]["executors"].items():
        module = "cluster.notify" if name == "Notify" else "cluster.container"
        assert executor["container"]["command"] == ["python", "-m", module]


def run_task(folder: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STEP, "Notify")
    monkeypatch.setenv(WEBHOOK, url)
    outcome = {"artifacts": [{"name": "outcome", "uri": f"{folder}/Notify/t1/outcome"}]}
    executor_input = json.dumps({"outputs": {"artifacts": {"outcome": outcome}}})
    assert notify.main(["--pipeline", "shop", "--executor_input", executor_input]) == 0


def test_a_failure_is_posted_with_the_step_and_its_reason(folder, webhook, monkeypatch):
    record_failure(folder, "Trainer", "the loss is not a number in epoch 3")
    webhook.errors = [503]  # A chat server that restarts.
    run_task(folder, webhook.url, monkeypatch)
    (message,) = webhook.messages
    assert message["text"] == "shop: failed: Trainer: the loss is not a number in epoch 3"
    assert (message["outcome"], message["step"], message["run"]) == ("failed", "Trainer", "r1")


def test_a_successful_retry_deletes_the_recorded_failure(folder):
    record_failure(folder, "Trainer", "the node went away")
    record_failure(folder, "Transform", "the disk is full")
    forget_failure(folder, "Transform")
    outcome = read_outcome(folder)
    assert outcome is not None and outcome.step == "Trainer"
    forget_failure(folder, "Trainer")
    forget_failure(folder, "Trainer")
    assert read_outcome(folder) is None


def test_the_outcome_of_a_run_overrides_earlier_failures(folder, webhook, monkeypatch):
    record_failure(folder, "Trainer", "the node went away")
    record_end(folder, Outcome("pushed", "version 3, gs://bucket/models/shop/3", "", "3", {"recall_at_10": 0.25}))
    run_task(folder, webhook.url, monkeypatch)
    (message,) = webhook.messages
    assert message["text"] == "shop: pushed: version 3, gs://bucket/models/shop/3"
    assert message["metrics"] == {"recall_at_10": 0.25} and message["step"] == ""


def test_a_run_without_a_recorded_outcome_is_reported_as_failed(folder, webhook, monkeypatch):
    run_task(folder, webhook.url, monkeypatch)
    (message,) = webhook.messages
    assert message["text"].startswith("shop: failed: a step recorded no outcome: its pod was killed or never started")


def test_the_task_fails_if_the_webhook_refuses_the_message(folder, webhook, monkeypatch):
    webhook.errors = [403]
    with pytest.raises(requests.HTTPError, match="403"):
        run_task(folder, webhook.url, monkeypatch)
