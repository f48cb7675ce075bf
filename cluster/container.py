"""What a step's container runs: TFX's own entry point, with the facts that Kubeflow's driver and launcher leave out.

Kubeflow describes tasks as KFP's own SDK takes them (`backend/src/v2` of kubeflow/pipelines), which TFX does not:

- An input artifact comes without its type, which the step's own specification has.
- Each step has an output more, its log, which the launcher writes and TFX has no type for.
- The launcher copies the inputs to the step's disk before the command, and whatever lies at the local paths of the
  outputs to the store after it. TFX takes the URIs for the places to read and write: it gets the local paths, and the
  launcher gets the URIs back. Vertex AI copies nothing, and workers of Beam on other machines need the URIs: there,
  artifacts are read and written in place.

On both engines it makes sure that the image holds the code that was compiled, and writes down why a step failed.
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
from components import s3  # registers s3:// and minio:// for all that is no artifact
from components.addresses import address, learn
from components.code_version import project_version
from components.errors import StepError, describe
from components.settings import ARTIFACTS_IN_PLACE, COMPILED_CODE, STEP
from pipeline import steps

LOG = "executor-logs"
COPIED = (*s3.SCHEMES, "gs://")
FOLDERS = {"gs": "gcs"}  # where the launcher keeps copies, if not in a folder that is named as the scheme


def for_tfx(executor_input: str, inputs_spec: str) -> str:
    """An executor input as TFX takes it; learns the addresses of artifacts that are copied.

    Args:
        executor_input: `ExecutorInput` in JSON, as the launcher gives it.
        inputs_spec: `ComponentInputsSpec` in JSON.
    """
    message = json_format.Parse(executor_input, pipeline_spec_pb2.ExecutorInput(), ignore_unknown_fields=True)
    spec = json_format.Parse(inputs_spec, pipeline_spec_pb2.ComponentInputsSpec(), ignore_unknown_fields=True)
    for name, found in message.inputs.artifacts.items():
        for artifact in found.artifacts:
            if not (artifact.type.schema_title or artifact.type.instance_schema):
                artifact.type.CopyFrom(spec.artifacts[name].artifact_type)
    for name in (LOG, *SHOWN.get(os.environ.get(STEP, ""), {})):
        message.outputs.artifacts.pop(name, None)
    copied = () if os.environ.get(ARTIFACTS_IN_PLACE) else COPIED
    for artifacts in (message.inputs.artifacts, message.outputs.artifacts):
        for found in artifacts.values():
            for artifact in found.artifacts:
                if artifact.uri.startswith(copied):
                    folder = local_path(artifact)
                    learn(folder, artifact.uri)
                    artifact.uri = folder
    return json_format.MessageToJson(message)


def local_path(artifact: pipeline_spec_pb2.RuntimeArtifact) -> str:
    """Where the launcher keeps a copy: in `/s3/BUCKET/...` of `s3://BUCKET/...`, unless it says otherwise."""
    return str(artifact.custom_path) or local_path_of(artifact.uri)


def local_path_of(uri: str) -> str:
    """Where the launcher keeps a copy by default; a path stays as it is."""
    scheme, separator, place = uri.partition("://")
    return f"/{FOLDERS.get(scheme, scheme)}/{place}" if separator else uri


def check_code(compiled: str, own: str) -> None:
    """Makes sure that an image holds the code that was compiled.

    Raises:
        StepError: it does not, so that the lineage would name code that did not run.
    """
    if compiled and compiled != own:
        raise StepError(
            f"the image holds other code ({own}) than the pipeline was compiled from ({compiled}): build the image "
            "from the commit that is compiled, and name it by its digest or by a tag that is used once"
        )


def for_kubeflow(value: Any) -> Any:
    """JSON, all of whose texts that are local paths of artifacts are their URIs."""
    if isinstance(value, dict):
        return {key: for_kubeflow(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [for_kubeflow(inner) for inner in value]
    return address(value) if isinstance(value, str) else value


def run(parsed: tuple[argparse.Namespace, list[str]]) -> None:
    """Run a step.

    Args:
        parsed: TFX's options, and those for Beam.
    """
    options, beam = parsed
    step, given = os.environ.get(STEP, ""), json.loads(options.json_serialized_invocation_args)
    made = given["outputs"].get("artifacts", {}).values()
    folder = run_folder(_first(next(iter(made)))["uri"], step) if step and made else ""
    try:
        check_code(os.environ.get(COMPILED_CODE, ""), project_version())
        _run(options, beam, step, given)
    except BaseException as error:
        if folder:
            record_failure(folder, step, describe(error))
        raise
    if folder:
        forget_failure(folder, step)


def _run(options: argparse.Namespace, beam: list[str], step: str, given: dict[str, Any]) -> None:
    options.json_serialized_invocation_args = for_tfx(
        options.json_serialized_invocation_args, options.json_serialized_inputs_spec_args
    )
    entry.main((options, beam))
    output_file = json.loads(options.json_serialized_invocation_args)["outputs"]["outputFile"]
    with fileio.open(output_file) as stream:
        told = json.loads(stream.read())
    _show(step, given, options.json_serialized_invocation_args, told)
    with fileio.open(output_file, "w") as stream:
        stream.write(json.dumps(for_kubeflow(told)))


def _show(step: str, given: dict[str, Any], for_step: str, told: dict[str, Any]) -> None:
    """Write what the engine's pages show of a step; a step does not fail for it.

    Args:
        step: its name.
        given: the executor input, with URIs.
        for_step: the same as the step got it, in JSON.
        told: the executor's output; the artifacts that are shown are added to it.
    """
    made = given["outputs"]["artifacts"]
    places = {name: _first(made[name]) for name in SHOWN.get(step, {}) if name in made}
    if not places:
        return
    shown: dict[str, Any] = {}
    try:
        shown = _shown(step, json.loads(for_step), told["artifacts"])
        for name, place in places.items():
            artifact: dict[str, Any] = {key: place[key] for key in ("name", "uri") if key in place}
            if name == REPORT:
                in_place = bool(os.environ.get(ARTIFACTS_IN_PLACE))
                file = place["uri"] if in_place else place.get("customPath") or local_path_of(place["uri"])
                fileio.makedirs(os.path.dirname(file))
                with fileio.open(file, "w") as stream:
                    stream.write(shown[name])
            else:
                artifact["metadata"] = shown[name]
            told["artifacts"][name] = {"artifacts": [artifact]}
    except Exception:
        logging.exception("the engine's pages will lack what %s found", step)
    if step == steps.PUSHER:
        pushed = _first(told["artifacts"]["pushed_model"]).get("metadata", {})
        folder = run_folder(_first(made["pushed_model"])["uri"], step)
        record_end(folder, _outcome(pushed, shown.get(METRICS, {}), for_step))


def _shown(step: str, given: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """What is shown, by the name of the output."""
    from report.on_cluster import metrics_of_evaluation, report_of_push  # Only now: they load what TFX did not.

    if step == steps.EVALUATOR:
        blessed = _first(told["blessing"]).get("metadata", {}).get("blessed") == 1
        return {METRICS: metrics_of_evaluation(_first(given["outputs"]["artifacts"]["evaluation"])["uri"], blessed)}
    inputs = {name: _first(artifacts)["uri"] for name, artifacts in given["inputs"]["artifacts"].items()}
    name = given["inputs"]["parameterValues"]["pipeline_name"]
    metrics, page = report_of_push(name, inputs, _first(told["pushed_model"]).get("metadata", {}))
    return {METRICS: metrics, REPORT: page}


def _outcome(pushed: dict[str, Any], metrics: dict[str, float], for_step: str) -> Outcome:
    """How a run ended whose Pusher ended well."""
    if pushed.get("pushed"):
        version = pushed["pushed_version"]
        return Outcome(PUSHED, f"version {version}, {pushed['pushed_destination']}", "", version, metrics)
    from components.evaluator.gate import read_verdict

    evaluation = _first(json.loads(for_step)["inputs"]["artifacts"]["evaluation"])["uri"]
    return Outcome(NOT_BLESSED, "; ".join(read_verdict(evaluation).reasons), metrics=metrics)


def _first(artifacts: dict[str, Any]) -> dict[str, Any]:
    artifact: dict[str, Any] = artifacts["artifacts"][0]
    return artifact


def _run_and_freeze(parsed: tuple[argparse.Namespace, list[str]]) -> None:
    run(parsed)
    gc.freeze()  # Python would spend two seconds on looking for garbage in TensorFlow before it ends.


if __name__ == "__main__":
    app.run(_run_and_freeze, flags_parser=entry._parse_flags)
