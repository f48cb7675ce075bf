"""A run in folders whose names Rich, Beam and shells read as something else, with an ASCII terminal."""

from __future__ import annotations

import subprocess

from tests.forked import run_forked
from tests.shared_runs import SAMPLE_CONFIG, STRANGE_DATA, STRANGE_SERVING


def test_the_run_ends_well_on_a_terminal_of_ascii(sample_run):
    assert sample_run.stderr == "" and sample_run.stdout.isascii() and "+ Pusher" in sample_run.stdout
    assert sample_run.summary["artifact"]["path"] == str(sample_run.serving / "sample" / "1")


def test_paths_are_shown_as_they_are(sample_run):
    lines = sample_run.stdout.splitlines()
    assert lines[0] == f"sample {sample_run.data} -> {sample_run.serving / 'sample'}"
    (artifact,) = (line for line in lines if line.startswith("Artifact"))
    assert artifact.startswith(f"Artifact  {sample_run.serving / 'sample' / '1' / 'model.tflite'}  version 1")


def test_the_next_command_can_be_pasted(sample_run, tmp_path):
    (line,) = (line for line in sample_run.stdout.splitlines() if line.startswith("Next "))
    command = line.removeprefix("Next").strip()
    answer = subprocess.run(command, shell=True, capture_output=True, encoding="utf-8", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == 1 + 10


def test_a_top_k_over_the_catalogue_is_refused_once_the_catalogue_is_known(sample_run, tmp_path):
    output = sample_run.lend_results(tmp_path / "output")
    arguments = ["--data", STRANGE_DATA, "--serving-dir", STRANGE_SERVING, "--output", str(output)]
    arguments += ["--config", str(SAMPLE_CONFIG), "--set", "trainer.top_k=5000"]
    refused = run_forked("local_runner", arguments, sample_run.folder)
    assert refused.returncode == 2
    assert "error: trainer.top_k 5,000 is over the catalogue of 150 items; choose 150 or less" in refused.stdout
    assert "ExampleGen" in refused.stdout and "StatisticsGen" not in refused.stdout
