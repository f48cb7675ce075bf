"""Compares the installed runtime with the oldest one that runs a model file."""

from __future__ import annotations

import importlib.metadata
import re

from on_device.errors import ArtifactError

# LiteRT 1.0 continues TensorFlow Lite 2.17 with numbers of its own; `min_runtime` has those of TensorFlow Lite.
LITERT_CONTAINS = "2.17.0"


def runtime_version() -> str:
    """Returns the TensorFlow Lite version that the installed runtime contains at least."""
    return LITERT_CONTAINS


def check_runtime(min_runtime: object, name: str) -> None:
    """Refuses a model file that the installed runtime is too old for.

    Args:
        min_runtime: the value of `min_runtime` in `model_info.json`: the oldest TensorFlow Lite version that runs the
            file, such as `"2.5.0"`; None in versions that were pushed without it.
        name: name of the file, for errors.

    Raises:
        ArtifactError: the runtime is older, or `min_runtime` is not a version.
    """
    if min_runtime is None:
        return
    if not isinstance(min_runtime, str) or not re.fullmatch(r"\d+(\.\d+)*", min_runtime):
        raise ArtifactError(f"{name}: min_runtime is {min_runtime!r}, which is not a version; push or copy it again")
    if _parts(min_runtime) > _parts(runtime_version()):
        installed = f"LiteRT {importlib.metadata.version('ai-edge-litert')}"
        raise ArtifactError(
            f"{name}: needs TensorFlow Lite {min_runtime} or newer, and this client knows of {installed} only that it "
            f"contains {runtime_version()}; update the client"
        )


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
