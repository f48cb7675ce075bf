"""The workflows of GitHub run only commands that exist; `make lint` checks their form."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - {"output"}


def scripts() -> list[str]:
    """Returns the shell commands of every step of every workflow."""
    workflows = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))]
    steps = [step for workflow in workflows for job in workflow["jobs"].values() for step in job["steps"]]
    return [step["run"] for step in steps if "run" in step]


def missing(script: str, targets: set[str]) -> set[str]:
    """Returns the make targets, files, and Python modules that a script names and this project lacks."""
    paths_in_script = set(re.findall(r"(?<![\w/.:-])(?:[\w-]+/)*[\w-]+\.(?:py|sh|yaml)\b", script))
    paths_in_script |= {
        path for path in re.findall(r"(?<![\w/.:-])[\w.-]+/[\w./-]+", script) if path.split("/")[0] in FOLDERS
    }
    written = set(re.findall(r"> (\S+)", script))
    imports = [name for names in re.findall(r"\bimport ([\w., ]+)", script) for name in names.split(", ")]
    paths = {name: ROOT / name.replace(".", "/") for name in imports} | {
        name: ROOT / name for name in paths_in_script - written
    }
    absent = {name for name, path in paths.items() if not path.exists() and not path.with_suffix(".py").exists()}
    return absent | (set(re.findall(r"\bmake ([\w-]+)", script)) - targets)


@pytest.fixture(scope="module")
def targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("script", scripts())
def test_commands_exist(script: str, targets: set[str]) -> None:
    assert missing(script, targets) == set()
    subprocess.run(["bash", "-n", "-c", script], check=True)


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("make tests ARGS=-x", "tests"),
        (".venv/bin/python runner.py --wait", "runner.py"),
        ("aws s3 cp data/samples s3://bucket/data/samples", "data/samples"),
        ('python -c "import cluster.container, reports"', "reports"),
    ],
)
def test_a_missing_command_is_found(script: str, name: str, targets: set[str]) -> None:
    assert missing(script, targets) == {name}
