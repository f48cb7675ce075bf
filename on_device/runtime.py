"""Compares the installed runtime with the minimum runtime of a model file."""

from __future__ import annotations

import importlib.metadata
import re

from on_device.artifact import PUSH_AGAIN
from on_device.errors import ArtifactError

# The TensorFlow Lite version that every LiteRT contains at least: LiteRT 1.0 continues TensorFlow Lite 2.17 under other
# version numbers. `min_runtime` is a TensorFlow Lite version.
TENSORFLOW_LITE_VERSION = "2.17.0"


def check_runtime(min_runtime: object, name: str) -> None:
    """Checks that the installed runtime is new enough for a model file.

    Args:
        min_runtime: Value of `min_runtime` in `model_info.json`: the oldest TensorFlow Lite version that runs the file,
            such as `"2.5.0"`, or None for versions that were pushed without it.
        name: Name of the file, for errors.

    Raises:
        ArtifactError: The runtime is older, or `min_runtime` is not a version.
    """
    if min_runtime is None:
        return
    if not isinstance(min_runtime, str) or not re.fullmatch(r"\d+(\.\d+)*", min_runtime):
        raise ArtifactError(f"{name}: min_runtime is {min_runtime!r}, which is not a version; {PUSH_AGAIN}")
    if _parts(min_runtime) > _parts(TENSORFLOW_LITE_VERSION):
        installed = f"LiteRT {importlib.metadata.version('ai-edge-litert')}"
        raise ArtifactError(
            f"{name}: needs TensorFlow Lite {min_runtime} or newer; this client knows only that {installed} contains "
            f"{TENSORFLOW_LITE_VERSION}; update the client"
        )


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
