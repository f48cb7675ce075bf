"""Versions in the serving folder: written whole or not at all, numbered, never reused.

`<root>/<pipeline>/<version>/` holds a version; the file `latest` beside the versions names the newest. A version is
written into a staging folder and becomes visible by one rename; `latest` follows by another. What a killed push leaves
begins with `.staging-` and is cleared by the next one. `.lock` is held during a push and holds the last number given.
`.history/` has a file for every rollback.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMPLETE = "model_info.json"  # written last into a version
LATEST = "latest"
STAGING = ".staging-"
# The next `latest`, written before its version is renamed: a push that was killed in between is finished by it.
NEXT_LATEST = f"{STAGING}{LATEST}"
LOCK = ".lock"
HISTORY = ".history"
# What a disk says that takes no more.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_REMOTE = re.compile(r"(^|/)\w{2,}:/")
_VERSION = re.compile(r"[1-9][0-9]*")


class StoreError(Exception):
    """The serving folder cannot be used; the message is one line."""


def check_writable(folder: str | Path) -> None:
    """Make sure that a folder is there and can be written to.

    Raises:
        StoreError: it cannot.
    """
    if _REMOTE.search(str(folder)):
        shown = re.sub(r"(\w{2,}:)/(?!/)", r"\1//", str(folder))  # As it was before it was taken for a path.
        raise StoreError(f"{shown}: not a folder of this machine; mount the remote one and name where it is mounted")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written to ({error.strerror}); choose another folder") from None


def is_complete(version: Path) -> bool:
    """Whether a folder holds a whole version."""
    return (version / COMPLETE).is_file()


class VersionStore:
    """The versions of one pipeline.

    Args:
        root: the serving folder.
        pipeline: name of the pipeline.
        create: whether to make the folder, and to make sure that it can be written to.

    Raises:
        StoreError: the folder cannot be written to.
    """

    def __init__(self, root: str, pipeline: str, *, create: bool = True):
        self.folder = Path(root) / pipeline
        if create:
            check_writable(self.folder)

    def versions(self) -> list[str]:
        """Names of the whole versions, oldest first."""
        return [str(number) for number in sorted(self._numbers()) if is_complete(self.folder / str(number))]

    def latest(self) -> str | None:
        """The version that is served; None where none is."""
        pointer = self.folder / LATEST
        return pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else None

    def newest(self) -> Path | None:
        """The version with the highest number; None where there is none."""
        versions = self.versions()
        return self.folder / versions[-1] if versions else None

    def read(self, version: str, name: str) -> str:
        """A file of a version."""
        return (self.folder / version / name).read_text(encoding="utf-8")

    @contextmanager
    def here(self, version: str) -> Iterator[Path]:
        """The files of a version as a folder of this machine."""
        yield self.folder / version

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the store: pushes and rollbacks wait for each other.

        What an interrupted one left is finished or removed.

        Raises:
            StoreError: the disk is full.
        """
        try:
            with open(self.folder / LOCK, "a", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._recover()
                yield
        except OSError as error:
            if error.errno not in FULL:
                raise
            served = f"version {self.latest()} stays served" if self.latest() else "nothing is served yet"
            raise StoreError(
                f"{error.filename or self.folder}: {os.strerror(error.errno)}; make room and run again ({served})"
            ) from error

    @contextmanager
    def push(self) -> Iterator[Path]:
        """Hold the store for a push; yields an empty staging folder that is gone afterwards.

        Raises:
            StoreError: the disk is full.
        """
        with self.hold():
            staging = self.folder / f"{STAGING}{uuid.uuid4().hex}"
            staging.mkdir()
            try:
                yield staging
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def publish(self, staging: Path, info: dict[str, Any]) -> Path:
        """Make a staged version visible, and the newest, under the next free number.

        Args:
            staging: its folder, with all files but one.
            info: what that one, `model_info.json`, says; the version is added here.

        Returns:
            The version's folder.
        """
        for number in itertools.count(1 + max([self._last_number(), *self._numbers()])):
            version = self.folder / str(number)
            content = json.dumps({**info, "version": version.name}, indent=1, ensure_ascii=False)
            (staging / COMPLETE).write_text(content + "\n", encoding="utf-8")
            for path in [*staging.iterdir(), staging]:
                _sync(path)
            self._remember_number(version.name)
            self._prepare_latest(version)
            try:
                os.rename(staging, version)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            else:
                _sync(self.folder)
                self._move_latest()
                return version
        raise AssertionError("numbers do not end")

    def point_latest_at(self, version: str | Path) -> None:
        """Let `latest` name a version."""
        self._prepare_latest(Path(version))
        self._move_latest()

    def history(self) -> list[dict[str, Any]]:
        """The entries of all rollbacks, oldest first."""
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((self.folder / HISTORY).glob("*.json"))]

    def record(self, entry: dict[str, Any]) -> None:
        """Add an entry to the history; the store is held."""
        folder = self.folder / HISTORY
        folder.mkdir(exist_ok=True)
        written = self.folder / f"{STAGING}{uuid.uuid4().hex}"
        written.write_text(json.dumps(entry, ensure_ascii=False) + "\n", encoding="utf-8")
        _sync(written)
        os.rename(written, folder / f"{1 + len(list(folder.iterdir())):06}.json")
        _sync(folder)

    def _numbers(self) -> list[int]:
        """Numbers that are in use, complete or not."""
        return [int(child.name) for child in self.folder.iterdir() if _VERSION.fullmatch(child.name)]

    def _last_number(self) -> int:
        """The last number given, also where its version is deleted; 0 where there is none."""
        last = (self.folder / LOCK).read_text(encoding="utf-8")
        return int(last) if _VERSION.fullmatch(last) else 0

    def _remember_number(self, number: str) -> None:
        """Written over the last one, which is never longer: a full disk, or a kill, leaves one of the two."""
        with open(self.folder / LOCK, "r+", encoding="utf-8") as lock:
            lock.write(number)

    def _recover(self) -> None:
        prepared = self.folder / NEXT_LATEST
        # The line's end says that the name before it is whole.
        name, end, _ = prepared.read_text(encoding="utf-8").partition("\n") if prepared.is_file() else ("", "", "")
        if end and is_complete(self.folder / name):
            self._move_latest()
        for stale in self.folder.glob(f"{STAGING}*"):
            if stale.is_dir():
                shutil.rmtree(stale, ignore_errors=True)
            else:
                stale.unlink()

    def _prepare_latest(self, version: Path) -> None:
        prepared = self.folder / NEXT_LATEST
        prepared.write_text(version.name + "\n", encoding="utf-8")
        _sync(prepared)

    def _move_latest(self) -> None:
        os.replace(self.folder / NEXT_LATEST, self.folder / LATEST)
        _sync(self.folder)


def _sync(path: Path) -> None:
    """Let the disk have what was written."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
