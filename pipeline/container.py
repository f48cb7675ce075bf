"""What a step's container runs on Kubeflow where TensorFlow cannot reach the pipeline root: in `s3://` and `minio://`.

Kubeflow's launcher copies a step's input artifacts to its disk before the command, and whatever lies at the local paths
of its outputs to the object store after it (`component/launcher_v2.go` of kubeflow/pipelines). TFX's own entry point
reads and writes the artifacts' URIs and takes no notice of that. Here it is told the local paths, and the launcher the
URIs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from absl import app
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as entry

from components import s3  # noqa: F401 - registers s3:// and minio:// for all that is no artifact
from components.addresses import address, learn


def local_path(artifact: pipeline_spec_pb2.RuntimeArtifact) -> str:
    """Where the launcher keeps an artifact: `/s3/BUCKET/...` for `s3://BUCKET/...`, unless it says otherwise."""
    if artifact.custom_path:
        return artifact.custom_path
    scheme, _, place = artifact.uri.partition("://")
    return f"/{scheme}/{place}"


def with_local_paths(executor_input: str) -> str:
    """An executor input whose artifacts are at their local paths; learns their addresses.

    Args:
        executor_input: `ExecutorInput` in JSON, as the launcher gives it.
    """
    message = json_format.Parse(executor_input, pipeline_spec_pb2.ExecutorInput(), ignore_unknown_fields=True)
    for artifacts in (message.inputs.artifacts, message.outputs.artifacts):
        for found in artifacts.values():
            for artifact in found.artifacts:
                folder = local_path(artifact)
                learn(folder, artifact.uri)
                artifact.uri = folder
    return json_format.MessageToJson(message)


def with_addresses(value: Any) -> Any:
    """JSON, all of whose texts that are local paths of artifacts are their URIs."""
    if isinstance(value, dict):
        return {key: with_addresses(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_addresses(inner) for inner in value]
    return address(value) if isinstance(value, str) else value


def run(parsed: tuple[argparse.Namespace, list[str]]) -> None:
    """Run a step.

    Args:
        parsed: TFX's options, and those for Beam.
    """
    options, beam = parsed
    options.json_serialized_invocation_args = with_local_paths(options.json_serialized_invocation_args)
    entry.main((options, beam))
    told = Path(json.loads(options.json_serialized_invocation_args)["outputs"]["outputFile"])
    told.write_text(json.dumps(with_addresses(json.loads(told.read_text(encoding="utf-8")))), encoding="utf-8")


if __name__ == "__main__":
    app.run(run, flags_parser=entry._parse_flags)
