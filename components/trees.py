"""Copies folders between file systems of TFX."""

from __future__ import annotations

import os

from tfx.dsl.io import fileio

from components import s3  # noqa: F401 - registers s3:// and minio://


def copy_tree(source: str, target: str) -> None:
    """Copies a file, or a folder with its content.

    Args:
        source: path or URI of the file or folder.
        target: path or URI of the copy, which must not exist.
    """
    if not fileio.isdir(source):
        fileio.makedirs(os.path.dirname(target))
        fileio.copy(source, target)
        return
    for name in fileio.listdir(source):
        child = os.fsdecode(name).rstrip("/")
        copy_tree(f"{source}/{child}", os.path.join(target, child))
