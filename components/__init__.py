"""The steps of the pipeline."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # TFX on Kubeflow Pipelines imports the artifact type as `components.ItemCatalog`. The import is lazy, so that
    # modules without TFX, such as settings, load fast.
    if name == "ItemCatalog":
        from components.artifacts import ItemCatalog

        return ItemCatalog
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
