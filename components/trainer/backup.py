"""Backups from which an interrupted fit resumes."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from tfx.dsl.io import fileio

from components import s3  # noqa: F401 - registers s3:// and minio://
from components.trainer.model import RecommenderModel

progress = logging.getLogger("recommender.progress")


@dataclass(frozen=True)
class Epoch:
    """The result of an epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        loss: mean training loss, in nats.
        recall_at_10: Recall@10 on the eval split, from 0 to 1; None without an eval split.
        ndcg_at_10: NDCG@10 on the eval split, from 0 to 1; None without an eval split.
        seconds: duration of the fit up to the end of the epoch, evaluation included.
    """

    epoch: int
    loss: float
    recall_at_10: float | None
    ndcg_at_10: float | None
    seconds: float


class Backup:
    """The state of a fit in one file: the variables of the model and its optimizer, the best weights, and the history.

    Args:
        folder: folder for this fit only, on any file system that TFX supports.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._path = os.path.join(folder, "state.npz")

    def restore(self, model: RecommenderModel) -> tuple[list[Epoch], list[np.ndarray]]:
        """Restores the state of an interrupted fit into a model and its optimizer.

        A backup that cannot be read is deleted, and the model keeps its fresh weights.

        Returns:
            The epochs of the interrupted fit, and the best weights, as `write` describes them; empty for a new fit.
        """
        if not fileio.exists(self._path):
            return [], []
        variables = [*model.variables, *model.optimizer.variables]
        try:
            with fileio.open(self._path, "rb") as stream, np.load(io.BytesIO(stream.read())) as arrays:
                history = [Epoch(**epoch) for epoch in json.loads(arrays["history"].item())]
                values = [arrays[f"variable_{number}"] for number in range(len(variables))]
                best_weights = [arrays[name] for name in arrays.files if name.startswith("best_")]
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            progress.info("%s cannot be read (%s): training starts from the beginning", self._path, reason)
            self.remove()
            return [], []
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        progress.info("resuming after epoch %d of an interrupted run", len(history))
        return history, best_weights

    def write(self, model: RecommenderModel, history: Sequence[Epoch], best_weights: Sequence[np.ndarray]) -> None:
        """Replaces the backup. If the process is killed meanwhile, the previous backup remains valid.

        Args:
            model: the model after the last epoch of the history.
            history: all epochs.
            best_weights: weights of the best epoch, as of `model.get_weights()`; empty without an eval split.
        """
        arrays: dict[str, Any] = {"history": np.array(json.dumps([asdict(epoch) for epoch in history]))}
        for number, variable in enumerate([*model.variables, *model.optimizer.variables]):
            arrays[f"variable_{number}"] = variable.numpy()
        arrays |= {f"best_{number}": weight for number, weight in enumerate(best_weights)}
        fileio.makedirs(self._folder)
        with tempfile.TemporaryDirectory(prefix="fit-") as folder:
            path = os.path.join(folder, "state.npz")
            np.savez(path, **arrays)
            fileio.copy(path, f"{self._path}.new", overwrite=True)
        fileio.rename(f"{self._path}.new", self._path, overwrite=True)

    def remove(self) -> None:
        """Deletes the backup."""
        if fileio.exists(self._folder):
            fileio.rmtree(self._folder)


def identity_of(*parts: str | np.ndarray) -> str:
    """Returns a hash of strings and arrays, 32 hexadecimal digits, for use in a file name."""
    digest = hashlib.sha256()
    for part in parts:
        content: Any = part.encode() if isinstance(part, str) else np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        digest.update(content)
        digest.update(b"\0")
    return digest.hexdigest()[:32]
