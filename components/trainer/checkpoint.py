"""What fitting needs to go on after an interruption, in one file."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from tfx.dsl.io import fileio

ARRAYS = ("variables", "optimizer", "best")

progress = logging.getLogger("recommender.progress")


@dataclass
class State:
    """Where fitting stands after an epoch.

    Attributes:
        variables: of the model, random state included.
        optimizer: the optimizer's variables.
        best: weights of the best epoch.
        facts: whatever else, as JSON.
    """

    variables: list[np.ndarray]
    optimizer: list[np.ndarray]
    best: list[np.ndarray]
    facts: dict[str, Any]


class Checkpoint:
    """One file, which is always whole: it is written beside and then renamed.

    Args:
        folder: where checkpoints lie, on any file system that TFX knows.
        identity: of the model, the data and the code; an interrupted fit goes on only if they are the same.
    """

    def __init__(self, folder: str, identity: str):
        self._folder = folder
        self.path = os.path.join(folder, f"{identity}.npz")

    def load(self) -> State | None:
        """What an interrupted fit left; None where there is nothing that can be read."""
        if not fileio.exists(self.path):
            return None
        try:
            with fileio.open(self.path, "rb") as stream, np.load(io.BytesIO(stream.read())) as arrays:
                facts = json.loads(str(arrays["facts"]))
                return State(facts=facts, **{name: _numbered(arrays, name) for name in ARRAYS})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            progress.info("%s cannot be read (%s): training starts anew", self.path, error)
            return None

    def save(self, state: State) -> None:
        """Write the state in place of an older one."""
        arrays = {f"{name}_{number:04d}": value for name in ARRAYS for number, value in enumerate(getattr(state, name))}
        content = io.BytesIO()
        np.savez(content, facts=np.array(json.dumps(state.facts)), **arrays)
        fileio.makedirs(self._folder)
        with fileio.open(f"{self.path}.new", "wb") as stream:
            stream.write(content.getvalue())
        fileio.rename(f"{self.path}.new", self.path, overwrite=True)

    def remove(self) -> None:
        """Forget it: fitting ended."""
        if fileio.exists(self.path):
            fileio.remove(self.path)


def identity_of(*parts: str | np.ndarray) -> str:
    """A name for texts and arrays: the same for the same content."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else np.ascontiguousarray(part).tobytes())
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def _numbered(arrays: Any, name: str) -> list[np.ndarray]:
    return [arrays[key] for key in sorted(arrays.files) if key.startswith(f"{name}_")]
