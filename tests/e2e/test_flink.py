"""The data steps write the same records on a Flink in the job server as without Flink."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from benchmarks.prepared import run_steps
from components import features
from components.trees import copy_tree
from on_device.command_line import default_cache_dir
from pipeline import steps
from pipeline.config import load_config
from pipeline.console import ConsoleObserver
from pipeline.flink_jar import JarError, make_jar
from tests.object_store import BUCKET, played_s3
from tests.same_records import digests
from tests.shared_runs import SAMPLE, SAMPLE_CONFIG

JAR_WITHIN = 60.0  # seconds


@pytest.fixture(scope="module")
def flink() -> Iterator[dict[str, object]]:
    """Settings of Beam for an embedded Flink."""
    try:
        jar = make_jar(JAR_WITHIN)
    except JarError as error:
        pytest.skip(f"no job server for Flink: {error}")
    from pipeline.flink_runner import stop_job_servers

    # The cheaper compiler and one task at a time: more would not pay in so short a run.
    options = ["-Xmx512m", "-XX:TieredStopAtLevel=1"]
    yield {"runner": "flink", "parallelism": 1, "flink": {"jar": str(jar), "java_options": options}}
    stop_job_servers()


def run(data: Path | str, folder: Path, beam: dict[str, object]) -> dict[str, dict[str, tuple[int, str]]]:
    """Runs the data steps; returns the digests of the records of ExampleGen and Transform, by split."""
    config = load_config(SAMPLE_CONFIG, {"beam": beam})
    results = run_steps(data, config, folder, default_cache_dir(), Mock(spec=ConsoleObserver), steps.TRANSFORM)
    outputs = {steps.EXAMPLE_GEN: "examples", steps.TRANSFORM: "transformed_examples"}
    return {step: digests(Path(results[step].outputs[name][0].uri)) for step, name in outputs.items()}


# Beam's workers, threads of this process, raise errors when Flink closes their channels.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_flink_with_data_in_s3_writes_the_same_records(flink, sample_run, tmp_path):
    with played_s3():
        copy_tree(str(SAMPLE), f"s3://{BUCKET}/flink/sample")
        flink_records = run(f"s3://{BUCKET}/flink/sample", tmp_path / "flink", flink)
    local_records = run(sample_run.data, sample_run.lend_results(tmp_path / "here"), {"runner": "local"})
    assert flink_records == local_records
    assert {split: count for split, (count, _) in local_records[steps.EXAMPLE_GEN].items()} == {
        **dict.fromkeys(features.SPLITS, 300),
        features.CATALOG: 150,
    }
