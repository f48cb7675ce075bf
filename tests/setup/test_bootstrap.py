"""The set-up finds a suitable Python or reports in one line why it cannot, and runs only once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "cat", "cksum", "rm", "cp", "uname", "head", "tail", "grep", "sed")

# A fake Python: it answers the questions of the set-up, logs its calls, and creates an environment with itself as
# `python` and a `uv` that logs its calls.
FAKE = """#!/bin/sh
case "$*" in
    *version_info*) echo "{version}" ;;
    *base_prefix*) echo "{version} {name}" ;;
    *libc_ver*) echo "{libc}" ;;
    "-m venv"*)
        echo "{name} venv" >>"{log}"
        {venv} || exit 1
        for folder in "$@"; do :; done
        rm -rf "$folder" && mkdir -p "$folder/bin" && cp "{path}" "$folder/bin/python"
        printf '#!/bin/sh\\necho "uv $*" >>"{log}"\\n{uv}\\n' >"$folder/bin/uv" && chmod +x "$folder/bin/uv" ;;
    "-m pip"*) echo "{name} pip" >>"{log}" ;;
    *patch_glibc*) echo "patch" >>"{log}" ;;
esac
"""


class Checkout:
    """A folder with the files that the set-up reads, and a PATH of tools without any Python."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root.parent / "log"
        self.bin = root.parent / "bin"
        self.bin.mkdir()
        root.mkdir()
        for name in ("uv.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, root / name)
        shutil.copytree(ROOT / "setup", root / "setup", ignore=shutil.ignore_patterns("__pycache__"))
        for tool in (*TOOLS, "mkdir", "chmod"):
            (self.bin / tool).symlink_to(shutil.which(tool) or pytest.skip(f"no {tool} here"))

    def add_python(
        self, name: str, version: str, *, folder: Path | None = None, venv: bool = True, libc: str = "glibc2.36", uv=""
    ) -> None:
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        answers = {"name": name, "version": version, "libc": libc, "uv": uv, "venv": str(venv).lower()}
        path.write_text(FAKE.format(path=path, log=self.log, **answers))
        path.chmod(0o755)

    def set_up(self, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {"PATH": str(self.bin), "HOME": str(self.root.parent), **environment}
        command = [str(self.bin / "sh"), str(self.root / "setup" / "bootstrap.sh")]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)

    def calls(self) -> list[str]:
        """Returns the logged calls, and clears the log."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def error(self, **environment: str) -> str:
        """Returns the last line of a set-up that must fail with exit status 1."""
        process = self.set_up(**environment)
        assert process.returncode == 1, process
        assert not (self.root / ".venv" / ".ready").exists()
        return process.stderr.splitlines()[-1]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a checkout")


@pytest.mark.parametrize(
    ("pythons", "expected"),
    [
        ({"python3": "3.12", "python3.11": "3.11", "python3.13": "3.13"}, "python3.11"),
        ({"python3.10": "3.10", "python3.12": "3.12", "python3.13": "3.13"}, "python3.12"),
        ({"python3": "3.13"}, "python3"),
        ({"python3": "3.9", "python3.10": "3.10"}, "python3.10"),
        ({"python": "3.12", "python3": "3.14"}, "python"),
        ({"python3.11": "3.11 without ssl", "python3.13": "3.13"}, "python3.13"),
    ],
)
def test_the_set_up_prefers_python_311_and_accepts_others(checkout, pythons, expected):
    for name, version in pythons.items():
        checkout.add_python(name, version)
    process = checkout.set_up()
    assert process.returncode == 0, process
    assert checkout.calls()[0] == f"{expected} venv"
    assert len(process.stderr.splitlines()) <= 3 and not process.stdout


def test_the_set_up_finds_the_python_of_pyenv_behind_a_broken_shim(checkout):
    (checkout.bin / "python3.11").write_text("#!/bin/sh\nexit 127\n")
    (checkout.bin / "python3.11").chmod(0o755)
    checkout.add_python("python", "3.12", folder=checkout.root.parent / ".pyenv" / "versions" / "3.12.1" / "bin")
    assert checkout.set_up().returncode == 0
    assert checkout.calls()[0] == "python venv"


def test_the_set_up_tries_the_next_python_if_one_has_no_venv_module(checkout):
    checkout.add_python("python3.11", "3.11", venv=False)
    checkout.add_python("python3.12", "3.12")
    assert checkout.set_up().returncode == 0
    assert checkout.calls()[:3] == ["python3.11 venv", "python3.11 venv", "python3.12 venv"]


@pytest.mark.parametrize(
    ("pythons", "variables", "message"),
    [
        ({}, {}, "error: no Python of 3.10 to 3.13 found; install one"),
        ({"python3": "3.9"}, {}, "error: no Python of 3.10 to 3.13, only 3.9; install one"),
        ({"python3": "3.14", "python": "2.7"}, {}, "error: no Python of 3.10 to 3.13, only 3.14, 2.7; install one"),
        ({"python3": "3.12 without ssl"}, {}, "error: no Python of 3.10 to 3.13, only 3.12 without ssl; install one"),
        ({"old": "3.8"}, {"PYTHON": "old"}, "error: PYTHON=old is Python 3.8; 3.10 to 3.13 is needed"),
        ({"python3": "3.12"}, {"PYTHON": "nothing"}, "error: PYTHON=nothing does not run; give the path"),
    ],
)
def test_the_error_for_no_suitable_python_is_one_line(checkout, pythons, variables, message):
    for name, version in pythons.items():
        checkout.add_python(name, version)
    assert checkout.error(**variables).startswith(message)
    assert not (checkout.root / ".venv").exists()


@pytest.mark.parametrize("variables", [{}, {"PYTHON": "python3"}])
def test_a_missing_venv_module_is_an_error(checkout, variables):
    checkout.add_python("python3", "3.12", venv=False)
    assert checkout.error(**variables) == (
        "error: python3 cannot make a virtual environment; install its venv module (apt install python3-venv)"
    )
    assert not (checkout.root / ".venv").exists()


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="wheels of Linux on x86_64")
@pytest.mark.parametrize(
    ("libc", "outcome"),
    [
        ("glibc2.35", "--python-platform x86_64-manylinux_2_40"),
        ("glibc2.38", "--python-platform x86_64-manylinux_2_40"),
        ("glibc2.39", ""),
        ("glibc2.41", ""),
        ("glibc2.31", "error: glibc 2.31 is too old for the dependencies; 2.34 is needed"),
        ("musl1.2.4", "error: the dependencies need the C library glibc"),
        ("", "error: the dependencies need the C library glibc"),
    ],
)
def test_wheels_of_a_newer_c_library_are_installed_only_on_an_older_one(checkout, libc, outcome):
    checkout.add_python("python3", "3.12", libc=libc)
    if outcome.startswith("error"):
        assert checkout.error().startswith(outcome)
    else:
        assert checkout.set_up().returncode == 0
        (sync,) = (call for call in checkout.calls() if call.startswith("uv "))
        assert sync.startswith("uv sync --frozen --all-groups")
        assert sync.partition("--python .venv/bin/python")[2].strip() == outcome


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="wheels of Linux on x86_64")
def test_patches_of_packages_are_announced_and_can_be_refused(checkout):
    checkout.add_python("python3", "3.12", libc="glibc2.36")
    assert checkout.error(SETUP_PATCH="no") == (
        "error: ml-metadata and tensorflow-data-validation need glibc 2.39, this Linux has 2.36, and SETUP_PATCH=no "
        "does not allow patching them; use a newer Linux, or the image (docs/install.md)"
    )
    assert not [call for call in checkout.calls() if call.startswith("uv ") or call == "patch"]
    process = checkout.set_up()
    assert process.returncode == 0 and "patch" in checkout.calls()
    assert "Patching two packages built for glibc 2.39 so that they load on 2.36" in process.stderr


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="wheels of Linux on x86_64")
def test_no_patches_are_announced_on_a_newer_c_library(checkout):
    checkout.add_python("python3", "3.12", libc="glibc2.41")
    process = checkout.set_up(SETUP_PATCH="no")
    assert process.returncode == 0 and "Patching" not in process.stderr


def test_linux_on_another_processor_is_refused_in_one_line(checkout):
    checkout.add_python("python3", "3.12")
    (checkout.bin / "uname").unlink(missing_ok=True)
    (checkout.bin / "uname").write_text('#!/bin/sh\n[ "$1" = -m ] && echo aarch64 || echo Linux aarch64\n')
    (checkout.bin / "uname").chmod(0o755)
    assert checkout.error() == (
        "error: TFX's libraries have no wheels for Linux on aarch64; build an image with docker build --platform "
        "linux/amd64"
    )
    assert not [call for call in checkout.calls() if call.startswith("uv sync")]


def test_the_set_up_runs_again_only_after_a_change(checkout):
    checkout.add_python("python3", "3.12")
    assert checkout.set_up().returncode == 0
    assert [call.split()[0] for call in checkout.calls()] == ["python3", "python3", "uv", "patch"]
    process = checkout.set_up()
    assert (process.returncode, process.stderr, checkout.calls()) == (0, "", [])
    assert not (checkout.root / "setup.log").exists()

    with (checkout.root / "pyproject.toml").open("a") as stream:
        stream.write("# another line\n")
    assert checkout.set_up().returncode == 0
    assert "python3 venv" not in checkout.calls(), "the environment is updated in place"
    assert checkout.set_up().returncode == 0
    assert not checkout.calls()


def test_another_python_replaces_the_environment_and_is_kept(checkout):
    checkout.add_python("python3.11", "3.11")
    checkout.add_python("python3.13", "3.13")
    assert checkout.set_up().returncode == 0
    assert checkout.calls()[0] == "python3.11 venv"
    assert checkout.set_up(PYTHON="python3.11").returncode == 0
    assert not checkout.calls()
    assert checkout.set_up(PYTHON="python3.13").returncode == 0
    assert checkout.calls()[0] == "python3.13 venv"
    assert checkout.set_up().returncode == 0
    assert not checkout.calls()


def test_a_moved_folder_is_set_up_again(checkout):
    checkout.add_python("python3", "3.12")
    assert checkout.set_up().returncode == 0
    checkout.calls()
    checkout.root = checkout.root.rename(checkout.root.parent / "moved")
    assert checkout.set_up().returncode == 0
    assert checkout.calls()[0] == "python3 venv"


def test_an_interrupted_set_up_starts_again(checkout):
    checkout.add_python("python3", "3.12", uv="kill -9 $PPID")
    assert checkout.set_up().returncode == -9
    checkout.calls()
    checkout.add_python("python3", "3.12")
    assert checkout.set_up().returncode == 0
    assert checkout.calls()[0] == "python3 venv"


def test_the_error_for_a_failed_installation_is_one_line(checkout):
    checkout.add_python("python3", "3.12", uv="echo error: no space left; echo hint: none; exit 2")
    message = "error: the dependencies could not be installed; check the network: no space left (full log: setup.log)"
    assert checkout.error() == message


def test_a_concurrent_set_up_waits_and_does_nothing(checkout):
    (checkout.bin / "sleep").symlink_to(shutil.which("sleep"))
    checkout.add_python("python3", "3.12", uv="sleep 1")
    # Fake Pythons cannot lock files, so a real Python locks for them.
    script = (checkout.bin / "python3").read_text()
    locking = f'    *fcntl*) exec {sys.executable} "$@" ;;\n'
    (checkout.bin / "python3").write_text(script.replace('case "$*" in\n', 'case "$*" in\n' + locking))
    command = [str(checkout.bin / "sh"), str(checkout.root / "setup" / "bootstrap.sh")]
    variables = {"PATH": str(checkout.bin), "HOME": str(checkout.root)}
    processes = [
        subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    messages = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], messages
    assert [call.split()[0] for call in checkout.calls()] == ["python3", "python3", "uv", "patch"]
    assert sorted("Waiting" in message for message in messages) == [False, True]
