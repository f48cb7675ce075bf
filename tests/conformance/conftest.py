"""A browser page with the model of the conformance suite."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from on_device.artifact import open_artifact
from on_device.demo.runtime import find_runtime
from on_device.demo.server import DemoServer
from on_device.errors import ArtifactError
from tests.conformance.generate import FOLDER
from tests.on_device.servers import running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the model's folder, which tests may change."""
    return Path(shutil.copytree(FOLDER, tmp_path_factory.mktemp("served") / "films"))


@pytest.fixture(scope="module")
def page(folder: Path, browser: Any) -> Iterator[Any]:
    """The demo of the folder in Chromium."""
    try:
        server = DemoServer(open_artifact(folder), find_runtime())
    except ArtifactError as error:
        pytest.skip(f"no LiteRT.js: {error}")
    with running(server), browser.new_page() as page:
        page.goto(server.url)
        page.wait_for_selector("#demo[aria-busy=false]")
        yield page
