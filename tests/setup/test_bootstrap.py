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

# A Python by name only: it answers the set-up's questions, logs them, and makes an environment that holds
# itself as `python` and a `uv` that notes its call.
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
    """A folder with what the set-up reads, and a PATH of tools without any Python."""

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
        """What was called since the last question."""
        found = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return found

    def error(self, **environment: str) -> str:
        """The last line of a set-up that must fail with exit status 1."""
        done = self.set_up(**environment)
        assert done.returncode == 1, done
        assert not (self.root / ".venv" / ".ready").exists()
        return done.stderr.splitlines()[-1]


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
def test_prefers_311_and_takes_what_there_is(checkout, pythons, expected):
    for name, version in pythons.items():
        checkout.add_python(name, version)
    done = checkout.set_up()
    assert done.returncode == 0, done
    assert checkout.calls()[0] == f"{expected} venv"
    assert len(done.stderr.splitlines()) <= 3 and not done.stdout


def test_finds_pyenvs_python_behind_a_shim_that_does_not_run(checkout):
    (checkout.bin / "python3.11").write_text("#!/bin/sh\nexit 127\n")
    (checkout.bin / "python3.11").chmod(0o755)
    checkout.add_python("python", "3.12", folder=checkout.root.parent / ".pyenv" / "versions" / "3.12.1" / "bin")
    assert checkout.set_up().returncode == 0
    assert checkout.calls()[0] == "python venv"


def test_goes_on_where_a_python_cannot_make_an_environment(checkout):
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
def test_says_in_one_line_that_no_python_fits(checkout, pythons, variables, message):
    for name, version in pythons.items():
        checkout.add_python(name, version)
    assert checkout.error(**variables).startswith(message)
    assert not (checkout.root / ".venv").exists()


@pytest.mark.parametrize("variables", [{}, {"PYTHON": "python3"}])
def test_says_that_the_venv_module_is_missing(checkout, variables):
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
def test_takes_wheels_of_a_newer_c_library_only_where_it_is_older(checkout, libc, outcome):
    checkout.add_python("python3", "3.12", libc=libc)
    if outcome.startswith("error"):
        assert checkout.error().startswith(outcome)
    else:
        assert checkout.set_up().returncode == 0
        (sync,) = (call for call in checkout.calls() if call.startswith("uv "))
        assert sync.startswith("uv sync --frozen --all-groups")
        assert sync.partition("--python .venv/bin/python")[2].strip() == outcome


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="wheels of Linux on x86_64")
def test_changes_of_packages_are_announced_and_can_be_refused(checkout):
    checkout.add_python("python3", "3.12", libc="glibc2.36")
    assert checkout.error(SETUP_PATCH="no") == (
        "error: ml-metadata and tensorflow-data-validation need glibc 2.39, this Linux has 2.36, and SETUP_PATCH=no "
        "does not allow patching them; use a newer Linux, or the image (docs/install.md)"
    )
    assert not [call for call in checkout.calls() if call.startswith("uv ") or call == "patch"]
    done = checkout.set_up()
    assert done.returncode == 0 and "patch" in checkout.calls()
    assert "Patching two packages built for glibc 2.39 so that they load on 2.36" in done.stderr


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="wheels of Linux on x86_64")
def test_nothing_is_announced_on_a_newer_c_library(checkout):
    checkout.add_python("python3", "3.12", libc="glibc2.41")
    done = checkout.set_up(SETUP_PATCH="no")
    assert done.returncode == 0 and "Patching" not in done.stderr


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


def test_done_once_it_does_nothing_until_something_changes(checkout):
    checkout.add_python("python3", "3.12")
    assert checkout.set_up().returncode == 0
    assert [call.split()[0] for call in checkout.calls()] == ["python3", "python3", "uv", "patch"]
    done = checkout.set_up()
    assert (done.returncode, done.stderr, checkout.calls()) == (0, "", [])
    assert not (checkout.root / "setup.log").exists()

    with (checkout.root / "pyproject.toml").open("a") as stream:
        stream.write("# another line\n")
    assert checkout.set_up().returncode == 0
    assert "python3 venv" not in checkout.calls(), "brought up to date in place"
    assert checkout.set_up().returncode == 0
    assert not checkout.calls()


def test_another_python_makes_another_environment_and_stays(checkout):
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


def test_an_interrupted_set_up_is_begun_anew(checkout):
    checkout.add_python("python3", "3.12", uv="kill -9 $PPID")
    assert checkout.set_up().returncode == -9
    checkout.calls()
    checkout.add_python("python3", "3.12")
    assert checkout.set_up().returncode == 0
    assert checkout.calls()[0] == "python3 venv"


def test_a_failed_installation_is_told_in_one_line(checkout):
    checkout.add_python("python3", "3.12", uv="echo error: no space left; echo hint: none; exit 2")
    message = "error: the dependencies could not be installed; check the network: no space left (full log: setup.log)"
    assert checkout.error() == message


def test_of_two_at_once_one_waits_and_finds_the_work_done(checkout):
    (checkout.bin / "sleep").symlink_to(shutil.which("sleep"))
    checkout.add_python("python3", "3.12", uv="sleep 1")
    # Fake Pythons lock nothing, so that a real one does it for them.
    fake = (checkout.bin / "python3").read_text()
    locking = f'    *fcntl*) exec {sys.executable} "$@" ;;\n'
    (checkout.bin / "python3").write_text(fake.replace('case "$*" in\n', 'case "$*" in\n' + locking))
    command = [str(checkout.bin / "sh"), str(checkout.root / "setup" / "bootstrap.sh")]
    variables = {"PATH": str(checkout.bin), "HOME": str(checkout.root)}
    both = [
        subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    messages = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], messages
    assert [call.split()[0] for call in checkout.calls()] == ["python3", "python3", "uv", "patch"]
    assert sorted("Waiting" in message for message in messages) == [False, True]
