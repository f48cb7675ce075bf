"""Prints the pipeline's figures: set-up, wall times, memory, and what the pushed file is worth.

    .venv/bin/python -m benchmarks.figures --data path/to/ml-1m.zip
    .venv/bin/python -m benchmarks.figures --data path/to/ml-1m.zip --setup --test

Runs the pipeline twice in empty folders, as a person would. `--setup` also makes the environment anew in a copy of the
checkout, `--test` also runs `make test`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
SAMPLE_EVERY = 0.5  # seconds between two looks at the memory
DATA_STEPS = ("ExampleGen", "StatisticsGen", "Transform")


@dataclass(frozen=True)
class Measured:
    """A command's exit code, wall time (seconds) and peak memory over all its processes (bytes, resident)."""

    code: int
    seconds: float
    peak_bytes: int


def measure(command: list[str], folder: Path = ROOT) -> Measured:
    """Run a command to its end."""
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_EVERY):
            peak = max(peak, _resident(process.pid))

    watcher = threading.Thread(target=watch, daemon=True)  # Ctrl-C need not wait for it
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    return Measured(code, time.monotonic() - started, peak)


def _resident(pid: int) -> int:
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


def main() -> int:
    """Measure and print; returns 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="ratings; the bars are for MovieLens 1M")
    parser.add_argument("--config", help="YAML configuration (default: the pipeline's defaults)")
    parser.add_argument("--setup", action="store_true", help="time the set-up too")
    parser.add_argument("--test", action="store_true", help="time `make test` too")
    options = parser.parse_args()
    data = str(Path(options.data).resolve())
    table = Table("what", "figure", "bar", title="Figures", title_justify="left")
    with tempfile.TemporaryDirectory() as scratch:
        if options.setup:
            table.add_row("set-up, fresh clone", f"{_set_up(Path(scratch)):.0f} s", "under 180 s")
        first, second, summary = _run_twice(Path(scratch), data, options.config)
    if first.code or second.code:
        print(f"a run failed: exit codes {first.code} and {second.code}", file=sys.stderr)
        return 1
    artifact = summary["artifact"]
    file, saved, popular = (artifact["metrics"][name] for name in ("tflite", "saved_model", "popularity"))
    table.add_row("whole pipeline, first run", f"{first.seconds:.0f} s", "under 600 s")
    table.add_row("peak memory, all processes", f"{first.peak_bytes / 2**30:.2f} GiB", "under 6 GiB")
    ingest = sum(summary["first_steps"][step]["seconds"] for step in DATA_STEPS)
    table.add_row("ingest + statistics + transform", f"{ingest:.0f} s", "under 60 s")
    ran = [name for name, step in summary["steps"].items() if not step["cached"]]
    table.add_row("second run, nothing changed", f"{second.seconds:.0f} s, ran again: {', '.join(ran)}", "under 60 s")
    table.add_row("test Recall@10, SavedModel", f"{saved['recall_at_10']:.4f}", "0.20 or more")
    table.add_row("test Recall@10, popularity list", f"{popular['recall_at_10']:.4f}", "")
    loss = 1 - file["recall_at_10"] / saved["recall_at_10"]
    table.add_row("test Recall@10, pushed file", f"{file['recall_at_10']:.4f} ({loss:+.2%} lost)", "1 % or less lost")
    table.add_row("top-10 agreement, file and SavedModel", f"{artifact['agreement_at_10']:.2%}", "99 % or more")
    table.add_row("pushed file", f"{artifact['size_bytes'] / 1e6:.2f} MB, {artifact['latency_us']:.0f} us", "")
    if options.test:
        tests = measure(["make", "test"])
        table.add_row("make test", f"{tests.seconds:.0f} s, exit code {tests.code}", "under 900 s")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 0


def _set_up(scratch: Path) -> float:
    copy = scratch / "copy"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(copy)], check=True)
    return measure(["make", "setup"], copy).seconds


def _run_twice(scratch: Path, data: str, config: str | None) -> tuple[Measured, Measured, dict]:
    summary = scratch / "summary.json"
    command = [sys.executable, "local_runner.py", "--data", data, "--json", str(summary)]
    command += ["--output", str(scratch / "output"), "--serving-dir", str(scratch / "serving")]
    command += ["--config", config] if config else []
    first = measure(command)
    if first.code:
        return first, first, {}
    steps = json.loads(summary.read_text(encoding="utf-8"))["steps"]
    second = measure(command)
    return first, second, {**json.loads(summary.read_text(encoding="utf-8")), "first_steps": steps}


if __name__ == "__main__":
    sys.exit(main())
