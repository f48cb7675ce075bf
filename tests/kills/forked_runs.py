"""Runs of `local_runner.py` that need not import TensorFlow and TFX: children of a process that has.

A child starts with everything imported and nothing computed, as a new process stands after some 15 seconds of imports.
The parent itself must never run an operation of TensorFlow: its threads would not be in the children.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.forked import end_with

# What a run imports: the runner's own late imports, and what the executors name by path.
IMPORTED = (
    *("pipeline.local_execution", "pipeline.local_pipeline", "pipeline.summary", "report"),
    *("components.transform.preprocessing", "components.trainer.run", "components.evaluator.metrics"),
    *("tensorflow_model_analysis", "components.pusher.executor"),
)


def import_all() -> None:
    """Import what runs need, once."""
    for name in IMPORTED:
        importlib.import_module(name)


class ForkedRun:
    """A run in a child process.

    Args:
        arguments: of `local_runner.py`.
        folder: where it runs.
    """

    def __init__(self, arguments: list[str], folder: Path):
        import local_runner

        def run() -> int:
            os.chdir(folder)
            return local_runner.main(arguments)

        self.started = time.monotonic()
        self.pid, self._output = _fork(run)

    def lines(self) -> Iterator[str]:
        """What it prints, line by line, spaces between words as one."""
        for line in self._output:
            yield " ".join(line.split())

    def kill(self) -> None:
        """SIGKILL: it has no chance to clear up."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Waits for its end; returns its exit code, negative for the signal that ended it."""
        self._output.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def in_child(work: Callable[[], str]) -> str:
    """The text that some work gives, done in a child: its processes and imports are gone afterwards.

    Raises:
        RuntimeError: it failed; the text says how.
    """
    pid, output = _fork(lambda: print(work()))
    text = output.read()
    output.close()
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(text)
    return text


def _fork(work: Callable[[], int | None]) -> tuple[int, object]:
    """A child that does some work and ends with its exit code; its pid, and all that it prints."""
    sys.stdout.flush()
    sys.stderr.flush()
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_end)
        return pid, os.fdopen(read_end, encoding="utf-8", errors="replace")

    def print_and_work() -> int | None:
        for stream in (1, 2):
            os.dup2(write_end, stream)
        os.close(read_end)
        # Python's own streams may have been files, in which it would seek.
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", encoding="utf-8", closefd=False) for stream in (1, 2))
        return work()

    end_with(print_and_work)
