"""One run at a time on one output folder: its metadata store and its checkpoints are one run's own."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TextIO

LOCK = ".run.lock"
HELD = (errno.EAGAIN, errno.EACCES)  # EWOULDBLOCK is EAGAIN


class RunLocked(Exception):
    """The folder cannot be had: another run is on, or there are no locks; the message is one line."""


@contextlib.contextmanager
def run_lock(output: Path) -> Iterator[None]:
    """Hold a folder for a run. The system lets go of it when the process ends, however it ends.

    Args:
        output: folder of the artifacts and the metadata store of a pipeline; made where it is missing.

    Raises:
        RunLocked: another run holds it, which the message names; or its file system has no locks.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open(output / LOCK, "a+", encoding="utf-8") as lock:
        _lock(lock, output)
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


def _lock(lock: TextIO, output: Path) -> None:
    """Lock a file: as BSD does, or as POSIX does on file systems that have nothing else, as some network ones."""
    reason = ""
    for lock_file in (fcntl.flock, fcntl.lockf):
        try:
            lock_file(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno in HELD:
                raise RunLocked(
                    f"{output}: in use by another run ({_holder(output / LOCK)}); wait for its end, or give this one "
                    "another --output or --name"
                ) from None
            reason = error.strerror or str(error)
    raise RunLocked(
        f"{output}: this file system has no locks ({reason}), and two runs at once would spoil each other's results; "
        "choose an --output on another one, such as a local disk"
    )


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return f"process {told['pid']} on {told['host']}, since {told['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # It has just begun.
        return "just started"
