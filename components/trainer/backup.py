"""Backups from which an interrupted fit resumes: Keras' backup, the best weights, and the history of epochs."""

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
from components.trainer.model import RecommenderModel

RECALL, NDCG = "val_recall_at_10", "val_ndcg_at_10"

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
    """The state of a fit in a folder: Keras' backup, the best weights, and the history.

    Args:
        folder: folder for this fit only, on any file system that TFX supports. A remote one has a temporary local copy.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._is_local = "://" not in folder
        self._scratch = folder if self._is_local else tempfile.mkdtemp(prefix="fit-")
        os.makedirs(self._scratch, exist_ok=True)
        self._history = os.path.join(self._scratch, "history.csv")

    def best_of(self, epoch: int) -> str:
        """Returns the path of an epoch's weights; only epochs that were the best so far have this file."""
        return os.path.join(self._scratch, f"best-{epoch:03}.weights.h5")

    def restore(self, model: RecommenderModel) -> list[Epoch]:
        """Restores the state of an interrupted fit into a model and its optimizer.

        A backup that cannot be read is deleted, and the model keeps its fresh weights.

        Returns:
            The epochs of the interrupted fit; empty for a new fit.
        """
        if not self._is_local and fileio.exists(self._folder):
            for name in fileio.listdir(self._folder):
                _copy(os.path.join(self._folder, name), os.path.join(self._scratch, name))
        if not os.path.exists(self._history):
            return []
        variables = [*model.variables, *model.optimizer.variables]
        fresh_values = [variable.numpy() for variable in variables]
        try:
            with open(self._history, encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            backup = self._keras_backup()
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
                # Checks that the best weights can be read; the next line restores the latest ones.
                model.load_weights(self.best_of(max(history, key=lambda epoch: epoch.recall_at_10 or 0).epoch))
                backup.on_train_begin()
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            progress.info("%s cannot be read (%s): training starts from the beginning", self._folder, reason)
            for variable, value in zip(variables, fresh_values, strict=True):
                variable.assign(value)
            model._initial_epoch = None
            shutil.rmtree(self._scratch)
            os.makedirs(self._scratch)
            return []
        # The history has one row too many if the fit was interrupted before the backup of that epoch.
        with open(self._history, "w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows[: len(history)])
        progress.info("resuming after epoch %d of an interrupted run", len(history))
        return history

    def callbacks(self, best_recall: float | None, has_holdout: bool) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that write the backup.

        Args:
            best_recall: Recall@10 of the best weights so far; None for a new fit.
            has_holdout: whether there is an eval split to evaluate epochs on.
        """
        # One file per best epoch: if the process is killed while it writes a file, the previous file remains valid.
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
        return [history, *([best] if has_holdout else []), self._keras_backup(), upload]

    def _keras_backup(self) -> keras.callbacks.BackupAndRestore:
        return keras.callbacks.BackupAndRestore(self._scratch, double_checkpoint=True, delete_checkpoint=False)

    def _upload(self) -> None:
        """Deletes all best weights but the last, and copies the files to a remote folder."""
        for path in sorted(glob.glob(os.path.join(glob.escape(self._scratch), "best-*")))[:-1]:
            os.remove(path)
        if self._is_local:
            return
        fileio.makedirs(self._folder)
        for name in os.listdir(self._scratch):
            _copy(os.path.join(self._scratch, name), os.path.join(self._folder, name))

    @staticmethod
    def remove(folder: str) -> None:
        """Deletes a backup."""
        if fileio.exists(folder):
            fileio.rmtree(folder)


def _copy(source: str, target: str) -> None:
    """Copies a file from one file system to another."""
    with fileio.open(source, "rb") as stream, fileio.open(target, "wb") as copy:
        copy.write(stream.read())


def identity_of(*parts: str | np.ndarray) -> str:
    """Returns a hash of strings and arrays, 32 hexadecimal digits, for use in a file name."""
    digest = hashlib.sha256()
    for part in parts:
        content: Any = part.encode() if isinstance(part, str) else np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        digest.update(content)
        digest.update(b"\0")
    return digest.hexdigest()[:32]
