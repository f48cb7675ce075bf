"""Data in an object store, brought to this machine's disk: the readers map files into memory."""

from __future__ import annotations

import hashlib
import os

from tfx.dsl.io import fileio

from components import s3  # noqa: F401 - registers s3://
from components.errors import StepError


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
    _copy(data.rstrip("/"), target)
    return target


def _copy(source: str, target: str) -> None:
    if not fileio.isdir(source):
        fileio.makedirs(os.path.dirname(target))
        fileio.copy(source, target)
        return
    for name in fileio.listdir(source):
        child = os.fsdecode(name).rstrip("/")
        _copy(f"{source}/{child}", os.path.join(target, child))
