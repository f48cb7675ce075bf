"""Copies folders from one of TFX's file systems to another."""

from __future__ import annotations

import os

from tfx.dsl.io import fileio

from components import s3  # noqa: F401 - registers s3:// and minio://


def copy_tree(source: str, target: str) -> None:
    """Copy a file, or a folder with all that is in it, to where nothing is yet.

    Args:
        source: path or URI.
        target: likewise, of what the copy will be.
    """
    if not fileio.isdir(source):
        fileio.makedirs(os.path.dirname(target))
        fileio.copy(source, target)
        return
    for name in fileio.listdir(source):
        child = os.fsdecode(name).rstrip("/")
        copy_tree(f"{source}/{child}", os.path.join(target, child))
