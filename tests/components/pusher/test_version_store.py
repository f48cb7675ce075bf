"""Versions are complete, numbered and never reused, even if a push is interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from components.pusher import store as store_module
from components.pusher.store import StoreError, VersionStore, check_writable

ROOT = Path(store_module.__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(str(tmp_path), "rings")


def _push(store: VersionStore, content: str = "model") -> str:
    with store.push() as staging:
        (staging / "model.tflite").write_text(content, encoding="utf-8")
        return store.publish(staging, {"format": 1, "version": "", "pipeline": "rings"})


def _names(store: VersionStore) -> set[str]:
    return {child.name for child in store.folder.iterdir()} - {".lock"}


def _latest(store: VersionStore) -> str:
    return (store.folder / "latest").read_text(encoding="utf-8")


def test_version_numbers_increase(store: VersionStore) -> None:
    assert store.versions() == []
    assert [_push(store) for _ in range(11)] == [str(number) for number in range(1, 12)]
    assert store.versions()[-1] == "11"
    assert _latest(store) == "11\n"
    assert '"version": "11"' in (store.folder / "11" / "model_info.json").read_text(encoding="utf-8")
    assert (store.folder / "11").stat().st_mode == store.folder.stat().st_mode


def test_the_number_of_a_deleted_version_is_not_reused(store: VersionStore) -> None:
    for _ in range(2):
        _push(store)
    for file in (store.folder / "2").iterdir():
        file.unlink()
    (store.folder / "2").rmdir()
    (store.folder / "latest").unlink()
    assert _push(store) == "3"


@pytest.mark.parametrize("name", ["4", "latest-4", "04", "²"])
def test_foreign_files_stay_unchanged(store: VersionStore, name: str) -> None:
    (store.folder / name).mkdir()
    assert store.versions() == []
    assert _push(store) == ("5" if name == "4" else "1")
    assert (store.folder / name).is_dir()


def test_a_number_that_another_process_uses_in_the_meantime_is_skipped(
    store: VersionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = store._prepare_latest

    def occupy(version: str) -> None:
        if version == "1":
            (store.folder / version).mkdir()
            (store.folder / version / "other").touch()
        original(version)

    monkeypatch.setattr(store, "_prepare_latest", occupy)
    assert _push(store) == "2"
    assert [child.name for child in (store.folder / "1").iterdir()] == ["other"]
    assert _latest(store) == "2\n"


def test_a_failed_push_leaves_no_files(store: VersionStore) -> None:
    _push(store)
    with pytest.raises(OSError, match="disk full"), store.push() as staging:
        (staging / "model.tflite").write_text("half", encoding="utf-8")
        raise OSError("disk full")
    assert _names(store) == {"1", "latest"}


def test_a_failed_push_keeps_the_choice_of_an_older_version(store: VersionStore) -> None:
    for _ in range(2):
        _push(store)
    store.point_latest_at("1")
    with pytest.raises(OSError, match="check"), store.push():
        raise OSError("check")
    assert _latest(store) == "1\n"


# A push is killed when it calls `step`. If its version is complete (`published`), the next push, which publishes
# nothing itself, moves `latest` to it.
@pytest.mark.parametrize(
    ("step", "published"),
    [("json.dumps", False), ("os.fsync", False), ("os.rename", False), ("os.replace", True)],
)
def test_the_next_push_recovers_from_a_kill(store: VersionStore, step: str, published: bool) -> None:
    _push(store)
    script = f"""
import json, os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from components.pusher.store import VersionStore
store = VersionStore({str(store.folder.parent)!r}, "rings")
with store.push() as staging:
    (staging / "model.tflite").write_text("half")
    {step} = lambda *unused, **unused_too: os.kill(os.getpid(), signal.SIGKILL)
    store.publish(staging, {{}})
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert any(name.startswith(".staging-") for name in _names(store))
    assert _latest(store) == "1\n"

    with store.push():
        pass
    assert _names(store) == ({"1", "2", "latest"} if published else {"1", "latest"})
    assert _latest(store) == ("2\n" if published else "1\n")
    assert int(_push(store)) > (2 if published else 1)


def test_a_latest_that_is_not_text_names_no_version(store: VersionStore) -> None:
    _push(store)
    (store.folder / "latest").write_bytes(b"\xff")
    assert store.latest() not in [None, *store.versions()] and _push(store) == "2"


def test_a_half_written_latest_is_ignored(store: VersionStore) -> None:
    for _ in range(2):
        _push(store)
    (store.folder / ".staging-latest").write_text("1", encoding="utf-8")  # The first digit of "10".
    with store.push():
        pass
    assert _latest(store) == "2\n"


def test_concurrent_pushes_wait_for_each_other(store: VersionStore) -> None:
    permit = threading.Semaphore(1)
    overlaps = []

    def push() -> None:
        own_store = VersionStore(str(store.folder.parent), "rings")
        with own_store.push() as staging:
            overlaps.append(not permit.acquire(blocking=False))
            own_store.publish(staging, {})
            permit.release()

    threads = [threading.Thread(target=push) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [False] * 8
    assert _names(store) == {*map(str, range(1, 9)), "latest"}
    assert _latest(store) == "8\n"


@pytest.mark.parametrize("folder", ["gs://bucket/serving", "s3://bucket", "/data/gs:/bucket"])
def test_a_remote_folder_is_an_error(folder: str) -> None:
    with pytest.raises(StoreError, match="mount the remote folder"):
        check_writable(folder)


def test_check_writable_creates_the_folder(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"^\S+/file/serving: cannot be written to \(Not a directory\)"):
        check_writable(tmp_path / "file" / "serving")


def test_a_folder_without_write_permission_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**unused: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store_module.tempfile, "TemporaryFile", refuse)
    with pytest.raises(StoreError, match=r"cannot be written to \(Permission denied\); choose another folder$"):
        check_writable(tmp_path)
