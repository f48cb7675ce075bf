"""Executor inputs that the driver of a real Kubeflow Pipelines 2.17.0 passed to the steps.

`executor_inputs_2.17.json.gz` has the executor inputs of four runs, by run and step. Each test passes one to the entry
of its step.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tfx.dsl.components.base import base_executor
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as entry
from tfx.utils import import_utils

from cluster import container
from cluster.compilation import compile_pipeline
from cluster.outcomes import FOLDER, Outcome
from components import addresses
from pipeline.config import load_config

RECORDED = json.loads(gzip.decompress(Path(__file__).with_name("executor_inputs_2.17.json.gz").read_bytes()))
DEPLOYMENT = {
    "image": "registry/recommender:1",
    "pipeline_root": "minio://mlpipeline/v2/artifacts",
    "data": "minio://mlpipeline/data/sample",
    "env": {"AWS_ENDPOINT_URL": "http://seaweedfs.kubeflow:9000"},
}


@pytest.fixture(scope="module")
def arguments() -> dict[str, list[str]]:
    """Returns the arguments of each step's container."""
    import yaml

    text = compile_pipeline(load_config(None, {"name": "sample", "deployment": DEPLOYMENT}), "kubeflow")
    spec = next(iter(yaml.safe_load_all(text)))
    executors = spec["deploymentSpec"]["executors"]
    return {name.removesuffix("_executor"): executor["container"]["args"] for name, executor in executors.items()}


def test_beam_runs_in_the_container_of_the_step(arguments):
    for step in ("StatisticsGen", "Transform", "Evaluator"):
        assert {"--runner=FnApiRunner", "--sdk_container_image=none"} <= set(arguments[step])


@pytest.fixture(autouse=True)
def no_addresses(monkeypatch):
    monkeypatch.setattr(addresses, "_URIS", {})


def run_entry(step: str, executor_input: str, arguments: dict[str, list[str]]) -> None:
    flags = [executor_input if argument == "{{$}}" else argument for argument in arguments[step]]
    container.run(entry._parse_flags(["entry", *flags]))


@pytest.mark.parametrize("name", list(RECORDED))
def test_every_step_accepts_its_recorded_input(name, arguments, tmp_path, monkeypatch):
    step = name.partition("-")[2]
    output_file = tmp_path / "output_metadata.json"
    recorded = json.loads(json.dumps(RECORDED[name]))
    recorded["outputs"]["outputFile"] = str(output_file)
    received: dict[str, Any] = {}

    def record_call(self: base_executor.BaseExecutor, inputs: Any, outputs: Any, properties: Any) -> None:
        received.update(inputs=inputs, outputs=outputs, properties=properties)

    executor = arguments[step][arguments[step].index("--executor_class_path") + 1]
    monkeypatch.setattr(import_utils.import_class_by_path(executor), "Do", record_call)
    run_entry(step, json.dumps(recorded), arguments)
    expected = set(recorded["outputs"]["artifacts"]) - {container.LOG}
    assert set(received["outputs"]) == expected
    assert set(received["inputs"]) == set(recorded["inputs"].get("artifacts", {}))
    assert set(received["properties"]) >= set(recorded["inputs"].get("parameterValues", {}))
    for artifacts in (*received["inputs"].values(), *received["outputs"].values()):
        assert artifacts[0].uri.startswith(("/minio/", "/s3/")), "the launcher's copy"
    outputs_written = json.loads(output_file.read_text(encoding="utf-8"))
    assert set(outputs_written["artifacts"]) == expected
    for artifact_list in outputs_written["artifacts"].values():
        assert artifact_list["artifacts"][0]["uri"].startswith(("minio://", "s3://")), "the address in the store"


def test_a_failed_step_records_the_reason(arguments, tmp_path, monkeypatch):
    recorded = json.loads(json.dumps(RECORDED["4835c601-ExampleGen"]).replace("minio://mlpipeline", str(tmp_path)))
    monkeypatch.setenv(container.STEP, "ExampleGen")
    monkeypatch.setenv(container.COMPILED_CODE, "0" * 16)
    with pytest.raises(container.StepError, match="the image contains other code"):
        run_entry("ExampleGen", json.dumps(recorded), arguments)
    (record,) = tmp_path.glob(f"v2/artifacts/sample/*/{FOLDER}/ExampleGen.json")
    outcome = Outcome(**json.loads(record.read_text(encoding="utf-8")))
    assert (outcome.outcome, outcome.step) == ("failed", "ExampleGen")
    assert outcome.text.startswith("ExampleGen: the image contains other code (")


def test_a_pipeline_compiled_from_the_code_of_the_image_is_accepted(arguments, monkeypatch):
    compiled = compile_pipeline(load_config(None, {"name": "sample", "deployment": DEPLOYMENT}), "kubeflow")
    assert compiled.count(container.project_version()) == len(arguments)
    container.check_code(container.project_version(), container.project_version())
