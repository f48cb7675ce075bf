"""Versions in a local serving folder: written atomically, numbered, and never reused.

`<root>/<pipeline>/<version>/` holds a version; the file `latest` beside the versions names the served one. A push
writes into a staging folder, renames it to the version, and then updates `latest` by another rename. Files of a killed
push start with `.staging-`; the next push removes them. `.lock` is locked during a push and contains the last number
that was assigned. `.history/` has a file for each rollback.
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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMPLETE = "model_info.json"  # the completion marker: the last file of a version that is written
LATEST = "latest"
STAGING = ".staging-"
# The next `latest`, written before the version is renamed, so that the next push can finish a push killed in between.
NEXT_LATEST = f"{STAGING}{LATEST}"
LOCK = ".lock"
ROLLBACKS = ".history"
# Errors of a full disk, an exhausted quota and a file over the size limit.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_REMOTE = re.compile(r"(^|/)\w{2,}:/")
_VERSION = re.compile(r"[1-9][0-9]*")


class StoreError(Exception):
    """An error of the serving folder; the message is one line."""


def check_writable(folder: str | Path) -> None:
    """Creates a folder if it is missing, and checks that it is writable.

    Raises:
        StoreError: the folder cannot be created or written to.
    """
    if _REMOTE.search(str(folder)):
        uri = re.sub(r"(\w{2,}:)/(?!/)", r"\1//", str(folder))  # `Path` removes the second slash.
        raise StoreError(f"{uri}: not a local folder; mount the remote folder and give the path of the mount")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written to ({error.strerror}); choose another folder") from None


def parse_entry(path: str, content: bytes) -> dict[str, Any]:
    """Returns an entry of the history of rollbacks.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        entry = json.loads(content)
    except ValueError:
        entry = None
    is_entry = isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in ("time", "who", "to"))
    if not is_entry or not entry["to"].isdecimal() or not isinstance(entry.get("from", 0), str | None):
        raise StoreError(f"{path}: damaged; restore it, or delete it, which forgets the rollback")
    return dict(entry)


def next_entry(names: Iterable[str]) -> int:
    """Returns the number of the next entry of the history, which is higher than those in the names of its files."""
    return 1 + max((int(match[0]) for name in names if (match := re.match("[0-9]+", name))), default=0)


class VersionStore:
    """The versions of one pipeline in a local folder.

    Args:
        root: the serving folder.
        pipeline: name of the pipeline.
        create: whether to create the folder and check that it is writable.

    Raises:
        StoreError: the folder cannot be written to.
    """

    def __init__(self, root: str, pipeline: str, *, create: bool = True):
        self.folder = Path(root) / pipeline
        if create:
            check_writable(self.folder)

    def versions(self) -> list[str]:
        """Returns the names of the complete versions, oldest first."""
        return [str(number) for number in sorted(self._numbers()) if self._is_complete(str(number))]

    def latest(self) -> str | None:
        """Returns the name of the served version; None if there is none."""
        pointer = self.folder / LATEST
        return pointer.read_text(encoding="utf-8", errors="replace").strip() if pointer.is_file() else None

    def read(self, version: str, name: str) -> str:
        """Returns the text of a file of a version."""
        return (self.folder / version / name).read_text(encoding="utf-8")

    @contextmanager
    def here(self, version: str) -> Iterator[Path]:
        """Yields a local folder with the files of a version."""
        yield self.folder / version

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the store, so that pushes and rollbacks wait for each other. Finishes or removes an interrupted push.

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
        """Locks the store for a push. Yields an empty staging folder, which is removed afterwards.

        Raises:
            StoreError: the disk is full.
        """
        with self.lock():
            staging = self.folder / f"{STAGING}{uuid.uuid4().hex}"
            staging.mkdir()
            try:
                yield staging
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def publish(self, staging: Path, info: dict[str, Any]) -> str:
        """Publishes a staged version under the next free number, and serves it.

        Args:
            staging: the staging folder, with all files except `model_info.json`.
            info: content of `model_info.json`, to which the version is added.

        Returns:
            The name of the version.
        """
        for number in itertools.count(1 + max([self._last_number(), *self._numbers()])):
            version = str(number)
            content = json.dumps({**info, "version": version}, indent=1, ensure_ascii=False)
            (staging / COMPLETE).write_text(content + "\n", encoding="utf-8")
            for path in [*staging.iterdir(), staging]:
                _sync(path)
            self._write_last_number(version)
            self._prepare_latest(version)
            try:
                os.rename(staging, self.folder / version)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            else:
                _sync(self.folder)
                self._move_latest()
                return version
        raise AssertionError("unreachable")

    def point_latest_at(self, version: str) -> None:
        """Serves a version."""
        self._prepare_latest(version)
        self._move_latest()

    def history(self) -> list[dict[str, Any]]:
        """Returns the entries of all rollbacks, oldest first.

        Raises:
            StoreError: an entry is damaged.
        """
        return [parse_entry(str(path), path.read_bytes()) for path in sorted((self.folder / ROLLBACKS).glob("*.json"))]

    def record(self, entry: dict[str, Any]) -> None:
        """Adds an entry to the history. The store must be locked."""
        folder = self.folder / ROLLBACKS
        folder.mkdir(exist_ok=True)
        staged = self.folder / f"{STAGING}{uuid.uuid4().hex}"
        staged.write_text(json.dumps(entry, ensure_ascii=False) + "\n", encoding="utf-8")
        _sync(staged)
        os.rename(staged, folder / f"{next_entry(path.name for path in folder.iterdir()):06}.json")
        _sync(folder)

    def _numbers(self) -> list[int]:
        """Returns the numbers of all versions, complete or not."""
        return [int(child.name) for child in self.folder.iterdir() if _VERSION.fullmatch(child.name)]

    def _is_complete(self, version: str) -> bool:
        return (self.folder / version / COMPLETE).is_file()

    def _last_number(self) -> int:
        """Returns the last number that was assigned, even if its version was deleted since; 0 if there is none."""
        last = (self.folder / LOCK).read_text(encoding="utf-8")
        return int(last) if _VERSION.fullmatch(last) else 0

    def _write_last_number(self, number: str) -> None:
        """Overwrites the last number, which is never longer, so that a full disk or a kill leaves one of the two."""
        with open(self.folder / LOCK, "r+", encoding="utf-8") as lock:
            lock.write(number)

    def _recover(self) -> None:
        prepared = self.folder / NEXT_LATEST
        # A line end after the name shows that the name was written completely.
        name, end, _ = prepared.read_text(encoding="utf-8").partition("\n") if prepared.is_file() else ("", "", "")
        if end and self._is_complete(name):
            self._move_latest()
        for stale in self.folder.glob(f"{STAGING}*"):
            if stale.is_dir():
                shutil.rmtree(stale, ignore_errors=True)
            else:
                stale.unlink()

    def _prepare_latest(self, version: str) -> None:
        prepared = self.folder / NEXT_LATEST
        prepared.write_text(version + "\n", encoding="utf-8")
        _sync(prepared)

    def _move_latest(self) -> None:
        os.replace(self.folder / NEXT_LATEST, self.folder / LATEST)
        _sync(self.folder)


def _sync(path: Path) -> None:
    """Flushes a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
