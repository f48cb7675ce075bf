"""The order of the suite."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs of the pipeline first: they are the longest, and would leave one worker alone with them at the end."""
    items.sort(key=lambda item: not {"e2e", "kubeflow"} & set(item.path.parts))
