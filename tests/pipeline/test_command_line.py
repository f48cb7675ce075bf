"""Mistakes on the command line: one line, exit code 2, within three seconds, and nothing written."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 3.0  # seconds


def run(program: str, folder: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], float]:
    started = time.monotonic()
    command = [sys.executable, str(ROOT / program), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    return done, time.monotonic() - started


LOCAL = [
    (["--encodr", "cnn"], "unrecognized arguments: --encodr"),
    (["--encoder", "gru"], "trainer.encoder: input should be 'bow', 'cnn', 'lstm' or 'transformer', not 'gru'"),
    (["--history-length", "0"], "transform.history_length: input should be greater than or equal to 1, not 0"),
    (["--history-length", "ten"], "invalid int value: 'ten'"),
    (["--set", "trainer.dropuot=0.1"], "trainer.dropuot: unknown key; did you mean 'dropout'?"),
    (["--set", "dropout"], "expected KEY=VALUE"),
    (["--config", "none.yaml"], "none.yaml: no such configuration file"),
    (["--data", "nowhere.zip"], "nowhere.zip: no such file or folder"),
    (["--from-node", "Trainr"], "--from-node Trainr: no such step"),
    (["--from-node", "Pusher", "--to-node", "Trainer"], "comes after"),
    (["--to-node", "Tuner"], "--to-node Tuner: the step is not enabled; add --set tuner.enabled=true"),
    (
        ["--set", "tuner.search_space={learning_rat: [0.1]}"],
        "tuner.search_space.learning_rat: unknown key; did you mean 'learning_rate'?",
    ),
    (["--output", "/proc/none"], "cannot be written to"),
    (["--serving-dir", "/proc/none"], "cannot be written to"),
    (["--json", "/proc/none/summary.json"], "cannot be written to"),
]


@pytest.mark.parametrize(
    ("options", "message"), LOCAL, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_local_runner_says_what_is_wrong(tmp_path, options, message):
    data = ["--data", str(ROOT / "data" / "sample")] if "--data" not in options else []
    done, seconds = run("local_runner.py", tmp_path, *data, *options)
    assert done.returncode == 2
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert seconds < LIMIT
    assert not list(tmp_path.rglob("*.db"))


def test_zip_that_is_corrupt_further_on(tmp_path):
    """Its first rows are whole, so that only unpacking it shows the damage."""
    archive = tmp_path / "ml-1m.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for name in ("ratings.dat", "movies.dat"):
            target.write(ROOT / "data" / "sample" / name, f"ml-1m/{name}")
    content = bytearray(archive.read_bytes())
    content[40_000:40_050] = bytes(50)
    archive.write_bytes(content)
    done, seconds = run("local_runner.py", tmp_path, "--data", str(archive), "--cache-dir", str(tmp_path / "cache"))
    assert done.returncode == 2
    assert seconds < LIMIT
    assert "corrupt zip" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stdout + done.stderr
    assert list((tmp_path / "cache").iterdir()) == []


CLUSTER = ["--image", "i", "--pipeline-root", "gs://b/r", "--data", "gs://b/d.zip"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "airflow", *CLUSTER], "invalid choice: 'airflow'"),
        (["--engine", "vertex", "--pipeline-root", "gs://b", "--data", "gs://b/d"], "required: --image"),
        (["--engine", "vertex", *CLUSTER, "--output", "p.yaml"], "a file for vertex ends in .json"),
        (["--engine", "vertex", *CLUSTER, "--pipeline-root", "here"], "--pipeline-root here: expected a URI"),
    ],
)
def test_kubeflow_runner_says_what_is_wrong(tmp_path, options, message):
    done, seconds = run("kubeflow_runner.py", tmp_path, *options)
    assert done.returncode == 2
    assert message in done.stderr.strip().splitlines()[-1]
    assert seconds < LIMIT


@pytest.mark.parametrize("program", ["local_runner.py", "kubeflow_runner.py"])
def test_help_comes_at_once(tmp_path, program):
    done, seconds = run(program, tmp_path, "--help")
    assert done.returncode == 0 and "--config" in done.stdout
    assert seconds < LIMIT


@pytest.mark.parametrize(("engine", "ending"), [("kubeflow", "yaml"), ("vertex", "json")])
def test_compiles_for_every_engine(tmp_path, engine, ending):
    output = tmp_path / f"pipeline.{ending}"
    tuned = ["--config", str(ROOT / "configs" / "tuned.yaml")]
    done, _ = run("kubeflow_runner.py", tmp_path, "--engine", engine, *CLUSTER, *tuned, "--output", str(output))
    assert done.returncode == 0, done.stderr
    text = output.read_text(encoding="utf-8")
    for step in ("ExampleGen", "Transform", "Tuner", "Trainer", "Evaluator", "Pusher"):
        assert step in text
    assert list(tmp_path.iterdir()) == [output]
