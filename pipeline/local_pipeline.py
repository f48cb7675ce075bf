"""The pipeline as it runs from this machine: local folders, a SQLite store, Beam here or where the settings say."""

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
    """The pipeline over local folders.

    Args:
        config: what to compute.
        data: path or URI of a folder, a pattern, a zip or a file with interactions.
        data_fingerprint: its fingerprint, see `data.files.fingerprint_of`.
        output: folder of this pipeline's ML Metadata store `metadata.db`, and of its artifacts unless Beam runs where
            this machine's disk is not seen.
        serving_root: folder where models are pushed to.
        cache_dir: folder for unpacked archives.
        enable_cache: whether results of earlier runs may be taken.
    """
    output.mkdir(parents=True, exist_ok=True)
    remote = config.beam.runner == "dataflow"
    artifacts = f"{config.beam.dataflow.artifacts.rstrip('/')}/{config.name}" if remote else str(output / "artifacts")
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
    for component in pipeline.components:
        if (
            remote
            and not is_uri(str(data))
            and component.id == steps.EXAMPLE_GEN
            and isinstance(component, BaseBeamComponent)
        ):
            # It reads from this machine's disk; the later one of two arguments counts.
            component.with_beam_pipeline_args(LOCAL_ARGUMENTS)
    return pipeline


def catalogue_complaint(config: PipelineConfig, result: StepResult) -> str:
    """Why the Trainer cannot work with the catalogue that ExampleGen found, one line; empty where it can.

    Transform may leave out more items, those of the last events of every user for one: the Trainer counts again.
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
    """Whether a cached result no longer holds: what it says was changed behind its back."""
    if result.name == steps.PUSHER:
        return _pushed_files_are_gone(result)
    if result.name == steps.EXAMPLE_VALIDATOR:
        properties = result.outputs["anomalies"][0].custom_properties
        return not is_last({name: properties[name].string_value for name in properties})
    return False


def _pushed_files_are_gone(result: StepResult) -> bool:
    """Whether a cached push names a version that is no longer whole in the serving folder."""
    for artifact in result.outputs.get("pushed_model", []):
        if artifact.custom_properties["pushed"].int_value:
            try:
                open_artifact(artifact.custom_properties["pushed_destination"].string_value)
            except ArtifactError:
                return True
    return False
