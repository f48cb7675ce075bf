"""Console output of a run: one line per step, the progress of long steps, and no output of libraries."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

from on_device.command_line import ERROR_HANDLER

if TYPE_CHECKING:
    from pipeline.local_execution import StepResult

PROGRESS_LOGGER = "recommender.progress"
NAME_WIDTH = 20
LOG_WIDTH = 120  # if the output is a file or a pipe


@contextlib.contextmanager
def quiet(log_file: Path | None) -> Iterator[Console]:
    """Redirects the output of libraries, including C++ libraries, to a log file.

    Args:
        log_file: the log file; None redirects nothing.

    Yields:
        The console for the user.
    """
    if log_file is None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0")
        yield _console(sys.stdout)
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
        with _Screen(real_stdout) as stream:
            yield _console(stream)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(real_stdout, 1)
        os.dup2(real_stderr, 2)
        os.close(real_stdout)
        os.close(real_stderr)


class _Screen(io.TextIOWrapper):
    """A copy of the standard output that ignores a closed pipe, as in `local_runner.py | head`."""

    def __init__(self, descriptor: int):
        raw = io.FileIO(descriptor, "w", closefd=False)
        super().__init__(raw, encoding=sys.stdout.encoding, errors=ERROR_HANDLER, line_buffering=True)

    def write(self, text: str) -> int:
        """See the base class."""
        try:
            return super().write(text)
        except BrokenPipeError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        """See the base class."""
        try:
            super().flush()
        except BrokenPipeError:
            self._discard()

    def _discard(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def plain_console() -> Console:
    """Returns a console without redirection."""
    return _console(sys.stdout)


def _console(stream: TextIO) -> Console:
    """Returns a console that prints text unchanged, without markup or emoji codes."""
    width = None if stream.isatty() else LOG_WIDTH
    return Console(file=stream, highlight=False, emoji=False, markup=False, width=width)


def show_line(console: Console, title: str, text: str, *, style: str = "", width: int = 0) -> None:
    """Prints a title and text in one line that is never wrapped, so that paths and commands can be copied.

    Args:
        console: the console.
        title: the title.
        text: printed unchanged, including brackets.
        style: Rich style of the title.
        width: minimum number of columns of the title.
    """
    console.print(Text.assemble((title, style), " " * max(1, width - len(title)), text), soft_wrap=True)


class ConsoleObserver(logging.Handler):
    """Prints the progress of the steps, with the messages that long steps log."""

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
        """Reports the start of a step."""
        self._step = step
        if self._console.is_terminal:
            self._status = self._console.status(f"{step:<{NAME_WIDTH}} running")
            self._status.start()
        else:
            self._console.print(f"  {step:<{NAME_WIDTH}} running")

    def finished(self, result: StepResult) -> None:
        """Reports the result of a step."""
        self._stop()
        state = "cached" if result.cached else f"done in {duration(result.seconds)}"
        self._show("✓", "green", f"{result.name:<{NAME_WIDTH}} {state}")

    def failed(self, step: str, seconds: float) -> None:
        """Reports that a step raised an error."""
        self._stop()
        self._show("✗", "red", f"{step:<{NAME_WIDTH}} failed after {duration(seconds)}")

    def interrupted(self, step: str, seconds: float) -> None:
        """Reports that the user stopped a step."""
        self._stop()
        self._show("!", "yellow", f"{step:<{NAME_WIDTH}} interrupted after {duration(seconds)}")

    def emit(self, record: logging.LogRecord) -> None:
        """Shows a progress message in the status line of a terminal; from level INFO on, also prints it as a line."""
        message = record.getMessage()
        if self._status is not None:
            self._status.update(Text(f"{self._step:<{NAME_WIDTH}} {message}"))
        if record.levelno >= logging.INFO:
            self._console.print(f"  {'':<{NAME_WIDTH}} {message}", style="dim", soft_wrap=True)

    def _show(self, mark: str, style: str, text: str) -> None:
        show_line(self._console, mark, text, style=style)

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def duration(seconds: float) -> str:
    """Returns seconds as text, such as `3.2 s`, `2 min 10 s` or `1 h 35 min`."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
