"""Versions in the serving folder: written whole or not at all, numbered, never reused.

`<root>/<pipeline>/<version>/` holds a version; the file `latest` beside the versions names the newest. A version is
written into a staging folder and becomes visible by one rename; `latest` follows by another. What a killed push leaves
begins with `.staging-` and is cleared by the next one. `.lock` is held during a push and holds the last number given.
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

    Raises:
        StoreError: the folder cannot be written to.
    """

    def __init__(self, root: str, pipeline: str):
        check_writable(f"{root}/{pipeline}")
        self.folder = Path(root) / pipeline

    def newest(self) -> Path | None:
        """The newest version; None where there is none."""
        complete = [number for number in self._numbers() if is_complete(self.folder / str(number))]
        return self.folder / str(max(complete)) if complete else None

    @contextmanager
    def push(self) -> Iterator[Path]:
        """Hold the store for a push; yields an empty staging folder that is gone afterwards.

        What an interrupted push left is finished or removed. Pushes wait for each other.
        """
        with open(self.folder / LOCK, "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._recover()
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
            (self.folder / LOCK).write_text(version.name, encoding="utf-8")
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

    def _numbers(self) -> list[int]:
        """Numbers that are in use, complete or not."""
        return [int(child.name) for child in self.folder.iterdir() if _VERSION.fullmatch(child.name)]

    def _last_number(self) -> int:
        """The last number given, also where its version is deleted; 0 where there is none."""
        last = (self.folder / LOCK).read_text(encoding="utf-8")
        return int(last) if _VERSION.fullmatch(last) else 0

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
