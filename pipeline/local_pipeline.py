"""The pipeline as it runs on this machine: local folders, a SQLite store, Beam in this process."""

from __future__ import annotations

from pathlib import Path

from tfx import v1 as tfx

from components.example_validator.record import is_last
from on_device.artifact import open_artifact
from on_device.errors import ArtifactError
from pipeline import steps
from pipeline.config import PipelineConfig
from pipeline.local_execution import StepResult
from pipeline.pipeline import Places, create_pipeline

# The runner is named, since Beam's DirectRunner would first look for a binary on the internet. Its worker is this
# process and has no container, but where one is named TFX packs no copy of itself for workers, which takes 2 s a step.
BEAM_ARGUMENTS = ["--runner=FnApiRunner", "--sdk_container_image=none"]


def create_local_pipeline(
    config: PipelineConfig,
    data: Path,
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
        data: a folder, zip or CSV file with ratings.
        data_fingerprint: SHA-256 of its content.
        output: folder of this pipeline's artifacts and of its ML Metadata store `metadata.db`.
        serving_root: folder where models are pushed to.
        cache_dir: folder for unpacked archives.
        enable_cache: whether results of earlier runs may be taken.
    """
    output.mkdir(parents=True, exist_ok=True)
    places = Places(
        data=str(data),
        data_fingerprint=data_fingerprint,
        cache_dir=str(cache_dir.resolve()),
        pipeline_root=str(output / "artifacts"),
        serving_root=str(serving_root),
        statistics_record=str(output / "last_statistics"),
    )
    return create_pipeline(
        config,
        places,
        enable_cache=enable_cache,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(output / "metadata.db")
        ),
        beam_pipeline_args=BEAM_ARGUMENTS,
    )


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
