"""ExampleGen makes the same examples, record for record, of one log in every form; between stages it keeps blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components.artifacts import ItemCatalog
from components.example_gen.blocks import Block, Blocks
from components.example_gen.executor import Executor, _runs_here
from components.example_gen.item_counts import MOST_PARTS, SumCounts
from components.example_gen.settings import ExampleGenSettings
from data.settings import DataSettings
from tests.data.test_any_log import daily_csv, gzip_csv, one_csv, parquet_parts
from tests.same_records import digests


def generate(data: Path, folder: Path) -> dict[str, tuple[int, str]]:
    """Runs ExampleGen; returns the digest of the records of each split."""
    examples, catalog = standard_artifacts.Examples(), ItemCatalog()
    examples.uri, catalog.uri = str(folder / "examples"), str(folder / "catalog")
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=["--runner=FnApiRunner"], tmp_dir=str(folder / "temporary"), unique_id="1"
    )
    properties = {
        **{"data": str(data), "data_fingerprint": "", "cache_dir": str(folder / "cache")},
        "reading": DataSettings().model_dump_json(),
        "settings": ExampleGenSettings().model_dump_json(),
    }
    executor = Executor(context)
    executor.Do({}, {"examples": [examples], "catalog": [catalog]}, properties)
    return digests(folder / "examples")


@pytest.fixture(scope="module")
def of_one_csv(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    folder = tmp_path_factory.mktemp("csv")
    return generate(one_csv(folder), folder)


@pytest.mark.parametrize("write_log", [daily_csv, parquet_parts, gzip_csv])
def test_the_same_examples_record_for_record(write_log: Callable[[Path], Path], of_one_csv, tmp_path: Path) -> None:
    assert generate(write_log(tmp_path), tmp_path) == of_one_csv
    assert {split: count for split, (count, _) in of_one_csv.items()} == {
        "train": 7,
        "eval": 7,
        "test": 7,
        "catalog": 11,
    }


@pytest.mark.parametrize("in_files", [True, False])
def test_blocks_come_back_wherever_they_are_kept(in_files: bool, tmp_path: Path) -> None:
    tables = [pa.table({"user": ["a" * 1000, "b"] * size, "rating": [1.0, 2.5] * size}) for size in (1, 1000, 0)]
    blocks = Blocks(str(tmp_path) if in_files else "")
    kept = blocks.put(tables)
    assert [blocks.get(block) for block in kept] == tables
    assert len(list(tmp_path.iterdir())) == int(in_files)
    assert all(isinstance(block, Block if in_files else bytes) for block in kept)


@pytest.mark.parametrize(
    ("arguments", "here"),
    [
        ([], True),
        (["--runner=FnApiRunner"], True),
        (["--runner=FlinkRunner"], False),
        (["--runner=FlinkRunner", "--runner=FnApiRunner"], True),
    ],
)
def test_blocks_are_files_only_where_beam_keeps_elements_in_memory(arguments: list[str], here: bool) -> None:
    assert _runs_here(arguments) == here


def test_counts_of_partitions_are_summed_as_they_come():
    sums = SumCounts()
    accumulator = sums.create_accumulator()
    for number in range(100):
        counts = pa.array(["a", f"b{number % 3}"], pa.string()), np.array([1, 2])
        accumulator = sums.add_input(accumulator, counts)
        assert len(accumulator) < MOST_PARTS
    assert len(sums.compact(accumulator)) == 1
    ids, counts = sums.extract_output(sums.merge_accumulators([accumulator, sums.create_accumulator()]))
    assert dict(zip(ids.to_pylist(), counts.tolist(), strict=True)) == {"a": 100, "b0": 68, "b1": 66, "b2": 66}
