"""Runs of the pipeline that test files share, also across the workers of pytest."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import shop
from tests.forked import run_forked

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data" / "sample"
SAMPLE_CONFIG = ROOT / "configs" / "sample.yaml"
# Rich, Beam and shells interpret parts of these names.
STRANGE_FOLDER = "my [old] [/b] :smile: run, " + "which has a long name " * 5
STRANGE_DATA, STRANGE_SERVING, STRANGE_SUMMARY = "shop [*]", "models [/b]", "summary [/b].json"


@dataclass(frozen=True)
class SharedRun:
    """A run that pushed a model. Only the tests of one file may run again in its folders; others use its results.

    Attributes:
        folder: its working directory.
        data: the log.
        output: folder of the metadata and artifacts.
        serving: folder of the pushed models.
        summary: its summary.
        stdout: its output.
        stderr: its errors.
        store: a copy of the ML Metadata store from the end of the run.
    """

    folder: Path
    data: Path
    output: Path
    serving: Path
    summary: dict[str, Any]
    stdout: str
    stderr: str
    store: Path

    def lend_results(self, output: Path) -> Path:
        """Copies the store to another output folder, so that runs there can use the results; returns the folder."""
        (output / self.store.stem).mkdir(parents=True)
        shutil.copy(self.store, output / self.store.stem / "metadata.db")
        return output


def run_once(factory: pytest.TempPathFactory, name: str, run: Callable[[Path], SharedRun]) -> SharedRun:
    """Calls `run` with an empty folder in the first worker that needs the run; returns its result in all workers."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / name
    result = folder / "run.pickle"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            result.write_bytes(pickle.dumps(run(folder)))
    shared_run: SharedRun = pickle.loads(result.read_bytes())
    return shared_run


def run_on_sample(base: Path) -> SharedRun:
    """Runs the pipeline on the sample as a new process, in a folder with a strange name, with an ASCII terminal."""
    folder = base / STRANGE_FOLDER
    shutil.copytree(SAMPLE, folder / STRANGE_DATA)
    command = [sys.executable, str(ROOT / "local_runner.py"), "--output", str(base / "output")]
    command += ["--data", STRANGE_DATA, "--serving-dir", STRANGE_SERVING, "--json", STRANGE_SUMMARY]
    process = subprocess.run(
        [*command, "--config", str(SAMPLE_CONFIG)],
        capture_output=True,
        encoding="utf-8",
        cwd=folder,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"},
    )
    paths = (folder, folder / STRANGE_DATA, base / "output", folder / STRANGE_SERVING, folder / STRANGE_SUMMARY)
    return _finished(process, "sample", *paths)


def run_on_shop(base: Path) -> SharedRun:
    """Runs the pipeline on the log of a shop, with a teacher and a refit."""
    data, output, serving, summary = (base / name for name in ("shop", "output", "serving", "summary.json"))
    shop.write_log(data)
    arguments = ["--data", str(data), "--output", str(output), "--serving-dir", str(serving), "--json", str(summary)]
    process = run_forked("local_runner", [*arguments, *shop.OPTIONS], base)
    return _finished(process, "shop", base, data, output, serving, summary)


def _finished(
    process: subprocess.CompletedProcess[str],
    name: str,
    folder: Path,
    data: Path,
    output: Path,
    serving: Path,
    summary_file: Path,
) -> SharedRun:
    assert process.returncode == 0, process.stdout + process.stderr
    summary = json.loads(summary_file.read_text(encoding="utf-8"))
    store = output.with_name(f"{name}.db")
    shutil.copy(output / name / "metadata.db", store)
    return SharedRun(folder, data, output, serving, summary, process.stdout, process.stderr, store)
