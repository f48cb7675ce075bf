"""How every program here runs: mistakes are answered first, then it works in a folder, then the results are written."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from components.errors import StepError
from data.errors import DataError
from pipeline.config import ConfigError
from pipeline.console import quiet

EXIT_FAILED, EXIT_USAGE = 1, 2
TABLE_WIDTH = 160  # where the output is a file or a pipe

Asked = TypeVar("Asked")


def run(
    options: argparse.Namespace, name: str, read: Callable[[], Asked], work: Callable[[Asked, Path, Console], Any]
) -> int:
    """Run a program.

    Args:
        options: with those of `inputs.add_common`.
        name: of its log file.
        read: says what is asked for. It imports no TensorFlow, so that a mistake (ConfigError, DataError) is answered
            at once.
        work: does it, with a folder for artifacts and a console for people. It imports what it needs itself. What it
            returns is written as JSON where `--json` asks for that; None is not.

    Returns:
        The exit code: 0, or EXIT_FAILED or EXIT_USAGE after one line that says why.
    """
    try:
        asked = read()
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
                found = work(asked, output, console)
            except (DataError, StepError, StepFailed) as error:
                console.print(f"error: {error}", soft_wrap=True)
                return EXIT_FAILED
    if options.json and found is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0
