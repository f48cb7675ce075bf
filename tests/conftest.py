"""The order of the suite, and the browser of all its pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs of the pipeline first: they are the longest, and would leave one worker alone with them at the end."""
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
