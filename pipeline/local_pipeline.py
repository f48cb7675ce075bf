"""The pipeline of a local run: local folders, a SQLite metadata store, and Beam as configured."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tfx import v1 as tfx
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.io import fileio

from components.example_validator.record import is_last
from components.trainer.settings import top_k_complaint
from data.files import is_uri
from on_device.artifact import open_artifact
from on_device.errors import ArtifactError
from pipeline import steps
from pipeline.beam_runners import LOCAL_ARGUMENTS, beam_arguments
from pipeline.config import PipelineConfig
from pipeline.local_execution import StepResult
from pipeline.pipeline import Places, create_pipeline


def create_local_pipeline(
    config: PipelineConfig,
    data: str | Path,
    data_fingerprint: str,
    output: Path,
    serving_root: Path,
    cache_dir: Path,
    *,
    enable_cache: bool,
) -> tfx.dsl.Pipeline:
    """Returns the pipeline of a local run.

    Args:
        config: the configuration.
        data: path or URI of a folder, a pattern, a zip or a file with interactions.
        data_fingerprint: fingerprint of the data, see `data.files.fingerprint_of`.
        output: folder of the ML Metadata store `metadata.db` and of the artifacts. With Dataflow, the artifacts are in
            `beam.dataflow.artifacts` instead.
        serving_root: folder that models are pushed to.
        cache_dir: folder for unpacked archives.
        enable_cache: whether a step may reuse the result of an earlier run.
    """
    output.mkdir(parents=True, exist_ok=True)
    on_dataflow = config.beam.runner == "dataflow"
    artifacts = str(output / "artifacts")
    if on_dataflow:
        artifacts = f"{config.beam.dataflow.artifacts.rstrip('/')}/{config.name}"
    places = Places(
        data=str(data),
        data_fingerprint=data_fingerprint,
        cache_dir=str(cache_dir.resolve()),
        pipeline_root=artifacts,
        serving_root=str(serving_root),
        statistics_record=str(output / "last_statistics"),
    )
    pipeline = create_pipeline(
        config,
        places,
        enable_cache=enable_cache,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(output / "metadata.db")
        ),
        beam_pipeline_args=beam_arguments(config.beam),
    )
    if on_dataflow and not is_uri(str(data)):
        for component in pipeline.components:
            if component.id == steps.EXAMPLE_GEN and isinstance(component, BaseBeamComponent):
                # The step reads this machine's disk. These arguments override those of the pipeline.
                component.with_beam_pipeline_args(LOCAL_ARGUMENTS)
    return pipeline


def catalogue_problem(config: PipelineConfig, result: StepResult) -> str:
    """Returns the reason why the Trainer cannot use ExampleGen's catalogue, in one line; empty if it can.

    Transform may leave out more items, such as those that occur only in held-out events; the Trainer checks again.
    """
    if result.name != steps.EXAMPLE_GEN:
        return ""
    folder = result.outputs["catalog"][0].uri
    if config.transform.catalog == "all":
        with fileio.open(os.path.join(folder, "items.jsonl")) as stream:
            items = sum(1 for _ in stream)
    else:
        with fileio.open(os.path.join(folder, "dataset.json")) as stream:
            items = json.loads(stream.read())["items"]
    return top_k_complaint(config.trainer.top_k, items)


def is_stale(result: StepResult) -> bool:
    """Returns whether a cached result is no longer valid.

    A push is not valid if its files changed, and a comparison with the last data if other data passed since.
    """
    if result.name == steps.PUSHER:
        return _pushed_files_are_gone(result)
    if result.name == steps.EXAMPLE_VALIDATOR:
        properties = result.outputs["anomalies"][0].custom_properties
        return not is_last({name: properties[name].string_value for name in properties})
    return False


def _pushed_files_are_gone(result: StepResult) -> bool:
    """Returns whether the version of a cached push is no longer complete in the serving folder."""
    for artifact in result.outputs.get("pushed_model", []):
        if artifact.custom_properties["pushed"].int_value:
            try:
                open_artifact(artifact.custom_properties["pushed_destination"].string_value)
            except ArtifactError:
                return True
    return False
