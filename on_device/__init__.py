"""The Python client of a pushed model, with LiteRT and NumPy as its only dependencies.

The names below are imported on first use, because `on_device.command_line` needs neither NumPy nor LiteRT.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from on_device.errors import ArtifactError
    from on_device.recommender import Recommendation, Recommender

__all__ = ["ArtifactError", "Recommendation", "Recommender"]
_MODULES = {"ArtifactError": "errors", "Recommendation": "recommender", "Recommender": "recommender"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
