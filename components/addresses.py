"""Maps local copies of artifacts to their URIs.

Kubeflow's launcher copies artifacts of `s3://` and `minio://` to the step's disk, and the step's outputs back. When a
step records an artifact for later runs, it must record the URI, not the local path.
"""

from __future__ import annotations

import os

_URIS: dict[str, str] = {}


def learn(folder: str, uri: str) -> None:
    """Registers a local folder as the copy of an artifact."""
    _URIS[folder] = uri


def address(path: str) -> str:
    """Returns the URI of an artifact or of a file in it; the path itself if it is not a local copy."""
    for folder, uri in _URIS.items():
        if path == folder or path.startswith(folder + os.sep):
            return uri + path.removeprefix(folder)
    return path
