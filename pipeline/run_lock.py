"""A lock on an output folder, whose metadata store and checkpoints only one run may use at a time."""

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
    """The folder cannot be locked: another run uses it, or locks are not supported. The message is one line."""


@contextlib.contextmanager
def run_lock(output: Path) -> Iterator[None]:
    """Locks a folder for a run. The operating system releases the lock when the process ends.

    Args:
        output: folder of the artifacts and the metadata store of a pipeline; it is created if it does not exist.

    Raises:
        RunLocked: another run uses the folder, or its file system does not support locks.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open(output / LOCK, "a+", encoding="utf-8") as lock:
        _lock(lock, output)
        lock.truncate(0)
        holder = {"pid": os.getpid(), "host": platform.node(), "since": datetime.now().isoformat(" ", "seconds")}
        json.dump(holder, lock)
        lock.flush()
        yield


def _lock(lock: TextIO, output: Path) -> None:
    """Locks a file with `flock`, or with POSIX locks on file systems without it, such as some network ones."""
    reason = ""
    for lock_file in (fcntl.flock, fcntl.lockf):
        try:
            lock_file(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno in HELD:
                raise RunLocked(
                    f"{output}: in use by another run ({_holder(output / LOCK)}); wait until it ends, or choose "
                    "another --output or --name"
                ) from None
            reason = error.strerror or str(error)
    raise RunLocked(
        f"{output}: this file system does not support locks ({reason}), and two runs at a time would corrupt each "
        "other's results; choose an --output on another file system, such as a local disk"
    )


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # The run has not written it yet.
        return "just started"
