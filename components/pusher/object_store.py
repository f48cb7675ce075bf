"""Versions in an object store: the same names as in a folder, without locks and renames, which it lacks.

A version's files are written under their final prefix, its completion marker after them, and `latest` last: readers
trust that pointer alone. What a killed push leaves is never pointed at. Numbers are claimed in `.claims/`, so that none
is given twice, be it by pushes at once or after a version was deleted.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfx.dsl.io import fileio

from components import s3  # noqa: F401 - registers s3://
from components.pusher.store import COMPLETE, LATEST, StoreError

CLAIMS = ".claims"


class ObjectVersionStore:
    """The versions of one pipeline under a URI that TFX's file systems know.

    Args:
        root: URI of the serving folder, such as `gs://bucket/models` or `s3://bucket/models`.
        pipeline: name of the pipeline.

    Raises:
        StoreError: it cannot be written to.
    """

    def __init__(self, root: str, pipeline: str):
        self.folder = f"{root.rstrip('/')}/{pipeline}"
        try:
            fileio.makedirs(f"{self.folder}/{CLAIMS}")
        except Exception as error:  # Every file system has errors of its own.
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise StoreError(f"{self.folder}: cannot be written to ({reason}); choose another folder") from None

    def newest(self) -> str | None:
        """The version that `latest` names; None where there is none."""
        pointer = f"{self.folder}/{LATEST}"
        if not fileio.exists(pointer):
            return None
        with fileio.open(pointer) as stream:
            return f"{self.folder}/{stream.read().strip()}"

    @contextmanager
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
        """
        number = self._claim()
        version = f"{self.folder}/{number}"
        fileio.makedirs(version)
        for path in sorted(staging.iterdir()):
            if path.name != COMPLETE:
                fileio.copy(str(path), f"{version}/{path.name}")
        content = json.dumps({**info, "version": str(number)}, indent=1, ensure_ascii=False)
        _write(f"{version}/{COMPLETE}", content + "\n")
        self.point_latest_at(version)
        return version

    def point_latest_at(self, version: str | Path) -> None:
        """Let `latest` name a version: one object, which is replaced whole."""
        _write(f"{self.folder}/{LATEST}", os.path.basename(version) + "\n")

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


def _write(uri: str, text: str) -> None:
    with fileio.open(uri, "w") as stream:
        stream.write(text)
