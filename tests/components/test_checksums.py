"""A damaged result is not used from the cache."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

import pytest
from tfx.dsl.io import fileio

from components import checksums


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model" / "7"
    (folder / "part").mkdir(parents=True)
    (folder / "graph.pb").write_bytes(bytes(range(256)) * 5000)
    (folder / "part" / "a b").write_bytes(b"")
    checksums.record(str(folder))
    return folder


def flip(path: Path) -> None:
    """Flips one bit and keeps the size and the times."""
    content, before = bytearray(path.read_bytes()), path.stat()
    content[1000] ^= 1
    path.write_bytes(content)
    checksums.os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_an_undamaged_folder_has_no_damage(folder):
    assert checksums.damage(str(folder)) == ""
    check = subprocess.run(["sha256sum", "--check", "--strict", "7.sha256"], cwd=folder.parent, capture_output=True)
    assert check.returncode == 0


def test_damage_names_the_damaged_file(folder):
    flip(folder / "graph.pb")
    assert checksums.damage(str(folder)) == f"{folder}/graph.pb is not what the step wrote"
    (folder / "graph.pb").unlink()
    assert checksums.damage(str(folder)) == f"{folder}/graph.pb is missing"


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", ".nfs0000000000a1", "part/desktop.ini"])
def test_files_that_the_step_did_not_write_are_ignored(folder, name):
    (folder / name).write_bytes(b"from a file manager")
    assert checksums.damage(str(folder)) == ""


def test_checksums_are_never_overwritten(folder):
    flip(folder / "graph.pb")
    checksums.record(str(folder))
    assert checksums.damage(str(folder))


def test_results_without_checksums_are_used(folder):
    checksums.checksum_file(folder).unlink()
    flip(folder / "graph.pb")
    assert checksums.damage(str(folder)) == "" and checksums.damage(str(folder.parent / "8")) == ""


def test_a_run_repeats_a_step_whose_result_is_damaged(tmp_path, caplog):
    """A pipeline of one step, in this process."""
    from tfx import v1 as tfx
    from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen

    from pipeline import local_execution, pipeline

    class Silent:
        def started(self, step: str) -> None: ...
        def finished(self, result: local_execution.StepResult) -> None: ...
        def failed(self, step: str, seconds: float) -> None: ...

    one_step = tfx.dsl.Pipeline(
        pipeline_name="one",
        pipeline_root=str(tmp_path / "artifacts"),
        components=[ImportSchemaGen(schema_file=str(pipeline.SCHEMA))],
        enable_cache=True,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(str(tmp_path / "db")),
    )

    def run() -> tuple[bool, Path]:
        (result,) = local_execution.run(one_step, Silent())
        return result.cached, Path(result.outputs["schema"][0].uri)

    (first_cached, first), (second_cached, second) = run(), run()
    assert (first_cached, second_cached) == (False, True) and first == second
    flip(first / "schema.pbtxt")
    with caplog.at_level(logging.INFO, "recommender.progress"):
        third_cached, third = run()
    assert not third_cached and third != first
    assert (third / "schema.pbtxt").read_bytes() == pipeline.SCHEMA.read_bytes()
    assert f"{first}/schema.pbtxt is not what the step wrote" in caplog.text
    assert run() == (True, third)


def test_in_an_object_store_only_absence_is_damage():
    uri = "ram://checksums/Trainer/model/7"
    checksums.record(uri)
    assert checksums.damage(uri) == f"{uri} is missing"
    with fileio.open(f"{uri}/graph.pb", "w") as stream:
        stream.write("graph")
    assert checksums.damage(uri) == ""
