"""Runs the command lines as new processes, and measures their CPU time, which other processes do not change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIMIT = 3.0  # seconds of CPU time, for a command that only prints an error or its help


def run_timed(program: str, folder: Path, *options: str | bytes) -> tuple[subprocess.CompletedProcess[str], float]:
    """Runs a file of the project in a folder; returns the process and its CPU time in seconds."""
    before = os.times()
    command = [sys.executable, str(ROOT / program), *options]
    process = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60)
    after = os.times()
    seconds = after.children_user - before.children_user + after.children_system - before.children_system
    return process, seconds
