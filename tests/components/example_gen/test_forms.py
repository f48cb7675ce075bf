"""The same log in every format gives the same examples; blocks store interactions between the stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.example_gen.blocks import Block, Blocks
from components.example_gen.executor import _is_local
from components.example_gen.item_counts import sum_counts
from tests.data.test_any_log import daily_csv, gzip_csv, one_csv, parquet_parts
from tests.same_records import digests


@pytest.fixture(scope="module")
def generate(run_example_gen: Callable) -> Callable[[Path, Path], dict[str, tuple[int, str]]]:
    """Returns a function that runs ExampleGen and returns the digest of the records of each split."""

    def run(data: Path, folder: Path) -> dict[str, tuple[int, str]]:
        run_example_gen(data, folder)
        return digests(folder / "examples")

    return run


@pytest.fixture(scope="module")
def one_csv_digests(generate: Callable, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    folder = tmp_path_factory.mktemp("csv")
    return generate(one_csv(folder), folder)


@pytest.mark.parametrize("write_log", [daily_csv, parquet_parts, gzip_csv])
def test_every_format_gives_the_same_examples(
    write_log: Callable[[Path], Path], generate: Callable, one_csv_digests: dict[str, tuple[int, str]], tmp_path: Path
) -> None:
    assert generate(write_log(tmp_path), tmp_path) == one_csv_digests
    assert {split: count for split, (count, _) in one_csv_digests.items()} == {
        "train": 7,
        "eval": 7,
        "test": 7,
        "catalog": 11,
    }


@pytest.mark.parametrize("in_files", [True, False])
def test_blocks_return_the_tables_that_they_store(in_files: bool, tmp_path: Path) -> None:
    tables = [pa.table({"user": ["a" * 1000, "b"] * size, "rating": [1.0, 2.5] * size}) for size in (1, 1000, 0)]
    blocks = Blocks(str(tmp_path) if in_files else "")
    stored = blocks.put(tables)
    assert [blocks.get(block) for block in stored] == tables
    assert len(list(tmp_path.iterdir())) == int(in_files)
    assert all(isinstance(block, Block if in_files else bytes) for block in stored)


@pytest.mark.parametrize(
    ("arguments", "is_local"),
    [
        ([], True),
        (["--runner=FnApiRunner"], True),
        (["--runner=FlinkRunner"], False),
        (["--runner=FlinkRunner", "--runner=FnApiRunner"], True),
    ],
)
def test_a_pipeline_is_local_unless_its_last_runner_is_remote(arguments: list[str], is_local: bool) -> None:
    assert _is_local(arguments) == is_local


def test_counts_of_partitions_are_summed() -> None:
    partitions = [(pa.array(["a", f"b{number % 3}"], pa.string()), np.array([1, 2])) for number in range(100)]
    ids, counts = sum_counts([sum_counts(partitions[:40]), *partitions[40:], sum_counts([])])
    assert dict(zip(ids.to_pylist(), counts.tolist(), strict=True)) == {"a": 100, "b0": 68, "b1": 66, "b2": 66}
