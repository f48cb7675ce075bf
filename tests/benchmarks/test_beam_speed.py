"""The plain Beam version makes the same examples as ExampleGen, and the table says what was measured."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from benchmarks import plain_beam, same_records
from benchmarks.beam_speed import OURS, PLAIN, STEPS, Run, table_of
from benchmarks.generate import main as generate
from components import features
from components.artifacts import ItemCatalog
from components.example_gen.executor import Executor
from components.example_gen.settings import ExampleGenSettings
from data.settings import DataSettings

ARGUMENTS = ["--runner=FnApiRunner", "--sdk_container_image=none"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What ExampleGen and the plain version make of the same generated data."""
    folder = tmp_path_factory.mktemp("speed")
    data = folder / "data"
    assert generate(["--ratings=3000", "--users=60", "--items=200", f"--output={data}"]) == 0
    examples, catalog = standard_artifacts.Examples(), ItemCatalog()
    examples.uri, catalog.uri = str(folder / "ours"), str(folder / "catalog")
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=ARGUMENTS, tmp_dir=str(folder / "temporary"), unique_id="1"
    )
    properties = {"data": str(data), "data_fingerprint": "", "cache_dir": ""}
    properties["settings"] = ExampleGenSettings().model_dump_json()
    properties["reading"] = DataSettings().model_dump_json()
    Executor(context).Do({}, {"examples": [examples], "catalog": [catalog]}, properties)
    plain_beam.ingest(data, folder / "ratings", ARGUMENTS)
    with beam.Pipeline(options=PipelineOptions(ARGUMENTS)) as pipeline:
        found = plain_beam.timelines(pipeline, folder / "ratings")
        for name in features.SPLITS:
            _ = plain_beam.only(found, name) | f"Write[{name}]" >> plain_beam.write(folder / "plain", name)
    catalog_split = f"Split-{features.CATALOG}"
    (folder / "ratings" / catalog_split).rename(folder / "plain" / catalog_split)
    return folder / "ours", folder / "plain"


def test_both_make_the_same_examples(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert same_records.main([str(folder) for folder in folders]) == 0
    assert "train: 60 and 60 examples, the same" in capsys.readouterr().out
    assert {split: count for split, (count, _) in same_records.digests(folders[0]).items()} == {
        **dict.fromkeys(features.SPLITS, 60),
        features.CATALOG: 200,
    }


def test_other_examples_are_noticed(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for split, other in (("train", "eval"), ("eval", "eval")):
        (tmp_path / f"Split-{split}").symlink_to(folders[0] / f"Split-{other}")
    assert same_records.main([str(folders[0]), str(tmp_path)]) == 1


def test_table_has_ratios_and_growth() -> None:
    def took(version: str, ratings: int, seconds: float) -> Run:
        return Run(version, ratings, dict.fromkeys(STEPS, seconds), 3 << 30, Path())

    table = table_of([took(OURS, 1_000, 2.0), took(PLAIN, 1_000, 10.0), took(OURS, 4_000, 6.0)])
    found = {column.header: list(column.cells) for column in table.columns}
    assert found["together"] == ["6.0 s", "30.0 s", "18.0 s"]
    assert found["over plain"] == ["5.0 x", "1.0 x", ""]
    assert found["growth"] == ["1.00", "1.00", "0.75"]
    assert found["peak"] == ["3.00 GiB"] * 3
