"""The result of a step is used from the cache only if the code and libraries that determine it are unchanged."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import pytest

from components import code_version
from components.code_version import ROOT, file_version, step_version

STEPS = ("example_gen", "example_validator", "transform", "tuner", "trainer", "evaluator", "pusher")
PACKAGES = ("components", "data", "on_device", "pipeline", "lineage", "report")
IMPORTED = {
    ("example_gen", "data/readers.py"),
    ("example_gen", "data/formats.py"),
    ("example_gen", "components/example_gen/timelines.py"),
    ("example_validator", "components/example_validator/drift.py"),
    ("transform", "components/transform/preprocessing.py"),
    ("tuner", "components/trainer/model.py"),
    ("trainer", "components/trainer/fit.py"),
    ("evaluator", "components/evaluator/metrics.py"),
    ("evaluator", "components/evaluation.py"),
    ("pusher", "on_device/tflite_model.py"),
    ("pusher", "components/pusher/quantize.py"),
}
NOT_IMPORTED = [
    *((step, "report/page.py") for step in STEPS),
    *((step, "lineage/text.py") for step in STEPS),
    ("example_gen", "components/trainer/fit.py"),
    ("trainer", "data/readers.py"),
    ("trainer", "components/pusher/quantize.py"),
    ("evaluator", "components/trainer/fit.py"),
    ("pusher", "data/readers.py"),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's packages that tests change."""
    root = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def version_with_a_change(step: str, file: str, tree: Path) -> str:
    before = (tree / file).read_bytes()
    (tree / file).write_bytes(before + b"CHANGED = True\n")
    try:
        return step_version(step, tree)
    finally:
        (tree / file).write_bytes(before)


@pytest.mark.parametrize(("step", "file"), sorted(IMPORTED))
def test_a_change_of_imported_code_changes_the_version(step: str, file: str, tree: Path) -> None:
    assert version_with_a_change(step, file, tree) != step_version(step, tree) == step_version(step)


@pytest.mark.parametrize(("step", "file"), NOT_IMPORTED)
def test_a_change_of_other_code_keeps_the_version(step: str, file: str, tree: Path) -> None:
    assert version_with_a_change(step, file, tree) == step_version(step, tree)


@pytest.mark.parametrize(
    ("step", "library"),
    [("example_gen", "pyarrow"), ("trainer", "keras"), ("evaluator", "tensorflow-model-analysis"), ("pusher", "numpy")],
)
def test_another_version_of_a_library_changes_the_version(
    step: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, version = step_version(step), importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99" if name == library else version(name))
    assert step_version(step) != before


def test_the_version_of_the_schema_depends_on_its_content(tree: Path) -> None:
    schema, before = tree / "data" / "schema.pbtxt", file_version("data/schema.pbtxt")
    assert file_version("data/schema.pbtxt", tree) == before
    schema.write_text(schema.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert file_version("data/schema.pbtxt", tree) != before


def test_the_version_of_the_project_depends_only_on_modules_of_packages(tmp_path):
    for package in code_version.STEP_PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    first = code_version.project_version(tmp_path)
    (tmp_path / "data" / "shop").mkdir()
    (tmp_path / "data" / "shop" / "export.py").write_text("print(1)")
    (tmp_path / "on_device" / "build" / "lib" / "on_device").mkdir(parents=True)
    (tmp_path / "on_device" / "build" / "lib" / "on_device" / "__init__.py").write_text("old = 1")
    assert code_version.project_version(tmp_path) == first
    for package in code_version.STEP_PACKAGES:
        (tmp_path / package / "new.py").write_text("")
        changed = code_version.project_version(tmp_path)
        assert changed != first, package
        first = changed
