"""Versions in an object store: the same names as in a folder, without locks and renames, which it lacks.

A version's files are written under their final prefix, its completion marker after them, and `latest` last: readers
trust that pointer alone. It is written conditionally: of two pushes at once, the one with the higher number is served,
and the other one fails and says so. What a killed push leaves is never pointed at. Numbers are claimed in `.claims/`,
so that none is given twice, be it by pushes at once or after a version was deleted. `.history/` has an object for every
rollback.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfx.dsl.io import fileio

from components import s3  # noqa: F401 - registers s3://
from components.conditional import MAX_TRIES, ConflictError, shared_object
from components.pusher.store import COMPLETE, HISTORY, LATEST, StoreError

CLAIMS = ".claims"


class ObjectVersionStore:
    """The versions of one pipeline under a URI that TFX's file systems know.

    Args:
        root: URI of the serving folder, such as `gs://bucket/models` or `s3://bucket/models`.
        pipeline: name of the pipeline.
        create: whether to make sure that it can be written to.

    Raises:
        StoreError: it cannot be written to.
    """

    def __init__(self, root: str, pipeline: str, *, create: bool = True):
        self.folder = f"{root.rstrip('/')}/{pipeline}"
        self._latest = shared_object(f"{self.folder}/{LATEST}")
        if not create:
            return
        try:
            fileio.makedirs(f"{self.folder}/{CLAIMS}")
        except Exception as error:  # Every file system has errors of its own.
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise StoreError(f"{self.folder}: cannot be written to ({reason}); choose another folder") from None

    def versions(self) -> list[str]:
        """Names of the whole versions, oldest first."""
        numbers = sorted(int(name) for name in self._names() if name.isdecimal())
        return [str(number) for number in numbers if fileio.exists(f"{self.folder}/{number}/{COMPLETE}")]

    def latest(self) -> str | None:
        """The version that is served; None where none is."""
        text = self._latest.read()
        return None if text is None else text.strip()

    def newest(self) -> str | None:
        """The version with the highest number; None where there is none."""
        versions = self.versions()
        return f"{self.folder}/{versions[-1]}" if versions else None

    def read(self, version: str, name: str) -> str:
        """A file of a version."""
        return _read(f"{self.folder}/{version}/{name}")

    @contextlib.contextmanager
    def here(self, version: str) -> Iterator[Path]:
        """The files of a version in a folder of this machine, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="version-") as folder:
            for name in self._names(version):
                fileio.copy(f"{self.folder}/{version}/{name}", f"{folder}/{name}")
            yield Path(folder)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """There are no locks: a rollback beside a push or another rollback changes nothing, and says so."""
        yield

    @contextlib.contextmanager
    def push(self) -> Iterator[Path]:
        """Yields an empty staging folder on this machine, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="version-") as staging:
            yield Path(staging)

    def publish(self, staging: Path, info: dict[str, Any]) -> str:
        """Upload a staged version, and make it the newest, under a number that nobody had.

        Args:
            staging: its folder, with all files but one.
            info: what that one, `model_info.json`, says; the version is added here.

        Returns:
            The version's URI.

        Raises:
            StoreError: a later version was pushed at the same time, and is served.
        """
        number = self._claim()
        version = f"{self.folder}/{number}"
        fileio.makedirs(version)
        for path in sorted(staging.iterdir()):
            if path.name != COMPLETE:
                fileio.copy(str(path), f"{version}/{path.name}")
        content = json.dumps({**info, "version": str(number)}, indent=1, ensure_ascii=False)
        _write(f"{version}/{COMPLETE}", content + "\n")
        for _ in range(MAX_TRIES):
            served = self.latest() or ""
            if served.isdecimal() and int(served) > number:
                raise StoreError(
                    f"{self.folder}: version {served} was pushed at the same time, and stays served; version {number} "
                    "is stored beside it, and `python -m components.pusher rollback --to` serves it"
                )
            with contextlib.suppress(ConflictError):
                self._latest.replace(f"{number}\n")
                return version
        raise StoreError(
            f"{self.folder}: latest was written by others {MAX_TRIES} times in a row, or the conditional writes "
            f"of the store do not work; version {number} is stored"
        )

    def point_latest_at(self, version: str | Path) -> None:
        """Let `latest` name a version, if it is as it was when it was read last.

        Raises:
            StoreError: somebody else moved it since.
        """
        try:
            self._latest.replace(os.path.basename(version) + "\n")
        except ConflictError:
            raise StoreError(
                f"{self.folder}: latest was moved at the same time, to version {self.latest()}, and stays as it is; "
                "look again"
            ) from None

    def history(self) -> list[dict[str, Any]]:
        """The entries of all rollbacks, oldest first."""
        names = sorted(self._names(HISTORY)) if fileio.exists(f"{self.folder}/{HISTORY}") else []
        return [json.loads(_read(f"{self.folder}/{HISTORY}/{name}")) for name in names]

    def record(self, entry: dict[str, Any]) -> None:
        """Add an entry to the history."""
        fileio.makedirs(f"{self.folder}/{HISTORY}")
        number = 1 + len(self._names(HISTORY))
        name = f"{number:06}-{uuid.uuid4().hex}.json"  # Of two at once neither overwrites the other.
        _write(f"{self.folder}/{HISTORY}/{name}", json.dumps(entry, ensure_ascii=False) + "\n")

    def _claim(self) -> int:
        """A number of this push's own.

        Whoever sees another claim of a number leaves it alone. Listings of object stores are consistent, so that of two
        claims the later one sees the earlier, and no number has two owners.
        """
        claims = f"{self.folder}/{CLAIMS}"
        taken = [int(name.partition("-")[0]) for name in self._names(CLAIMS)]
        taken += [int(name) for name in self._names() if name.isdecimal()]
        for number in itertools.count(1 + max(taken, default=0)):
            mine = f"{number}-{uuid.uuid4().hex}"
            _write(f"{claims}/{mine}", "")
            if [name for name in self._names(CLAIMS) if name.startswith(f"{number}-")] == [mine]:
                return number
        raise AssertionError("numbers do not end")

    def _names(self, folder: str = "") -> list[str]:
        return [os.fsdecode(name).rstrip("/") for name in fileio.listdir(os.path.join(self.folder, folder))]


def _read(uri: str) -> str:
    with fileio.open(uri) as stream:
        return str(stream.read())


def _write(uri: str, text: str) -> None:
    with fileio.open(uri, "w") as stream:
        stream.write(text)
