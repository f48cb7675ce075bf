"""What every command line shares: any encoding of the terminal, closed streams, errors of the system, paths."""

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
    """A command line whose main function is `body`; `shell` follows the command."""
    command = f'exec "$0" -c "$1" {shell}' if "|" not in shell else f'"$0" -c "$1" {shell}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command, sys.executable, PROGRAM.replace("BODY", body)],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=60,
    )


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0"}


def test_characters_that_the_terminal_lacks_become_plain_ones():
    done = run(r"print('\u2713 L\u00e9on 12 \u00b5s \u65e5')", **ASCII)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"+ Leon 12 us ?\n", b"")


@pytest.mark.parametrize("environment", [ASCII, {"PYTHONUTF8": "1"}], ids=["ascii", "utf-8"])
def test_a_file_name_that_is_no_text_is_printed_as_its_bytes(environment):
    done = run(r"print('a\udcff\u2713')", **environment)
    assert done.returncode == 0 and done.stdout.startswith(b"a\xff") and done.stderr == b""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(closed):
    done = run("print('x'); print('y', file=sys.stderr)", closed)
    assert done.returncode == 0 and b"Traceback" not in done.stderr


def test_a_reader_that_has_read_enough_is_no_error():
    done = run("print('line\\\\n' * 100_000)".replace("\\\\", "\\"), "| head -1")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"line\n", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
def test_an_output_without_room_is_one_line():
    done = run("print('x')", "> /dev/full")
    assert (done.returncode, done.stderr) == (2, b"error: No space left on device\n")


def test_an_error_of_the_system_names_the_file_in_one_line():
    done = run("open('/proc/none/x', 'w')")
    assert (done.returncode, done.stderr) == (2, b"error: /proc/none/x: No such file or directory\n")


def test_control_c_ends_without_a_traceback():
    done = run("raise KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (130, b"interrupted\n")


def test_a_mistake_in_the_program_keeps_its_traceback():
    assert b"ZeroDivisionError" in run("1 / 0").stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "empty"), ("a\nb", "control character"), ("a\x1bb", "control character"), ("a\udcff", "PYTHONUTF8=1")],
)
def test_paths_that_messages_and_stores_cannot_hold_are_refused(text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        path(text)


def test_tilde_is_the_home_folder_also_behind_an_equals_sign(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert path("~/data [old]") == Path("/home/ann/data [old]")


def test_cache_without_a_home_folder_is_in_the_current_one(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("Could not determine home")))
    assert default_cache_dir({}) == Path(".cache/on-device-recommender")
    assert default_cache_dir({"XDG_CACHE_HOME": "/big/cache"}) == Path("/big/cache/on-device-recommender")
