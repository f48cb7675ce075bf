"""The console output of a run, also after its reader closes it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.console import ConsoleObserver, show_line
from pipeline.local_execution import StepResult

ROOT = Path(__file__).parents[2]
RUN = """
import sys
from pathlib import Path
from pipeline.console import quiet, show_line

folder = Path(sys.argv[1])
with quiet(folder / "run.log") as console:
    for number in range(20_000):
        show_line(console, "step", str(number))
(folder / "pushed").touch()
"""


def test_a_run_continues_after_its_output_is_closed(tmp_path):
    command = [*("bash", "-o", "pipefail", "-c", '"$0" -c "$1" "$2" | head -1'), sys.executable, RUN, str(tmp_path)]
    process = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "step 0\n", "")
    assert (tmp_path / "pushed").exists()


@pytest.mark.parametrize("text", ["/my [old] [/b] run", ":smile: [red]x[/red]", "long " * 100, "tail\\"])
def test_text_is_shown_unchanged(text):
    console = Console(file=io.StringIO(), width=20)
    show_line(console, "Report", text, style="bold", width=10)
    assert console.file.getvalue() == f"Report    {text}\n"


def test_a_cached_step_is_shown_in_one_line(tmp_path):
    file = io.StringIO()
    observer = ConsoleObserver(Console(file=file, width=200, markup=False, emoji=False))
    observer.finished(StepResult("Trainer", True, 0.0))
    assert file.getvalue() == f"✓ {'Trainer':<20} cached\n"
