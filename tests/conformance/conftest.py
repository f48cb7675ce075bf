"""A browser page of a version of the conformance suite's model."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from on_device.artifact import open_artifact
from on_device.demo.runtime import find_runtime
from on_device.demo.server import DemoServer, make_site
from on_device.errors import ArtifactError
from tests.conformance.generate import FOLDER


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the model's folder, which tests may break."""
    return Path(shutil.copytree(FOLDER, tmp_path_factory.mktemp("served") / "films"))


@pytest.fixture(scope="module")
def page(folder: Path, browser: Any) -> Iterator[Any]:
    """The demo of that folder in Chromium."""
    try:
        server = DemoServer(make_site(open_artifact(folder), find_runtime()))
    except ArtifactError as error:
        pytest.skip(f"no LiteRT.js: {error}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    opened = browser.new_page()
    opened.goto(server.url)
    opened.wait_for_selector("#demo[aria-busy=false]")
    yield opened
    opened.close()
    server.shutdown()
    server.server_close()
    thread.join()
