"""The set-up finds a fitting Python, or says in one line why it cannot; done once, it does nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the set-up reads, and a PATH of tools without any Python."""
    for name in ("uv.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "setup", tmp_path / "setup", ignore=shutil.ignore_patterns("__pycache__"))
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "dirname", "cat", "cksum", "flock", "rm", "uname", "tail", "grep", "mkdir", "chmod"):
        found = shutil.which(tool)
        if found:
            (tools / tool).symlink_to(found)
    return tmp_path


def fake_python(checkout: Path, name: str, version: str, works: bool = True) -> None:
    """A program that calls itself a Python of a version, and notes what it is asked to do."""
    path = checkout / "bin" / name
    answer = f'case "$2" in *version_info*) echo {version};; esac' if works else "exit 127"
    path.write_text(f'#!/bin/sh\necho "{name} $*" >> "{checkout}/asked"\n{answer}\n[ "$1" = "-m" ] && exit 1\nexit 0\n')
    path.chmod(0o755)


def bootstrap(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": str(checkout / "bin"), "HOME": str(checkout), **environment}
    command = ["/bin/sh", str(checkout / "setup" / "bootstrap.sh")]
    return subprocess.run(command, env=variables, capture_output=True, text=True)


def chosen(checkout: Path) -> str:
    """The Python that was told to make an environment."""
    asked = (checkout / "asked").read_text().splitlines()
    return next(line.split()[0] for line in asked if " -m venv" in line)


@pytest.mark.parametrize(
    ("pythons", "expected"),
    [
        ({"python3": "3.12", "python3.11": "3.11", "python3.13": "3.13"}, "python3.11"),
        ({"python3": "3.13"}, "python3"),
        ({"python3": "3.9", "python3.10": "3.10"}, "python3.10"),
        ({"python": "3.12"}, "python"),
    ],
)
def test_prefers_311_and_takes_what_there_is(checkout, pythons, expected):
    for name, version in pythons.items():
        fake_python(checkout, name, version)
    bootstrap(checkout)
    assert chosen(checkout) == expected


def test_finds_pyenvs_where_the_shim_does_not_run(checkout):
    fake_python(checkout, "python3.11", "", works=False)
    inner = checkout / ".pyenv" / "versions" / "3.11.7" / "bin"
    inner.mkdir(parents=True)
    fake_python(checkout, "real", "3.11")
    (inner / "python").symlink_to(checkout / "bin" / "real")
    bootstrap(checkout)
    assert chosen(checkout) == "real"


@pytest.mark.parametrize(
    ("pythons", "variables", "message"),
    [
        ({}, {}, "error: no Python found; install one of 3.10 to 3.13"),
        ({"python3": "3.9"}, {}, "error: no Python of 3.10 to 3.13, only 3.9; install one"),
        ({"python3": "3.14"}, {}, "error: no Python of 3.10 to 3.13, only 3.14; install one"),
        ({"old": "3.8"}, {"PYTHON": "old"}, "error: PYTHON=old is Python 3.8; 3.10 to 3.13 is needed"),
        ({}, {"PYTHON": "nothing"}, "error: PYTHON=nothing does not run"),
        ({"python3": "3.12"}, {}, "python3 cannot make a virtual environment; install its venv module"),
    ],
)
def test_says_in_one_line_why_it_cannot(checkout, pythons, variables, message):
    for name, version in pythons.items():
        fake_python(checkout, name, version)
    done = bootstrap(checkout, **variables)
    assert done.returncode == 1
    assert message in done.stderr.strip().splitlines()[-1]
    assert not (checkout / ".venv" / ".ready").exists()


def test_done_once_it_does_nothing(checkout):
    environment = checkout / ".venv" / "bin"
    environment.mkdir(parents=True)
    (environment / "python").symlink_to(shutil.which("true"))
    state = subprocess.run(
        "{ cat uv.lock pyproject.toml setup/bootstrap.sh setup/mend_glibc.py; pwd; } | cksum",
        shell=True,
        cwd=checkout,
        capture_output=True,
        text=True,
    ).stdout
    (checkout / ".venv" / ".ready").write_text(state)
    assert bootstrap(checkout).returncode == 0
    with (checkout / "uv.lock").open("a") as stream:
        stream.write("\n")
    assert bootstrap(checkout).returncode == 1, "another lock needs another environment"
