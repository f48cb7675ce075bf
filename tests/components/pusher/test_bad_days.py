"""Pushes under failures: `latest` always names a complete version, and the served version stays served."""

from __future__ import annotations

import errno
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.pusher.executor import _publish
from components.pusher.rollback import rollback
from components.pusher.store import StoreError, VersionStore
from on_device.artifact import open_artifact

ROOT = Path(__file__).parents[3]
WRITES = [
    *((pathlib.Path, "write_text"), (pathlib.Path, "write_bytes"), (pathlib.Path, "mkdir")),
    *((os, "fsync"), (os, "rename"), (os, "replace")),
]


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(str(tmp_path), "rings")


def publish(store: VersionStore, stage: Callable, content: str) -> str:
    with store.push() as staging:
        return _publish(store, staging, stage(staging, content))


class FullDisk:
    """A disk with room for `room` writes; the next write fails, after half of its text."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int):
        self.room = room
        for module, name in WRITES:
            monkeypatch.setattr(module, name, self._limit(getattr(module, name)))

    def _limit(self, call: Callable) -> Callable:
        def limited(*arguments: object, **options: object) -> object:
            self.room -= 1
            if self.room >= 0:
                return call(*arguments, **options)
            if call.__name__ == "write_text":
                with open(str(arguments[0]), "w", encoding="utf-8") as stream:
                    stream.write(str(arguments[1])[: len(str(arguments[1])) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

        return limited


def test_a_full_disk_at_any_write_leaves_only_complete_versions(store, stage, monkeypatch):
    publish(store, stage, "first")
    for room in range(100):
        with monkeypatch.context() as patch:
            FullDisk(patch, room)
            try:
                pushed = publish(store, stage, "second")
                break
            except StoreError as error:
                assert re.search(r"No space left on device; make room and run again \(version \d+ stays", str(error))
        visible = {path.name for path in store.folder.iterdir() if not path.name.startswith(".")}
        models = [
            open_artifact(store.folder / name).model.read_bytes() for name in sorted(visible - {"latest"}, key=int)
        ]
        assert models in ([b"first"], [b"first", b"second"]), "each version is complete, and none occurs twice"
        assert open_artifact(store.folder).model.read_bytes() in models
    assert room > 8
    assert store.latest() == pushed and store.versions() == ["1", pushed]
    assert not list(store.folder.glob(".staging-*"))


def test_a_full_disk_keeps_the_last_version_number(store, stage, monkeypatch):
    for content in ("a", "b"):
        publish(store, stage, content)
    for room in range(9):
        with monkeypatch.context() as patch, pytest.raises(StoreError):
            FullDisk(patch, room)
            publish(store, stage, "c")
        assert int((store.folder / ".lock").read_text(encoding="utf-8")) >= 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_file_system_keeps_the_served_version(small_disk, stage):
    store = VersionStore(str(small_disk), "rings")
    publish(store, stage, "x" * 100_000)
    with pytest.raises(StoreError, match=r"No space left on device; make room .* \(version 1 stays served\)"):
        publish(store, stage, "y" * 200_000)
    assert open_artifact(store.folder).info["version"] == "1" and store.versions() == ["1"]
    assert publish(store, stage, "z" * 50_000) == "2"


def test_a_reader_finds_complete_versions_during_concurrent_pushes(store, stage, tmp_path):
    publish(store, stage, "first")
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from components.pusher.store import VersionStore
import hashlib, json
store = VersionStore({str(tmp_path)!r}, "rings")
for number in range(15):
    with store.push() as staging:
        (staging / "model.tflite").write_text(sys.argv[1] + str(number) * 100_000)
        (staging / "items.json").write_text('{{"format": 2, "items": []}}')
        sums = {{path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in staging.iterdir()}}
        store.publish(staging, {{"format": 2, "history_length": 5, "top_k": 10, "num_items": 0, "sha256": sums}})
"""
    pushers = [subprocess.Popen([sys.executable, "-c", script, name]) for name in "abc"]
    served_versions = []
    while any(process.poll() is None for process in pushers):
        served_versions.append(int(open_artifact(store.folder).info["version"]))
    assert [process.returncode for process in pushers] == [0, 0, 0]
    assert served_versions == sorted(served_versions) and len(set(served_versions)) > 3
    assert store.versions() == [str(number) for number in range(1, 47)] and store.latest() == "46"
    assert {open_artifact(store.folder / name).model.read_bytes()[:1] for name in store.versions()[1:]} == {
        b"a",
        b"b",
        b"c",
    }


def test_a_clock_that_is_set_back_does_not_change_the_order_of_versions(store, stage):
    publish(store, stage, "a"), publish(store, stage, "b")
    for path in store.folder.rglob("*"):
        os.utime(path, (4_000_000_000, 4_000_000_000))
    assert publish(store, stage, "c") == "3" and store.latest() == "3"
    rollback(store, "1")
    assert publish(store, stage, "d") == "4" and store.latest() == "4"


def test_a_damaged_version_is_pushed_again(store, stage):
    publish(store, stage, "a")
    (store.folder / "1" / "model.tflite").write_text("b", encoding="utf-8")
    assert publish(store, stage, "a") == "2"
    assert open_artifact(store.folder).info["version"] == "2"


def test_pushes_without_a_blessing_keep_the_served_version(push, evaluated, tmp_path):
    push()
    not_blessed = standard_artifacts.ModelBlessing()
    not_blessed.set_int_custom_property("blessed", 0)
    folder = tmp_path / "serving" / "rings"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for _ in range(7):
        assert push(model_blessing=not_blessed).get_custom_property("pushed") == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert open_artifact(folder).info["version"] == "1"
