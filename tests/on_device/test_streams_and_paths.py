"""All command lines support any terminal encoding, closed streams, errors of the system, and paths."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from on_device.command_line import default_cache_dir, path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from on_device.command_line import command_line

@command_line
def main(arguments=None):
    BODY
    return 0

sys.exit(main())
"""


def run(body: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a command line whose main function is `body`; `shell` is appended to the command."""
    command = f'exec "$0" -c "$1" {shell}' if "|" not in shell else f'"$0" -c "$1" {shell}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command, sys.executable, PROGRAM.replace("BODY", body)],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=60,
    )


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0"}


def test_characters_that_the_terminal_lacks_are_replaced():
    process = run(r"print('\u2713 L\u00e9on 12 \u00b5s \u65e5')", **ASCII)
    assert (process.returncode, process.stdout, process.stderr) == (0, b"+ Leon 12 us ?\n", b"")


@pytest.mark.parametrize("environment", [ASCII, {"PYTHONUTF8": "1"}], ids=["ascii", "utf-8"])
def test_a_file_name_that_is_not_text_is_printed_as_bytes(environment):
    process = run(r"print('a\udcff\u2713')", **environment)
    assert process.returncode == 0 and process.stdout.startswith(b"a\xff") and process.stderr == b""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_not_an_error(closed):
    process = run("print('x'); print('y', file=sys.stderr)", closed)
    assert process.returncode == 0 and b"Traceback" not in process.stderr


def test_a_reader_that_closes_the_output_is_not_an_error():
    process = run("print('line\\\\n' * 100_000)".replace("\\\\", "\\"), "| head -1")
    assert (process.returncode, process.stdout, process.stderr) == (0, b"line\n", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_reported_in_one_line():
    process = run("print('x')", "> /dev/full")
    assert (process.returncode, process.stderr) == (2, b"error: No space left on device\n")


def test_an_error_of_the_system_is_one_line_with_the_file():
    process = run("open('/proc/none/x', 'w')")
    assert (process.returncode, process.stderr) == (2, b"error: /proc/none/x: No such file or directory\n")


def test_control_c_prints_no_traceback():
    process = run("raise KeyboardInterrupt")
    assert (process.returncode, process.stderr) == (130, b"interrupted\n")


def test_an_error_of_the_program_prints_its_traceback():
    assert b"ZeroDivisionError" in run("1 / 0").stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "empty"), ("a\nb", "control character"), ("a\x1bb", "control character"), ("a\udcff", "PYTHONUTF8=1")],
)
def test_paths_with_invalid_characters_are_refused(text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        path(text)


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert path("~/data [old]") == Path("/home/ann/data [old]")


def test_the_cache_without_a_home_folder_is_in_the_current_folder(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("Could not determine home")))
    assert default_cache_dir({}) == Path(".cache/on-device-recommender")
    assert default_cache_dir({"XDG_CACHE_HOME": "/big/cache"}) == Path("/big/cache/on-device-recommender")
