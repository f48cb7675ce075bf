"""Runs `local_runner.py` in children of a process that has imported TensorFlow and TFX.

A child starts in the state of a new process after some 15 seconds of imports: nothing is computed yet. The parent must
never run an operation of TensorFlow, because the children would not have its threads.
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

# The modules that a run imports: late imports of the runner, and modules that the executors name by path.
IMPORTED = (
    *("pipeline.local_execution", "pipeline.local_pipeline", "pipeline.summary", "report"),
    *("components.transform.preprocessing", "components.trainer.run", "components.evaluator.metrics"),
    *("tensorflow_model_analysis", "components.pusher.executor"),
)


def import_all() -> None:
    """Imports the modules that runs need."""
    for name in IMPORTED:
        importlib.import_module(name)


class ForkedRun:
    """A run in a child process.

    Args:
        arguments: The arguments of `local_runner.py`.
        folder: The working directory.
    """

    def __init__(self, arguments: list[str], folder: Path):
        import local_runner

        def run() -> int:
            os.chdir(folder)
            return local_runner.main(arguments)

        self.started = time.monotonic()
        self.pid, self._output = _fork(run)

    def lines(self) -> Iterator[str]:
        """Yields the printed lines, with one space between words."""
        for line in self._output:
            yield " ".join(line.split())

    def kill(self) -> None:
        """Sends SIGKILL, so that the run cannot clean up."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Waits for the end of the run; returns its exit code, or the negative number of the signal that ended it."""
        self._output.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def in_child(work: Callable[[], str]) -> str:
    """Calls a function in a child, whose processes and imports end with it, and returns the text.

    Raises:
        RuntimeError: The function failed; the message is its output.
    """
    pid, output = _fork(lambda: print(work()))
    text = output.read()
    output.close()
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(text)
    return text


def _fork(work: Callable[[], int | None]) -> tuple[int, object]:
    """Starts a child that calls a function and ends with its exit code; returns the pid and the output of the child."""
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
        # Python's own streams may be files, in which Python would seek.
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", encoding="utf-8", closefd=False) for stream in (1, 2))
        return work()

    end_with(print_and_work)
