"""Whole runs whose folders have names that Rich, Beam and shells read as something else, on a terminal of ASCII."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = (
    *("trainer.encoder=bow", "trainer.dimension=16", "trainer.max_epochs=1", "trainer.members=[]"),
    *("transform.history_length=20", "gate.min_recall_at_10=0", "gate.min_lift_over_popularity=0"),
    *("gate.min_lift_over_markov=0", "pusher.precision=dynamic_int8", "name=shop"),
)
FOLDER = "my [old] [/b] :smile: run, " + "which has a long name " * 5


def run(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "local_runner.py"), "--output", str(folder.parents[1] / "output"), *options]
    for setting in SETTINGS:
        command += ["--set", setting]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", cwd=folder, env={**os.environ, **environment}, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("places") / FOLDER
    (folder / "shop [*]").mkdir(parents=True)
    for name in ("ratings.dat", "movies.dat"):
        (folder / "shop [*]" / name).write_bytes((ROOT / "data" / "sample" / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    places = ["--data", "shop [*]", "--serving-dir", "models [/b]", "--json", "summary [/b].json"]
    return run(folder, *places, "--set", "trainer.top_k=5", LC_ALL="C", PYTHONUTF8="0")


def test_the_run_ends_well_on_a_terminal_of_ascii(folder, done):
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "" and done.stdout.isascii() and "+ Pusher" in done.stdout
    summary = json.loads((folder / "summary [/b].json").read_text(encoding="utf-8"))
    assert summary["artifact"]["path"] == str(folder / "models [/b]" / "shop" / "1")


def test_paths_are_shown_as_they_are(folder, done):
    lines = done.stdout.splitlines()
    assert lines[0] == f"shop {folder / 'shop [*]'} -> {folder / 'models [/b]' / 'shop'}"
    (artifact,) = (line for line in lines if line.startswith("Artifact"))
    assert artifact.startswith(f"Artifact  {folder / 'models [/b]' / 'shop' / '1' / 'model.tflite'}  version 1")


def test_the_next_command_can_be_pasted(done, tmp_path):
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("Next "))
    command = line.removeprefix("Next").strip()
    answer = subprocess.run(command, shell=True, capture_output=True, encoding="utf-8", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == 1 + 5  # The model returns five.


def test_a_top_k_over_the_catalogue_is_refused_once_the_catalogue_is_known(folder, done):
    refused = run(folder, "--data", "shop [*]", "--serving-dir", "models [/b]", "--set", "trainer.top_k=5000")
    assert refused.returncode == 2
    assert "error: trainer.top_k 5,000 is over the catalogue of 150 items; choose 150 or less" in refused.stdout
    assert "ExampleGen" in refused.stdout and "StatisticsGen" not in refused.stdout
