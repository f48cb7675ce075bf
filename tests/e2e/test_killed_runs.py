"""A run that is killed inside a step, whichever it is, and started again, ends well and pushes once.

In the Trainer it is killed after the second epoch, and the next run goes on from there. `tests/kills` does all
this, and looks after every kill whether anything is lost; one process imports TensorFlow and TFX for all runs. A run
that a person interrupts leaves a report.
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


def test_killed_in_every_step_and_started_again(tmp_path):
    places = ["--output", str(tmp_path / "runs"), "--json", str(tmp_path / "told.json")]
    done = run_forked("tests.kills", ["--every-step", "--seed", "5", *places], ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
    assert told["broken"] == [] and told["chains"] == 1 and told["ended_before"] == 0
    assert [kill["phase"] for kill in told["kills"]] == KILLED_IN
    assert all(kill["survived"] for kill in told["kills"])

    in_trainer, after_it = (told["kills"][KILLED_IN.index(step)] for step in (steps.TRAINER, steps.EVALUATOR))
    assert in_trainer["epochs"][:2] == [1, 2]
    first = after_it["epochs"][0]
    assert first >= 2 and f"resuming after epoch {first - 1} of an interrupted run" in after_it["resumed"]
    assert after_it["epochs"] == list(range(first, 7))


def test_interrupted_by_a_person(tmp_path):
    places = ["--output", str(tmp_path / "output"), "--serving-dir", str(tmp_path / "serving")]
    command = [sys.executable, "local_runner.py", "--data", "data/sample", "--config", "configs/sample.yaml", *places]
    # A shell's background jobs ignore Ctrl-C, and so would their children.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=heed) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "StatisticsGen" in line and "running" in line:
                break
        os.kill(process.pid, signal.SIGINT)
        assert "interrupted in StatisticsGen" in process.stdout.read()
    assert process.returncode == 130
    report = (tmp_path / "output" / "sample" / "report.html").read_text(encoding="utf-8")
    assert "interrupted in StatisticsGen" in report and "8,321 interactions" in report
