"""The order of the suite, and the browser of all its pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# What the fast subset (`-m "not slow"`) leaves out: tests that run the pipeline, import TensorFlow, or start
# a browser or a compiler.
SLOW = (
    *("e2e", "kubeflow", "components", "benchmarks", "report", "on_device/demo", "lineage/test_speed.py"),
    *("conformance/test_kotlin.py", "conformance/test_swift.py", "conformance/test_javascript.py"),
    *("conformance/test_broken_artifacts.py", "on_device/test_npm_package.py", "on_device/test_wheel.py"),
)
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks slow tests, and puts runs of the pipeline first: at the end they would leave one worker idle."""
    for item in items:
        if item.path.relative_to(TESTS).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: not {"e2e", "kubeflow"} & set(item.path.parts))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium, where there is one; Playwright has but one a process."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip(f"no Chromium on PATH ({', '.join(CHROMIUM)})")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()
