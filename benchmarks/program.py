"""Runs a benchmark program: checks its command line, then measures, then writes the results."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from components.errors import StepError
from data.errors import DataError
from on_device.command_line import EXIT_USAGE
from pipeline.config import ConfigError
from pipeline.console import quiet

EXIT_FAILED = 1
TABLE_WIDTH = 200  # where the output is a file or a pipe

Task = TypeVar("Task")


def run(
    options: argparse.Namespace, name: str, read: Callable[[], Task], work: Callable[[Task, Path, Console], Any]
) -> int:
    """Runs a program.

    Args:
        options: parsed command line, with the options `output` and `json`.
        name: of the log file.
        read: checks the command line and returns the task. It must not import TensorFlow, so that errors (ConfigError,
            DataError) are reported at once.
        work: performs the task, with a folder for artifacts and a console. It may import TensorFlow. With `--json`, its
            result is written as JSON, with dataclasses as objects, unless it is None.

    Returns:
        The exit code: 0, or EXIT_USAGE or EXIT_FAILED after a one-line error.
    """
    try:
        task = read()
    except (ConfigError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    with tempfile.TemporaryDirectory() as scratch:
        output = (options.output or Path(scratch)).resolve()
        with quiet(output / f"{name}.log") as console:
            from pipeline.local_execution import StepFailed

            if not sys.stdout.isatty():
                console.width = TABLE_WIDTH
            try:
                result = work(task, output, console)
            except (DataError, StepError, StepFailed) as error:
                console.print(f"error: {error}", soft_wrap=True)
                return EXIT_FAILED
    if options.json and result is not None:
        text = json.dumps(result, indent=1, default=dataclasses.asdict)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Returns a table with the first column on the left and numbers in the others."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table
