"""Versions in an object store: the same layout as in a folder, but without locks and renames, which stores lack.

A push writes the files of a version under their final prefix, then its completion marker, and `latest` last; readers
follow only `latest`, so they never see the files of a killed push. `latest` is written conditionally: of two
simultaneous pushes, the version with the higher number is served, and the other push fails with an error. A push claims
its number in `.claims/`, so that no number is assigned twice, neither by simultaneous pushes nor after a version was
deleted. `.history/` has an object for each rollback.
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
from tfx.utils import io_utils

from components import s3  # noqa: F401 - registers s3://
from components.conditional import MAX_TRIES, ConflictError, shared_object
from components.pusher.store import COMPLETE, LATEST, ROLLBACKS, StoreError, next_entry, parse_entry

CLAIMS = ".claims"


class ObjectVersionStore:
    """The versions of one pipeline under a URI of a file system that TFX supports. See `VersionStore` for the methods.

    Args:
        root: URI of the serving folder, such as `gs://bucket/models` or `s3://bucket/models`.
        pipeline: name of the pipeline.
        create: whether to check that the folder is writable.

    Raises:
        StoreError: the folder cannot be written to.
    """

    def __init__(self, root: str, pipeline: str, *, create: bool = True):
        self.folder = f"{root.rstrip('/')}/{pipeline}"
        self._latest = shared_object(f"{self.folder}/{LATEST}")
        if not create:
            return
        try:
            fileio.makedirs(f"{self.folder}/{CLAIMS}")
        except Exception as error:  # Each file system has its own errors.
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise StoreError(f"{self.folder}: cannot be written to ({reason}); choose another folder") from None

    def versions(self) -> list[str]:
        """See `VersionStore.versions`."""
        numbers = sorted(int(name) for name in self._names() if name.isdecimal())
        return [str(number) for number in numbers if fileio.exists(f"{self.folder}/{number}/{COMPLETE}")]

    def latest(self) -> str | None:
        """See `VersionStore.latest`."""
        text = self._latest.read()
        return None if text is None else text.strip()

    def read(self, version: str, name: str) -> str:
        """See `VersionStore.read`."""
        return io_utils.read_string_file(f"{self.folder}/{version}/{name}")

    @contextlib.contextmanager
    def here(self, version: str) -> Iterator[Path]:
        """Yields a local folder with a copy of a version, which is removed afterwards."""
        with tempfile.TemporaryDirectory(prefix="version-") as folder:
            for name in self._names(version):
                fileio.copy(f"{self.folder}/{version}/{name}", f"{folder}/{name}")
            yield Path(folder)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Does nothing, because stores have no locks: a rollback during a push or another rollback fails instead."""
        yield

    @contextlib.contextmanager
    def push(self) -> Iterator[Path]:
        """Yields an empty local staging folder, which is removed afterwards."""
        with tempfile.TemporaryDirectory(prefix="version-") as staging:
            yield Path(staging)

    def publish(self, staging: Path, info: dict[str, Any]) -> str:
        """Uploads a staged version under a new number, and serves it. See `VersionStore.publish`.

        Raises:
            StoreError: a later version was pushed at the same time, and is served.
        """
        number = self._claim()
        folder = f"{self.folder}/{number}"
        fileio.makedirs(folder)
        for path in sorted(staging.iterdir()):
            if path.name != COMPLETE:
                fileio.copy(str(path), f"{folder}/{path.name}")
        content = json.dumps({**info, "version": str(number)}, indent=1, ensure_ascii=False)
        io_utils.write_string_file(f"{folder}/{COMPLETE}", content + "\n")
        for _ in range(MAX_TRIES):
            served = self.latest() or ""
            if served.isdecimal() and int(served) > number:
                root, _, pipeline = self.folder.rpartition("/")
                raise StoreError(
                    f"{self.folder}: version {served} was pushed at the same time and is served; version {number} is "
                    f"stored: to serve it, run `python -m components.pusher rollback --serving-dir {root} "
                    f"--name {pipeline} --to {number}`"
                )
            with contextlib.suppress(ConflictError):
                self._latest.replace(f"{number}\n")
                return str(number)
        raise StoreError(
            f"{self.folder}: latest was written by others {MAX_TRIES} times in a row, or the store's conditional "
            f"writes do not work; version {number} is stored"
        )

    def point_latest_at(self, version: str) -> None:
        """Serves a version.

        Raises:
            StoreError: another writer changed `latest` since it was last read.
        """
        try:
            self._latest.replace(f"{version}\n")
        except ConflictError:
            raise StoreError(
                f"{self.folder}: latest was moved at the same time, to version {self.latest()}, and stays there; list "
                "the versions and try again"
            ) from None

    def history(self) -> list[dict[str, Any]]:
        """See `VersionStore.history`."""
        names = sorted(self._names(ROLLBACKS)) if fileio.exists(f"{self.folder}/{ROLLBACKS}") else []
        paths = [f"{self.folder}/{ROLLBACKS}/{name}" for name in names]
        return [parse_entry(path, io_utils.read_bytes_file(path)) for path in paths]

    def record(self, entry: dict[str, Any]) -> None:
        """Adds an entry to the history."""
        fileio.makedirs(f"{self.folder}/{ROLLBACKS}")
        number = next_entry(self._names(ROLLBACKS))
        name = f"{number:06}-{uuid.uuid4().hex}.json"  # Unique: simultaneous writers overwrite nothing.
        io_utils.write_string_file(f"{self.folder}/{ROLLBACKS}/{name}", json.dumps(entry, ensure_ascii=False) + "\n")

    def _claim(self) -> int:
        """Claims a number for this push and returns it.

        A push that sees another claim of its number tries the next number. Listings of object stores are consistent, so
        the later of two claims sees the earlier one, and no number has two owners.
        """
        used = [int(name.partition("-")[0]) for name in self._names(CLAIMS)]
        used += [int(name) for name in self._names() if name.isdecimal()]
        for number in itertools.count(1 + max(used, default=0)):
            claim = f"{number}-{uuid.uuid4().hex}"
            io_utils.write_string_file(f"{self.folder}/{CLAIMS}/{claim}", "")
            if [name for name in self._names(CLAIMS) if name.startswith(f"{number}-")] == [claim]:
                return number
        raise AssertionError("unreachable")

    def _names(self, folder: str = "") -> list[str]:
        return [os.fsdecode(name).rstrip("/") for name in fileio.listdir(os.path.join(self.folder, folder))]
