"""By what URI others know an artifact that has a copy on this machine's disk.

Kubeflow's launcher brings artifacts of `s3://` and `minio://` to the step's disk, and the step's outputs back. Whatever
a step writes down for later runs must name them as these will find them.
"""

from __future__ import annotations

import os

_URIS: dict[str, str] = {}


def learn(folder: str, uri: str) -> None:
    """Remember that a local folder is the copy of an artifact."""
    _URIS[folder] = uri


def address(path: str) -> str:
    """The URI of an artifact, or of something in it; the path itself where artifacts are read and written in place."""
    for folder, uri in _URIS.items():
        if path == folder or path.startswith(folder + os.sep):
            return uri + path.removeprefix(folder)
    return path
