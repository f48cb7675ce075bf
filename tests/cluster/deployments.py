"""Deployments and submissions for the tests of the clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster.engines import EngineRun, Submission
from cluster.operations import connect
from pipeline.config import PipelineConfig, load_config

SPEC = """
pipelineInfo: {name: shop}
schemaVersion: 2.1.0
sdkVersion: kfp-2.16.1
root:
  dag: {tasks: {only: {componentRef: {name: only}, taskInfo: {name: only}}}}
components: {only: {executorLabel: only}}
deploymentSpec: {executors: {only: {container: {image: i, command: [c]}}}}
"""
PLATFORM = "platforms: {kubernetes: {deploymentSpec: {executors: {only: {}}}}}"
NIGHTLY = "0 3 * * *"


def config(**deployment: Any) -> PipelineConfig:
    values = {"pipeline_root": "gs://bucket/pipelines", "service_account": "runner", **deployment}
    return load_config(None, {"name": "shop", **{f"deployment.{key}": value for key, value in values.items()}})


def client(engine: Any = "kubeflow", **deployment: Any) -> Any:
    return connect(config(**deployment).deployment, engine)


def submission(file: Path, **options: Any) -> Submission:
    return Submission("shop", file, "shop 2026-11-28 01234567", {"encoder": "bow"}, **options)


def no_records(run: EngineRun) -> None:
    """Returns no outcome, as for a run that recorded nothing."""
