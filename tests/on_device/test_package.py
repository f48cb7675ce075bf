"""`pip install ./on_device` installs every file of the client and every package that it imports."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "on_device"
SOURCES = sorted(CLIENT.rglob("*.py"))


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((CLIENT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_and_file_is_installed(project):
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in SOURCES if path.name == "__init__.py"}
    setuptools = project["tool"]["setuptools"]
    assert set(setuptools["packages"]) == packages
    installed = {
        path
        for package, patterns in setuptools["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    data_files = {path for path in CLIENT.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert data_files - installed == {CLIENT / "pyproject.toml"}


def test_only_dependencies_are_imported(project):
    names = {"ai-edge-litert": "ai_edge_litert", "numpy": "numpy"}
    allowed = {"on_device", *(names[name] for name in project["project"]["dependencies"]), *sys.stdlib_module_names}
    imported = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0 and node.module
                imported.add(node.module.split(".")[0])
    assert imported <= allowed
    assert {"ai_edge_litert", "numpy"} <= imported
