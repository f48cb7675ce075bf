"""A run that is killed in any step and started again succeeds and pushes once.

In the Trainer, the run is killed after the second epoch, and the next run resumes there. `tests/kills` kills the runs,
and checks after every kill that nothing is lost; one process imports TensorFlow and TFX for all runs. A run that the
user interrupts writes a report.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from pipeline import steps
from tests.forked import run_forked

ROOT = Path(__file__).parents[2]
KILLED_IN = [
    *(steps.EXAMPLE_GEN, steps.STATISTICS_GEN, steps.TRANSFORM),
    *(steps.TRAINER, steps.EVALUATOR, steps.PUSHER),
]


def test_a_run_killed_in_any_step_can_be_restarted_and_pushes_once(tmp_path):
    outputs = ["--output", str(tmp_path / "runs"), "--json", str(tmp_path / "results.json")]
    process = run_forked("tests.kills", ["--every-step", "--seed", "5", *outputs], ROOT)
    assert process.returncode == 0, process.stdout + process.stderr
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert results["broken"] == [] and results["chains"] == 1 and results["ended_before"] == 0
    assert [kill["phase"] for kill in results["kills"]] == KILLED_IN
    assert all(kill["survived"] for kill in results["kills"])

    trainer_kill, evaluator_kill = (
        results["kills"][KILLED_IN.index(step)] for step in (steps.TRAINER, steps.EVALUATOR)
    )
    assert trainer_kill["epochs"][:2] == [1, 2]
    first_epoch = evaluator_kill["epochs"][0]
    assert (
        first_epoch >= 2
        and f"resuming after epoch {first_epoch - 1} of an interrupted run" in evaluator_kill["resumed"]
    )
    assert evaluator_kill["epochs"] == list(range(first_epoch, 7))


def test_an_interrupted_run_writes_a_report(tmp_path):
    outputs = ["--output", str(tmp_path / "output"), "--serving-dir", str(tmp_path / "serving")]
    command = [sys.executable, "local_runner.py", "--data", "data/sample", "--config", "configs/sample.yaml", *outputs]
    # A shell's background jobs ignore Ctrl-C, and so would their children.
    restore_interrupts = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=restore_interrupts
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "StatisticsGen" in line and "running" in line:
                break
        os.kill(process.pid, signal.SIGINT)
        assert "interrupted in StatisticsGen" in process.stdout.read()
    assert process.returncode == 130
    report = (tmp_path / "output" / "sample" / "report.html").read_text(encoding="utf-8")
    assert "interrupted in StatisticsGen" in report and "8,321 interactions" in report
