"""Data in an object store, brought to this machine's disk: the readers map files into memory."""

from __future__ import annotations

import hashlib
import os

from tfx.dsl.io import fileio

from components.errors import StepError
from components.trees import copy_tree


def bring_here(data: str, cache_dir: str) -> str:
    """A local path for data.

    Args:
        data: a path, or the URI of a file or folder on a file system that TFX knows.
        cache_dir: local folder; a URI is copied into it anew, since its content may have changed.

    Raises:
        StepError: there is nothing at the URI.
    """
    if "://" not in data:
        return data
    if not fileio.exists(data):
        raise StepError(f"{data}: no such file or folder")
    name = os.path.basename(data.rstrip("/"))
    target = os.path.join(cache_dir, "remote", hashlib.sha256(data.encode()).hexdigest()[:16], name)
    if fileio.exists(target):
        (fileio.rmtree if fileio.isdir(target) else fileio.remove)(target)
    copy_tree(data.rstrip("/"), target)
    return target
