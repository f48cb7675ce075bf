"""The client as a wheel: built, installed into a separate environment, used, and type-checked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import on_device
from tests.conformance.generate import FOLDER

CLIENT = Path(on_device.__file__).parent
USE = """
import json, sys
from on_device import Recommender
recommender = Recommender.load(sys.argv[1])
history = [recommender.catalogue.titled("Toy Story (1995)")]
best = recommender.recommend(history, k=1, diversity=0.2)[0]
print(json.dumps([best.id, recommender.similar(best.id, k=1)[0].id, recommender.because(history, best.id)[0].item.id]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, because a build leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = shutil.copytree(CLIENT, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(copy)]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode and "No matching distribution" in process.stderr:
        pytest.skip("the package index does not respond")
    assert process.returncode == 0, process.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_has_all_kinds_of_files(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert wheel.name.startswith("on_device_recommender_client-")
    assert {"on_device/py.typed", "on_device/web/index.js", "on_device/demo/page/index.html"} <= names
    assert "on_device/samples/android/app/src/main/kotlin/recommender/Recommender.kt" in names
    assert wheel.stat().st_size < 150_000


def test_the_client_runs_with_only_its_dependencies(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment)
    python = environment / "bin" / "python"
    # NumPy and LiteRT are linked from this environment, so that the test needs no package index.
    site = next((environment / "lib").iterdir()) / "site-packages"
    for name in ("numpy", "numpy.libs", "ai_edge_litert", "google", "flatbuffers", "tqdm", "backports"):
        installed = Path(sys.prefix, "lib", site.parent.name, "site-packages", name)
        if installed.exists():
            (site / name).symlink_to(installed)
    for info in Path(sys.prefix, "lib", site.parent.name, "site-packages").glob("ai_edge_litert-*"):
        (site / info.name).symlink_to(info)
    zipfile.ZipFile(wheel).extractall(site)
    process = subprocess.run([python, "-c", USE, str(FOLDER)], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    best, similar, reason = json.loads(process.stdout)
    assert reason == "1002" and len({best, similar, reason}) == 3


def test_mypy_uses_the_type_hints_of_the_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    (tmp_path / "app.py").write_text(
        "from on_device import Recommender\n"
        "recommender = Recommender.load('shop')\n"
        "titles: list[str] = [item.title for item in recommender.recommend(['a'], k=3, deny=['b'])]\n"
        "wrong: int = recommender.similar('a')\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent", "app.py"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "app.py:4: error: Incompatible types in assignment" in process.stdout
    assert "Found 1 error in 1 file" in process.stdout, process.stdout
