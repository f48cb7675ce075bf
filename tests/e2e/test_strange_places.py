"""A run with an ASCII terminal, in folders with names that Rich, Beam and shells interpret."""

from __future__ import annotations

import subprocess

from tests.forked import run_forked
from tests.shared_runs import SAMPLE_CONFIG, STRANGE_DATA, STRANGE_SERVING


def test_a_run_succeeds_on_an_ascii_terminal(sample_run):
    assert sample_run.stderr == "" and sample_run.stdout.isascii() and "+ Pusher" in sample_run.stdout
    assert sample_run.summary["artifact"]["path"] == str(sample_run.serving / "sample" / "1")


def test_paths_are_shown_unchanged(sample_run):
    lines = sample_run.stdout.splitlines()
    assert lines[0] == f"sample {sample_run.data} -> {sample_run.serving / 'sample'}"
    (artifact,) = (line for line in lines if line.startswith("Artifact"))
    assert artifact.startswith(f"Artifact  {sample_run.serving / 'sample' / '1' / 'model.tflite'}  version 1")


def test_the_suggested_command_runs_in_a_shell(sample_run, tmp_path):
    (line,) = (line for line in sample_run.stdout.splitlines() if line.startswith("Next "))
    command = line.removeprefix("Next").strip()
    process = subprocess.run(command, shell=True, capture_output=True, encoding="utf-8", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert len(process.stdout.splitlines()) == 1 + 10


def test_a_top_k_above_the_catalogue_size_stops_the_run_after_example_gen(sample_run, tmp_path):
    output = sample_run.lend_results(tmp_path / "output")
    arguments = ["--data", STRANGE_DATA, "--serving-dir", STRANGE_SERVING, "--output", str(output)]
    arguments += ["--config", str(SAMPLE_CONFIG), "--set", "trainer.top_k=5000"]
    process = run_forked("local_runner", arguments, sample_run.folder)
    assert process.returncode == 2
    assert "error: trainer.top_k 5,000 is over the catalogue of 150 items; choose 150 or less" in process.stdout
    assert "ExampleGen" in process.stdout and "StatisticsGen" not in process.stdout
