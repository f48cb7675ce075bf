"""The order of the suite."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs of the pipeline first: they are the longest, and would leave a worker alone at the end."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)
