"""The content of the Dockerfile; `make image-test` builds the image and runs it."""

from __future__ import annotations

import fnmatch
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str, str]]:
    """Returns stage, instruction and arguments of each instruction, with continued lines joined."""
    parsed, stage = [], ""
    lines = [line for line in TEXT.splitlines() if line and not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.rpartition(" AS ")[2]
        parsed.append((stage, word, rest))
    return parsed


def copied(stage: str) -> list[str]:
    """Returns the sources that a stage copies from the build context."""
    sources = []
    for instruction_stage, word, rest in instructions():
        if (instruction_stage, word) == (stage, "COPY") and not rest.startswith("--from"):
            sources += shlex.split(rest)[:-1]
    return sources


def in_context(path: str) -> bool:
    """Returns whether .dockerignore includes a path of the top folder; the last matching rule decides."""
    included = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        rule = line.removeprefix("!")
        if line and not line.startswith("#") and fnmatch.fnmatch(path, rule):
            included = line.startswith("!")
    return included


def environment(stage: str) -> dict[str, str]:
    pairs = [
        pair
        for instruction_stage, word, rest in instructions()
        if (instruction_stage, word) == (stage, "ENV")
        for pair in shlex.split(rest)
    ]
    return dict(pair.split("=", 1) for pair in pairs)


def test_the_image_installs_with_the_command_of_make_setup():
    recipe = re.search(r"^setup:\n\t@?(.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert recipe is not None
    (install,) = [rest for stage, word, rest in instructions() if (stage, word) == ("environment", "RUN")]
    variables, command = re.fullmatch(r'((?:\w+=(?:"[^"]*"|\S+) )*)(.+)', install.partition(" &&")[0]).groups()
    assert command == recipe[1] == "sh setup/bootstrap.sh"
    assert "--group setup" in variables, "the patch needs this group"
    assert "${GPU:+ --group gpu}" in variables, "only on demand"
    assert not re.search(r"\bpip install\b", install)


def test_the_files_that_the_set_up_reads_are_copied_before_it_runs():
    order = [(word, rest) for stage, word, rest in instructions() if stage == "environment"]
    install = next(n for n, (word, rest) in enumerate(order) if word == "RUN" and "bootstrap.sh" in rest)
    before = {source for word, rest in order[:install] if word == "COPY" for source in shlex.split(rest)[:-1]}
    script = (ROOT / "setup" / "bootstrap.sh").read_text(encoding="utf-8")
    for name in ("uv.lock", "pyproject.toml", "setup"):
        assert name in script and name in before


def test_the_set_up_passes_groups_on_and_installs_all_by_default():
    script = (ROOT / "setup" / "bootstrap.sh").read_text(encoding="utf-8")
    assert "sync --frozen ${SETUP_GROUPS:---all-groups --no-group gpu --no-group docs} " in script, (
        "CUDA only on request"
    )


@pytest.mark.parametrize("stage", ["environment", "project"])
def test_copied_sources_exist_in_the_build_context(stage):
    assert copied(stage)
    for source in copied(stage):
        assert (ROOT / source).exists() and in_context(source)
    for left_out in (".git", ".venv", "output", "serving_models", "tests"):
        assert not in_context(left_out)


def test_every_package_of_the_runners_is_copied():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "setup", "tests"}
    assert {"pipeline", "components", "report", "lineage"} <= packages
    assert packages | {"local_runner.py", "kubeflow_runner.py"} <= set(copied("project"))


def test_own_logs_are_not_in_the_image():
    assert in_context("data/readers.py") and in_context("data/sample") and in_context("data/schema.pbtxt")
    assert not in_context("data/purchases.csv") and not in_context("data/ml-1m.zip")


def test_the_user_of_the_steps_can_write_outputs_and_read_other_files():
    (command,) = [
        rest for stage, word, rest in instructions() if (stage, word) == ("project", "RUN") and "install" in rest
    ]
    assert "install -d -o recommender output serving_models" in command
    (readable,) = re.findall(r"chmod -R a\+rX ([^&]+)", command)
    assert set(readable.split()) == set(copied("project")), "with any umask of the checkout"


def test_tensorflow_finds_the_driver_that_gke_mounts():
    assert environment("project")["LD_LIBRARY_PATH"] == "/usr/local/nvidia/lib64"


def test_steps_do_not_run_as_root_and_find_their_python_first():
    words = [(word, rest) for stage, word, rest in instructions() if stage == "project"]
    assert words[-1][0] == "USER" and int(words[-1][1]) > 0, "a number, or Kubeflow's pods do not start"
    assert environment("project")["PATH"].split(":")[0] == "/app/.venv/bin"
    assert environment("project")["PYTHONPATH"] == "/app"
    *_, (last, _, _) = instructions()
    assert last == "recommender", "the default target"


def test_all_stages_have_the_same_supported_python():
    bases = {rest.split()[0] for _, word, rest in instructions() if word == "FROM"} - {"project"}
    assert bases == {"${BASE}"}
    version = re.search(r"^ARG BASE=python:(\d\.\d+)-slim-trixie$", TEXT, re.M)[1]
    assert version in ("3.10", "3.11", "3.12", "3.13")
    beam = re.search(r"beam_python(\d\.\d+)_sdk:([\d.]+) ", TEXT)
    assert beam[1] == version
    assert f'name = "apache-beam"\nversion = "{beam[2]}"' in (ROOT / "uv.lock").read_text(encoding="utf-8")


def test_the_copied_project_can_be_imported(tmp_path):
    (tmp_path / "app").mkdir()
    for source in copied("project"):
        origin = ROOT / source
        if origin.is_dir():
            shutil.copytree(origin, tmp_path / "app" / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, tmp_path / "app" / source)
    variables = {"PYTHONPATH": str(tmp_path / "app"), "PATH": ""}
    code = "import components.settings, data.formats, on_device, pipeline.config; print(pipeline.config.__file__)"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(str(tmp_path))
    assert (tmp_path / "app" / "data" / "schema.pbtxt").is_file(), "the curated schema"
