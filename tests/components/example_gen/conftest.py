"""Runs of ExampleGen without the other steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest
import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_artifacts

from components.artifacts import ItemCatalog
from components.example_gen.executor import Executor
from components.example_gen.settings import ExampleGenSettings
from data.settings import DataSettings
from pipeline.beam_runners import LOCAL_ARGUMENTS


@pytest.fixture(scope="session")
def run_example_gen() -> Callable[..., tuple[standard_artifacts.Examples, ItemCatalog]]:
    """Returns a function that runs ExampleGen on `data` and returns its outputs, which are in `folder`."""

    def run(data: Path, folder: Path, **properties: object) -> tuple[standard_artifacts.Examples, ItemCatalog]:
        examples, catalog = standard_artifacts.Examples(), ItemCatalog()
        examples.uri, catalog.uri = str(folder / "examples"), str(folder / "catalog")
        context = base_beam_executor.BaseBeamExecutor.Context(
            beam_pipeline_args=list(LOCAL_ARGUMENTS), tmp_dir=str(folder / "temporary"), unique_id="1"
        )
        defaults = {
            "data": str(data),
            "data_fingerprint": "",
            "cache_dir": str(folder / "cache"),
            "reading": DataSettings().model_dump_json(),
            "settings": ExampleGenSettings().model_dump_json(),
        }
        Executor(context).Do({}, {"examples": [examples], "catalog": [catalog]}, {**defaults, **properties})
        return examples, catalog

    return run


def columns_of(record: bytes) -> dict[str, list]:
    """Returns the features of a serialized example."""
    feature = tf.train.Example.FromString(record).features.feature
    return {
        name: list(getattr(value, value.WhichOneof("kind") or "bytes_list").value) for name, value in feature.items()
    }


@pytest.fixture(scope="module")
def generate(
    run_example_gen: Callable, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[dict[str, list[dict]], Path]]:
    """Returns a function that runs ExampleGen on files; it returns the examples by split and the catalogue's folder."""

    def run(
        files: dict[str, str],
        properties: Mapping[str, object] = MappingProxyType({}),
        activity: Sequence[str] = (),
        **settings: object,
    ) -> tuple[dict[str, list[dict]], Path]:
        folder = tmp_path_factory.mktemp("generated")
        (folder / "data").mkdir()
        for name, text in files.items():
            (folder / "data" / name).write_text(text, encoding="utf-8")
        examples, _ = run_example_gen(
            folder / "data",
            folder,
            reading=DataSettings().with_activity(activity).model_dump_json(),
            settings=ExampleGenSettings(**settings).model_dump_json(),
            **properties,
        )
        splits = {}
        for split in artifact_utils.decode_split_names(examples.split_names):
            paths = [str(path) for path in (folder / "examples" / f"Split-{split}").glob("*.gz")]
            records = tf.data.TFRecordDataset(paths, compression_type="GZIP")
            splits[split] = [columns_of(record) for record in records.as_numpy_iterator()]
        return splits, folder / "catalog"

    return run
