"""What a person sees of a run: one line a step, progress within the long ones, and nobody else's noise."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.status import Status

if TYPE_CHECKING:
    from pipeline.local_execution import StepResult

PROGRESS_LOGGER = "recommender.progress"
NAME_WIDTH = 20
LOG_WIDTH = 120  # where the output is a file or a pipe


@contextlib.contextmanager
def quiet(log_file: Path | None) -> Iterator[Console]:
    """Keep the noise of libraries out of sight, C++ ones included.

    Args:
        log_file: receives what they print; None leaves them alone.

    Yields:
        The console that people read.
    """
    if log_file is None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0")
        yield Console(highlight=False)
        return
    log_file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    real_stdout, real_stderr = os.dup(1), os.dup(2)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    try:
        with os.fdopen(real_stdout, "w", buffering=1, closefd=False) as stream:
            yield Console(file=stream, highlight=False, width=None if stream.isatty() else LOG_WIDTH)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(real_stdout, 1)
        os.dup2(real_stderr, 2)
        os.close(real_stdout)
        os.close(real_stderr)


class ConsoleObserver(logging.Handler):
    """Prints how the steps go; a handler of the progress log that long steps write."""

    def __init__(self, console: Console):
        super().__init__()
        self._console = console
        self._status: Status | None = None
        self._step = ""
        logger = logging.getLogger(PROGRESS_LOGGER)
        logger.handlers[:] = [self]
        logger.setLevel(logging.DEBUG)
        logger.propagate = False

    def started(self, step: str) -> None:
        """See `Observer`."""
        self._step = step
        if self._console.is_terminal:
            self._status = self._console.status(f"{step:<{NAME_WIDTH}} running")
            self._status.start()
        else:
            self._console.print(f"  {step:<{NAME_WIDTH}} running")

    def finished(self, result: StepResult) -> None:
        """See `Observer`."""
        self._stop()
        how = "cached" if result.cached else f"done in {duration(result.seconds)}"
        self._console.print(f"[green]✓[/green] {result.name:<{NAME_WIDTH}} {how}")

    def failed(self, step: str, seconds: float) -> None:
        """See `Observer`."""
        self._stop()
        self._console.print(f"[red]✗[/red] {step:<{NAME_WIDTH}} failed after {duration(seconds)}")

    def interrupted(self, step: str, seconds: float) -> None:
        """See `Observer`."""
        self._stop()
        self._console.print(f"[yellow]![/yellow] {step:<{NAME_WIDTH}} interrupted after {duration(seconds)}")

    def emit(self, record: logging.LogRecord) -> None:
        """Show a line of progress: all of them on a terminal's last line, the important ones to stay."""
        message = record.getMessage()
        if self._status is not None:
            self._status.update(f"{self._step:<{NAME_WIDTH}} {message}")
        if record.levelno >= logging.INFO:
            self._console.print(f"  {'':<{NAME_WIDTH}} {message}", style="dim", markup=False)

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
