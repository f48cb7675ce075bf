"""Two runs on one metadata store: the second is refused, with an error that names the first."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.run_lock import RunLocked, run_lock
from tests.timed import LIMIT, run_timed

ROOT = Path(__file__).parents[2]
HOLD = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from pipeline.run_lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_of_two_runs_is_refused_at_once(tmp_path):
    with run_lock(tmp_path / "output" / "sample"):
        process, seconds = run_timed(
            "local_runner.py", tmp_path, "--data", str(ROOT / "data" / "sample"), "--set", "name=sample"
        )
    assert process.returncode == 2 and seconds < LIMIT
    message = rf"in use by another run \(process {os.getpid()} on \S+, since [-0-9: ]+\); wait until it ends, or choose"
    (line,) = process.stderr.splitlines()
    assert re.search(message, line) and "--output or --name" in line
    assert not list(tmp_path.rglob("*.db"))


def test_a_killed_run_releases_its_lock(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with pytest.raises(RunLocked, match=f"process {process.pid} on"), run_lock(tmp_path):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with run_lock(tmp_path):
        pass


def test_different_pipelines_can_run_at_the_same_time(tmp_path):
    with run_lock(tmp_path / "a"), run_lock(tmp_path / "b"):
        pass


def without_flock(file, operation):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_a_file_system_without_flock_uses_posix_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", without_flock)
    program = HOLD.replace("from pathlib", "import fcntl; fcntl.flock = fcntl.lockf\nfrom pathlib")
    holder = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(RunLocked, match=f"in use by another run .process {holder.pid} on"), run_lock(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
    with run_lock(tmp_path):
        pass


def test_a_file_system_without_any_lock_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", without_flock)
    monkeypatch.setattr(fcntl, "lockf", without_flock)
    with (
        pytest.raises(RunLocked, match=r"this file system does not support locks .No locks available"),
        run_lock(tmp_path),
    ):
        pass
