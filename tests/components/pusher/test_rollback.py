"""Rollbacks in folders and object stores: they are recorded, and only a person can undo them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tfx.dsl.io import fileio

from components.pusher import __main__ as command
from components.pusher.executor import _publish
from components.pusher.rollback import AnyStore, open_store, rollback, rolled_back
from components.pusher.store import StoreError
from lineage.find import model_file

ROOT = Path(command.__file__).parents[2]


@pytest.fixture(params=["folder", "object store"])
def place(request: pytest.FixtureRequest, tmp_path: Path, root: str) -> str:
    return str(tmp_path) if request.param == "folder" else root


@pytest.fixture
def store(place: str) -> AnyStore:
    return open_store(place, "rings")


@pytest.fixture
def push(store: AnyStore, stage: Callable) -> Callable[[str], str]:
    """Returns a function that publishes a model as the Pusher does, and returns the name of the version."""

    def run(content: str) -> str:
        with store.push() as staging:
            return _publish(store, staging, stage(staging, content))

    return run


def call(place: str, name: str, *options: str) -> int:
    return command.main([name, "--serving-dir", place, *options])


def test_rollbacks_to_older_and_newer_versions_and_a_later_push(store, push, place, capsys):
    assert [push(content) for content in ("a", "b", "c")] == ["1", "2", "3"]
    assert call(place, "rollback") == 0 and store.latest() == "2"
    assert capsys.readouterr().out == f"{store.folder}: version 2 is now served, before it was 3\n"
    assert call(place, "rollback") == 0 and store.latest() == "1"
    assert set(rolled_back(store)) == {"2", "3"}
    assert call(place, "rollback", "--to", "2", "--name", "rings") == 0 and store.latest() == "2"
    assert set(rolled_back(store)) == {"1", "3"}
    assert [(entry["from"], entry["to"]) for entry in store.history()] == [("3", "2"), ("2", "1"), ("1", "2")]
    assert all("@" in entry["who"] and entry["time"].endswith("+00:00") for entry in store.history())
    assert push("d") == "4" and store.latest() == "4"
    assert store.versions() == ["1", "2", "3", "4"] and len(store.history()) == 3


def test_a_repeated_push_does_not_serve_a_version_that_was_rolled_back(store, push, caplog):
    caplog.set_level("INFO", "recommender.progress")
    push("a"), push("b")
    entry = rollback(store)
    assert push("b") == "2" and store.latest() == "1"
    assert (
        f"these files are version 2, which {entry['who']} rolled back on {entry['time']}: version 1 stays served"
        in caplog.text
    )
    assert push("c") == "3" and push("b") == "2" and store.latest() == "3"
    rollback(store, "2")
    assert push("b") == "2" and store.latest() == "2"


def test_list_shows_versions_and_history(store, push, place, capsys):
    push("a"), push("b")
    entry = rollback(store)
    assert call(place, "list") == 0
    name, first, second, history = capsys.readouterr().out.splitlines()
    assert name == str(store.folder)
    assert first.startswith("*    1  ") and first.endswith("served")
    assert second.startswith("     2  ") and second.endswith("rolled back")
    assert history == f"rolled back {entry['time']} by {entry['who']}: 2 -> 1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "7"], "{folder}: no version 7; there are 1, 2"),
        (["--to", "2"], "{folder}: version 2 is served already"),
        (["--to", "1"], "version 1 is damaged, 2 stays served: {folder}/1/model.tflite: not the file that was pushed"),
        (["--name", "other"], "{place}/other: nothing was pushed there; {place} has rings"),
    ],
)
def test_a_version_that_cannot_be_served_is_an_error(store, push, place, capsys, options, message):
    push("a"), push("b")
    with fileio.open(f"{store.folder}/1/model.tflite", "w") as stream:
        stream.write("A")
    assert call(place, "rollback", *options) == 1
    assert capsys.readouterr().err.startswith("error: " + message.format(folder=store.folder, place=place))
    assert store.latest() == "2" and store.history() == []


def test_a_rollback_without_an_older_version_is_an_error(store, push, place, capsys, tmp_path):
    assert call(place, "rollback", "--name", "rings") == 1
    push("a")
    assert call(place, "rollback") == 1
    assert f"{store.folder}: no version is older than version 1; there are 1" in capsys.readouterr().err
    assert call(str(tmp_path / "nowhere"), "list") == 1
    assert "nothing was pushed there" in capsys.readouterr().err and not (tmp_path / "nowhere").exists()


def test_a_rollback_skips_versions_that_were_rolled_back(store, push, place, capsys):
    push("a"), push("b"), push("c")
    assert rollback(store)["to"] == "2" and push("d") == "4"
    assert call(place, "rollback") == 0 and store.latest() == "2"
    assert "skipped 3: rolled back earlier; to serve one, use rollback --to VERSION" in capsys.readouterr().out
    rollback(store, "4")  # Version 2 was left for a newer version, so it is not a bad one.
    assert rollback(store)["to"] == "2" and rollback(store)["to"] == "1"


def test_a_rollback_to_nothing_but_bad_versions_is_an_error(store, push):
    push("a"), push("b"), push("c")
    rollback(store, "2"), rollback(store, "1")
    push("d"), rollback(store, "1"), fileio.remove(f"{store.folder}/1/model_info.json"), store.point_latest_at("4")
    with pytest.raises(StoreError, match="all versions older than version 4 were rolled back; there are 2, 3, 4; "):
        rollback(store)


@pytest.mark.parametrize(
    ("info", "line"),
    [
        ('{"metrics": null, "size_bytes": "3", "created": null}', "*    1  served"),
        ('{"metrics": {"tflite": [1]}, "size_bytes": 1500000}', "*    1  1.50 MB  served"),
        ("[]", "*    1  damaged: model_info.json is not a JSON object  served"),
    ],
)
def test_list_shows_a_version_with_damaged_properties(store, push, place, capsys, info, line):
    push("a")
    with fileio.open(f"{store.folder}/1/model_info.json", "w") as stream:
        stream.write(info)
    assert call(place, "list") == 0
    assert capsys.readouterr().out.splitlines()[1] == line


@pytest.mark.parametrize("content", ['{"t', "[]", '{"time": "", "who": "", "to": "1"}'])
def test_a_damaged_history_is_an_error(store, push, place, capsys, content):
    push("a"), push("b"), rollback(store)
    (name,) = map(os.fsdecode, fileio.listdir(f"{store.folder}/.history"))
    with fileio.open(f"{store.folder}/.history/{name}", "w") as stream:
        stream.write(content)
    message = f"{store.folder}/.history/{name}: damaged; restore it, or delete it, which forgets the rollback"
    assert call(place, "list") == 1 and capsys.readouterr().err == f"error: {message}\n"
    with pytest.raises(StoreError, match="damaged; restore it"):
        push("c")
    assert store.latest() == "1"


def test_entries_of_the_history_are_not_overwritten(store, push):
    push("a"), push("b"), push("c")
    rollback(store), rollback(store)
    fileio.remove(f"{store.folder}/.history/{min(map(os.fsdecode, fileio.listdir(f'{store.folder}/.history')))}")
    rollback(store, "3")
    assert [(entry["from"], entry["to"]) for entry in store.history()] == [("2", "1"), ("1", "3")]


def test_versions_are_listed_without_a_valid_latest(store, push, place, capsys):
    push("a")
    for content, problem in ((None, "no version is served"), ("9", "latest names version '9', which is missing")):
        fileio.remove(f"{store.folder}/latest")
        if content:
            with fileio.open(f"{store.folder}/latest", "w") as stream:
                stream.write(content)
        assert call(place, "list") == 0
        *_, version, line = capsys.readouterr().out.splitlines()
        assert version.startswith("     1 ") and line.startswith(problem) and "rollback --to VERSION" in line
        with fileio.open(f"{store.folder}/latest", "w") as stream:
            stream.write("1")


@pytest.mark.parametrize("options", [[], ["--name", "rings"]])
def test_the_folder_of_a_pipeline_is_an_error(store, push, place, capsys, options):
    push("a")
    assert call(str(store.folder), "list", *options) == 1
    message = f"{store.folder}: the folder of one pipeline; use --serving-dir {place} --name rings"
    assert capsys.readouterr().err == f"error: {message}\n"


def test_lineage_finds_the_served_version_and_others(tmp_path, stage):
    store = open_store(str(tmp_path), "rings")
    for content in ("a", "b"):
        with store.push() as staging:
            store.publish(staging, stage(staging, content))
    rollback(store)
    assert model_file(str(store.folder)) == store.folder / "1" / "model.tflite"
    assert model_file(str(store.folder / "2")) == store.folder / "2" / "model.tflite"


@pytest.mark.parametrize(("step", "completed"), [("os.rename", False), ("os.replace", True)])
def test_a_killed_rollback_is_either_completed_or_has_no_effect(tmp_path, stage, step, completed):
    store = open_store(str(tmp_path), "rings")
    for content in ("a", "b"):
        with store.push() as staging:
            store.publish(staging, stage(staging, content))
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from components.pusher.rollback import open_store, rollback
{step} = lambda *unused: os.kill(os.getpid(), signal.SIGKILL)
rollback(open_store({str(tmp_path)!r}, "rings"))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert store.latest() == "2"
    with store.lock():
        pass
    assert store.latest() == ("1" if completed else "2") and len(store.history()) == int(completed)
    if not completed:
        rollback(store)
    assert store.latest() == "1"


def test_the_command_needs_no_tensorflow_for_folders(tmp_path):
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from components.pusher.__main__ import main
assert main(["list", "--serving-dir", {str(tmp_path)!r}]) == 1
assert not {{"tensorflow", "tfx"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_a_rollback_in_an_empty_store_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="has no versions"):
        rollback(open_store(str(tmp_path), "rings"))
