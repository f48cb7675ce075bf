"""Measures commands: wall time and peak memory over all their processes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
SAMPLE_SECONDS = 0.5  # between two samples of the memory


@dataclass(frozen=True)
class Measured:
    """The cost of a command.

    Attributes:
        code: its exit code.
        seconds: wall time.
        peak_bytes: most resident memory over all its processes.
    """

    code: int
    seconds: float
    peak_bytes: int


def measure(command: list[str]) -> Measured:
    """Runs a command to its end, in the root folder of the project."""
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_SECONDS):
            peak = max(peak, _resident(process.pid))

    watcher = threading.Thread(target=watch, daemon=True)  # Ctrl-C need not wait for it.
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    return Measured(code, time.monotonic() - started, peak)


def _resident(pid: int) -> int:
    """Returns the resident bytes of a process and all its descendants."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.Error:
            continue
    return total
