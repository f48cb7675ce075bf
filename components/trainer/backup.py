"""Lets an interrupted fit continue: Keras' backup, on any file system, with the best weights and the history."""

from __future__ import annotations

import csv
import glob
import hashlib
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from tfx.dsl.io import fileio

from components import s3  # noqa: F401 - registers s3:// and minio://
from components.trainer.model import Recommender

RECALL, NDCG = "val_recall_at_10", "val_ndcg_at_10"

progress = logging.getLogger("recommender.progress")


@dataclass(frozen=True)
class Epoch:
    """How an epoch went.

    Attributes:
        epoch: its number, from 1.
        loss: mean of the training loss, in nats.
        recall_at_10: on the eval split; None where there is none.
        ndcg_at_10: on the eval split; None where there is none.
        seconds: since fitting began, evaluation included.
    """

    epoch: int
    loss: float
    recall_at_10: float | None
    ndcg_at_10: float | None
    seconds: float


class Backup:
    """What an interrupted fit leaves: Keras' backup, the best weights, and the history.

    Args:
        folder: of its own, on any file system that TFX knows. Files of one that is not local are copied there.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._is_local = "://" not in folder
        self._scratch = folder if self._is_local else tempfile.mkdtemp(prefix="fit-")
        os.makedirs(self._scratch, exist_ok=True)
        self._history = os.path.join(self._scratch, "history.csv")

    def best_of(self, epoch: int | str) -> str:
        """Returns the file with the weights of an epoch that was better than all before it."""
        return os.path.join(self._scratch, f"best-{epoch:03}.weights.h5")

    def restore(self, model: Recommender) -> list[Epoch]:
        """Returns the epochs that an interrupted fit ended with, whose state the model has then; none for a new one."""
        if not self._is_local and fileio.exists(self._folder):
            for name in fileio.listdir(self._folder):
                _copy(os.path.join(self._folder, name), os.path.join(self._scratch, name))
        if not os.path.exists(self._history):
            return []
        variables = [*model.variables, *model.optimizer.variables]
        fresh = [variable.numpy() for variable in variables]
        try:
            with open(self._history, encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            backup = self._keras()
            backup.set_model(model)
            backup.on_train_begin()
            names = ("loss", RECALL, NDCG, "seconds")
            history = [
                Epoch(number, *(float(row[name]) if row.get(name) else None for name in names))  # type: ignore[arg-type]
                for number, row in enumerate(rows[: model._initial_epoch], start=1)
            ]
            if not history or len(history) != model._initial_epoch:
                raise ValueError("the history is incomplete")
            if history[0].recall_at_10 is not None:
                model.load_weights(self.best_of(max(history, key=lambda epoch: epoch.recall_at_10 or 0).epoch))
                backup.on_train_begin()  # That was to see whether it can be read.
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            progress.info("%s cannot be read (%s): training starts anew", self._folder, reason)
            for variable, value in zip(variables, fresh, strict=True):
                variable.assign(value)
            model._initial_epoch = None
            shutil.rmtree(self._scratch)
            os.makedirs(self._scratch)
            return []
        # The epoch that was interrupted after its metrics were written comes again.
        with open(self._history, "w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows[: len(history)])
        progress.info("going on after epoch %d of an interrupted run", len(history))
        return history

    def callbacks(self, best_recall: float | None, measured: bool) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that write it.

        Args:
            best_recall: Recall@10 of the best weights so far.
            measured: whether epochs are measured.
        """
        # A file for each best epoch, so that a process which is killed as it writes one leaves the one before.
        best = keras.callbacks.ModelCheckpoint(
            os.path.join(self._scratch, "best-{epoch:03}.weights.h5"),
            RECALL,
            save_best_only=True,
            save_weights_only=True,
            mode="max",
            initial_value_threshold=best_recall,
        )
        upload = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: self._upload())
        history = keras.callbacks.CSVLogger(self._history, append=True)
        return [history, *([best] if measured else []), self._keras(), upload]

    def _keras(self) -> keras.callbacks.BackupAndRestore:
        return keras.callbacks.BackupAndRestore(self._scratch, double_checkpoint=True, delete_checkpoint=False)

    def _upload(self) -> None:
        """Removes all best weights but the last, and copies the files to a folder that is not local."""
        for path in sorted(glob.glob(os.path.join(glob.escape(self._scratch), "best-*")))[:-1]:
            os.remove(path)
        if self._is_local:
            return
        fileio.makedirs(self._folder)
        for name in os.listdir(self._scratch):
            _copy(os.path.join(self._scratch, name), os.path.join(self._folder, name))

    @staticmethod
    def remove(folder: str) -> None:
        """Forgets it: the model is saved."""
        if fileio.exists(folder):
            fileio.rmtree(folder)


def _copy(source: str, target: str) -> None:
    """Copies a file from one file system to another."""
    with fileio.open(source, "rb") as stream, fileio.open(target, "wb") as copy:
        copy.write(stream.read())


def identity_of(*parts: str | np.ndarray) -> str:
    """Returns a name for texts and arrays: the same for the same content."""
    digest = hashlib.sha256()
    for part in parts:
        content: Any = part.encode() if isinstance(part, str) else np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        digest.update(content)
        digest.update(b"\0")
    return digest.hexdigest()[:32]
