"""The order of the tests, the shared runs of the pipeline, and the shared browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.shared_runs import SharedRun, run_on_sample, run_on_shop, run_once

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


# Excluded from the fast subset (`-m "not slow"`): tests that run the pipeline, import TensorFlow, or start
# a browser or a compiler.
SLOW = (
    *("e2e", "kubeflow", "components", "benchmarks", "report", "on_device/demo", "lineage/test_speed.py"),
    *("conformance/test_kotlin.py", "conformance/test_swift.py", "conformance/test_javascript.py"),
    *("conformance/test_broken_artifacts.py", "on_device/test_npm_package.py", "on_device/test_wheel.py"),
)
TESTS = Path(__file__).parent
# Beam creates thousands of parsers. With this, argparse does not search the disk for translations.
os.environ.setdefault("LANGUAGE", "C")
# The longest files first: at the end they would leave one worker idle. The first two files start at the same time, in
# different workers; the Kubeflow tests need the shop's run late, when the other worker has finished it.
FIRST = ("kubeflow/test_pipeline_on_kubeflow.py", "e2e/test_own_data.py", "e2e/test_pipeline_on_sample.py", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks slow tests, and sorts the longest files to the start."""
    ranks: dict[Path, int] = {}
    for item in items:
        name = item.path.relative_to(TESTS).as_posix()
        if name.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        ranks[item.path] = next((rank for rank, prefix in enumerate(FIRST) if name.startswith(prefix)), len(FIRST))
    items.sort(key=lambda item: ranks[item.path])


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    """A run on the sample. Only `e2e/test_pipeline_on_sample.py` runs again in its folders."""
    return run_once(tmp_path_factory, "sample_run", run_on_sample)


@pytest.fixture(scope="session")
def shop_run(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    """A run on the log of a shop."""
    return run_once(tmp_path_factory, "shop_run", run_on_shop)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Starts Chromium, or skips the test without one; Playwright can start only once in a process."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip(f"no Chromium on PATH ({', '.join(CHROMIUM)})")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()
