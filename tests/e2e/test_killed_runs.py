"""A run that is killed inside a step, whichever it is, and started again, ends well and pushes once.

In one of them a person interrupts it instead. In the Trainer it is killed in the third epoch, and the next run goes on
from there.
"""

from __future__ import annotations

import functools
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from pipeline import steps

ROOT = Path(__file__).parents[2]
KILLED_IN = (
    *(steps.EXAMPLE_GEN, steps.STATISTICS_GEN, steps.TRANSFORM),
    *(steps.TRAINER, steps.EVALUATOR, steps.PUSHER),
)
INTERRUPTED_IN = steps.STATISTICS_GEN  # by Ctrl-C, which leaves a report
# What the line says after which a step is killed: the state after an epoch is saved behind the line on it.
SIGNS = {steps.TRAINER: "epoch 2/6"}


def start(folder: Path) -> subprocess.Popen[str]:
    places = ["--output", str(folder / "output"), "--serving-dir", str(folder / "serving")]
    command = [sys.executable, str(ROOT / "local_runner.py"), "--data", str(ROOT / "data" / "sample"), *places]
    command += ["--config", str(ROOT / "configs" / "sample.yaml"), "--max-epochs", "6"]
    command += ["--set", "trainer.members=[]"]  # One encoder compiles faster.
    # A shell's background jobs ignore Ctrl-C, and so would what they start.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, preexec_fn=heed)


def test_killed_in_every_step_and_started_again(tmp_path):
    moments = random.Random(5)
    after_the_trainer = ""
    for step in KILLED_IN:
        process = start(tmp_path)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if SIGNS.get(step, f"{step} running") in " ".join(line.split()):
                break
        else:
            raise AssertionError(f"{step} never ran:\n{''.join(lines)}")
        time.sleep(moments.uniform(0, 1))
        if step == INTERRUPTED_IN:
            os.kill(process.pid, signal.SIGINT)
            assert f"interrupted in {step}" in process.stdout.read()
            assert process.wait() == 130
            report = (tmp_path / "output" / "sample" / "report.html").read_text(encoding="utf-8")
            assert f"interrupted in {step}" in report and "8,321 ratings" in report
            continue
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL, f"{step} ended before it was killed"
        if step == steps.EVALUATOR:
            after_the_trainer = "".join(lines)

    gone_on = re.search(r"going on after epoch (\d) of an interrupted run", after_the_trainer)
    assert gone_on and int(gone_on[1]) >= 1, after_the_trainer
    trained = re.findall(r"epoch (\d)/6 ", after_the_trainer)
    assert trained == [str(epoch) for epoch in range(int(gone_on[1]) + 1, 7)]
    assert not list((tmp_path / "output").glob("**/checkpoints/*"))

    process = start(tmp_path)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    pushed = tmp_path / "serving" / "sample"
    assert [path.name for path in pushed.iterdir() if path.is_dir()] == ["1"]
    assert (pushed / "latest").read_text(encoding="utf-8").strip() == "1"
