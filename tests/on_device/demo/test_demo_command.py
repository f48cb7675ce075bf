"""The command `python -m on_device demo`."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import on_device
from on_device.__main__ import main


def restore_interrupts() -> None:
    """Restores SIGINT, which a shell disables for the processes of tests that run in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_the_demo_is_served_until_an_interrupt(films: Path, fake_runtime: Path) -> None:
    command = [sys.executable, "-m", "on_device", "demo", "--model", films, "--runtime", fake_runtime, "--port", "0"]
    with subprocess.Popen(
        [*command, "--no-open"],
        cwd=Path(on_device.__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restore_interrupts,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        timer = threading.Timer(60, process.kill)
        timer.start()
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[:2] == [f"model    {films / 'model.tflite'}\n", f"runtime  {fake_runtime}\n"]
        address = re.fullmatch(r"demo     http://127\.0\.0\.1:(\d+)/  \(Ctrl-C stops it\)\n", lines[2])
        assert address is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(address[1]), timeout=10)
        connection.request("GET", "/")
        assert b"On-device recommender" in connection.getresponse().read()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert (process.stdout.read(), process.stderr.read()) == ("\nstopped\n", "")
        timer.cancel()


def test_a_missing_model_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--model", str(tmp_path / "none"), "--no-open"]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'none'}: no such folder")


def test_a_missing_runtime_is_an_error(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--model", str(films), "--runtime", str(tmp_path), "--no-open"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {tmp_path}/@litertjs/core/dist/index.js: missing; `npm install")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("port", ["-1", "65536", "many"])
def test_an_invalid_port_is_an_error(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--port", port])
    assert "usage: python -m on_device demo" in capsys.readouterr().err
