"""A compiled pipeline, and a console that records its output."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tests.cluster.deployments import SPEC


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return path


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200, no_color=True, markup=False)
