"""The entry point of a step's container: adapts Kubeflow's executor input to TFX's own entry point.

Kubeflow's driver and launcher (`backend/src/v2` of kubeflow/pipelines) expect KFP's own SDK, which differs from TFX:

- An input artifact has no type. It is added from the step's specification.
- Each step has an additional output, its log, which TFX has no type for.
- The launcher copies the inputs to the step's disk before the command, and the outputs from the disk to the store after
  it. TFX reads and writes artifacts at their URIs. Therefore TFX gets the local paths, and the launcher gets the URIs.
  Vertex AI copies nothing, and Beam workers on other machines need the URIs: there, artifacts are accessed in place.

On both engines this also checks that the image contains the compiled code, and records why a step failed.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
from typing import Any

from absl import app
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as entry

from cluster.outcomes import NOT_BLESSED, PUSHED, Outcome, forget_failure, record_end, record_failure, run_folder
from cluster.shown import METRICS, REPORT, SHOWN
from components import s3  # registers s3:// and minio:// for files that are not artifacts
from components.addresses import address, learn
from components.code_version import project_version
from components.errors import StepError, describe
from components.settings import ARTIFACTS_IN_PLACE, COMPILED_CODE, STEP
from pipeline import steps

LOG = "executor-logs"
COPIED = (*s3.SCHEMES, "gs://")
FOLDERS = {"gs": "gcs"}  # the launcher's folder of copies, if it is not named after the scheme


def for_tfx(executor_input: str, inputs_spec: str) -> str:
    """Returns an executor input for TFX, and remembers the URIs of copied artifacts.

    Args:
        executor_input: the launcher's `ExecutorInput` in JSON.
        inputs_spec: `ComponentInputsSpec` in JSON.
    """
    message = json_format.Parse(executor_input, pipeline_spec_pb2.ExecutorInput(), ignore_unknown_fields=True)
    spec = json_format.Parse(inputs_spec, pipeline_spec_pb2.ComponentInputsSpec(), ignore_unknown_fields=True)
    for name, channel in message.inputs.artifacts.items():
        for artifact in channel.artifacts:
            if not (artifact.type.schema_title or artifact.type.instance_schema):
                artifact.type.CopyFrom(spec.artifacts[name].artifact_type)
    for name in (LOG, *SHOWN.get(os.environ.get(STEP, ""), {})):
        message.outputs.artifacts.pop(name, None)
    copied = () if os.environ.get(ARTIFACTS_IN_PLACE) else COPIED
    for artifacts in (message.inputs.artifacts, message.outputs.artifacts):
        for channel in artifacts.values():
            for artifact in channel.artifacts:
                if artifact.uri.startswith(copied):
                    folder = artifact.custom_path or local_path(artifact.uri)
                    learn(folder, artifact.uri)
                    artifact.uri = folder
    return json_format.MessageToJson(message)


def local_path(uri: str) -> str:
    """Returns the default path of the launcher's copy, `/s3/BUCKET/...` for `s3://BUCKET/...`; a path is unchanged."""
    scheme, separator, rest = uri.partition("://")
    return f"/{FOLDERS.get(scheme, scheme)}/{rest}" if separator else uri


def check_code(compiled: str, own: str) -> None:
    """Checks that the image contains the compiled code.

    Raises:
        StepError: it contains other code, so the lineage would name the wrong code.
    """
    if compiled and compiled != own:
        raise StepError(
            f"the image contains other code ({own}) than the compiled pipeline ({compiled}): build the image from the "
            "compiled commit, and refer to it by its digest or by a tag that is used only once"
        )


