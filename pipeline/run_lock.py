"""One run at a time on one output folder: its metadata store and its checkpoints are one run's own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

LOCK = ".run.lock"


class RunLocked(Exception):
    """Another run is on; the message is one line."""


@contextlib.contextmanager
def run_lock(output: Path) -> Iterator[None]:
    """Hold a folder for a run. The system lets go of it when the process ends, however it ends.

    Args:
        output: folder of the artifacts and the metadata store of a pipeline; made where it is missing.

    Raises:
        RunLocked: another run holds it; the message says which.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open(output / LOCK, "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunLocked(
                f"{output}: in use by another run ({_holder(output / LOCK)}); wait for its end, or give this one "
                "another --output or --name"
            ) from None
        lock.truncate(0)
        json.dump(
            {
                "pid": os.getpid(),
                "host": platform.node(),
                "since": datetime.now().isoformat(" ", "seconds"),
            },
            lock,
        )
        lock.flush()
        yield


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return f"process {told['pid']} on {told['host']}, since {told['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # It has just begun.
        return "just started"