def for_kubeflow(value: Any) -> Any:
    """Returns a JSON value in which local paths of artifacts are replaced by their URIs."""
    if isinstance(value, dict):
        return {key: for_kubeflow(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [for_kubeflow(inner) for inner in value]
    return address(value) if isinstance(value, str) else value


def run(parsed: tuple[argparse.Namespace, list[str]]) -> None:
    """Runs a step.

    Args:
        parsed: TFX's options, and the arguments for Beam.
    """
    options, beam = parsed
    step, executor_input = os.environ.get(STEP, ""), json.loads(options.json_serialized_invocation_args)
    outputs = executor_input["outputs"].get("artifacts", {}).values()
    folder = run_folder(_first(next(iter(outputs)))["uri"], step) if step and outputs else ""
    try:
        check_code(os.environ.get(COMPILED_CODE, ""), project_version())
        _run(options, beam, step, executor_input)
    except BaseException as error:
        if folder:
            record_failure(folder, step, describe(error))
        raise
    if folder:
        forget_failure(folder, step)


def _run(options: argparse.Namespace, beam: list[str], step: str, executor_input: dict[str, Any]) -> None:
    options.json_serialized_invocation_args = for_tfx(
        options.json_serialized_invocation_args, options.json_serialized_inputs_spec_args
    )
    entry.main((options, beam))
    tfx_input = json.loads(options.json_serialized_invocation_args)
    output_file = tfx_input["outputs"]["outputFile"]
    with fileio.open(output_file) as stream:
        executor_output = json.loads(stream.read())
    metrics = _show(step, executor_input, tfx_input, executor_output)
    if step == steps.PUSHER:
        pushed = _first(executor_output["artifacts"]["pushed_model"]).get("metadata", {})
        folder = run_folder(_first(executor_input["outputs"]["artifacts"]["pushed_model"])["uri"], step)
        record_end(folder, _outcome(pushed, metrics, tfx_input))
    with fileio.open(output_file, "w") as stream:
        stream.write(json.dumps(for_kubeflow(executor_output)))


def _show(
    step: str, executor_input: dict[str, Any], tfx_input: dict[str, Any], executor_output: dict[str, Any]
) -> dict[str, float]:
    """Writes the outputs that the engine's user interface shows. An error is only logged, and the step succeeds.

    Args:
        step: name of the step.
        executor_input: the executor input, with URIs.
        tfx_input: the executor input for TFX, with local paths.
        executor_output: the executor's output, which receives the additional artifacts.

    Returns:
        The metrics; empty if there are none.
    """
    outputs = executor_input["outputs"]["artifacts"]
    declared = {name: _first(outputs[name]) for name in SHOWN.get(step, {}) if name in outputs}
    contents: dict[str, Any] = {}
    if not declared:
        return {}
    try:
        contents = _contents(step, tfx_input, executor_output["artifacts"])
        for name, output in declared.items():
            artifact: dict[str, Any] = {key: output[key] for key in ("name", "uri") if key in output}
            if name == REPORT:
                in_place = bool(os.environ.get(ARTIFACTS_IN_PLACE))
                file = output["uri"] if in_place else output.get("customPath") or local_path(output["uri"])
                fileio.makedirs(os.path.dirname(file))
                with fileio.open(file, "w") as stream:
                    stream.write(contents[name])
            else:
                artifact["metadata"] = contents[name]
            executor_output["artifacts"][name] = {"artifacts": [artifact]}
    except Exception:
        logging.exception("the user interface will not show the results of %s", step)
    metrics: dict[str, float] = contents.get(METRICS, {})
    return metrics


def _contents(step: str, tfx_input: dict[str, Any], artifacts: dict[str, Any]) -> dict[str, Any]:
    """Returns the contents of the additional outputs, by name."""
    from report.on_cluster import metrics_of_evaluation, report_of_push  # Their imports take seconds.

    if step == steps.EVALUATOR:
        blessed = _first(artifacts["blessing"]).get("metadata", {}).get("blessed") == 1
        return {METRICS: metrics_of_evaluation(_first(tfx_input["outputs"]["artifacts"]["evaluation"])["uri"], blessed)}
    inputs = {name: _first(channel)["uri"] for name, channel in tfx_input["inputs"]["artifacts"].items()}
    name = tfx_input["inputs"]["parameterValues"]["pipeline_name"]
    metrics, page = report_of_push(name, inputs, _first(artifacts["pushed_model"]).get("metadata", {}))
    return {METRICS: metrics, REPORT: page}


def _outcome(pushed: dict[str, Any], metrics: dict[str, float], tfx_input: dict[str, Any]) -> Outcome:
    """Returns the outcome of a run whose Pusher succeeded."""
    if pushed.get("pushed"):
        version = pushed["pushed_version"]
        return Outcome(PUSHED, f"version {version}, {pushed['pushed_destination']}", "", version, metrics)
    from components.evaluator.gate import read_verdict

    evaluation = _first(tfx_input["inputs"]["artifacts"]["evaluation"])["uri"]
    return Outcome(NOT_BLESSED, "; ".join(read_verdict(evaluation).reasons), metrics=metrics)


def _first(channel: dict[str, Any]) -> dict[str, Any]:
    artifact: dict[str, Any] = channel["artifacts"][0]
    return artifact


def _run_and_freeze(parsed: tuple[argparse.Namespace, list[str]]) -> None:
    run(parsed)
    gc.freeze()  # Otherwise Python searches TensorFlow's objects for garbage at its end, which takes two seconds.


if __name__ == "__main__":
    app.run(_run_and_freeze, flags_parser=entry._parse_flags)
