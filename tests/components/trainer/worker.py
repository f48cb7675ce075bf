"""Fits a small model as one of the workers that `TF_CONFIG` names, or on two processors; a program for tests.

python -m tests.components.trainer.worker LOSS DROPOUT BACKUP STOP_AFTER RESULT [mirrored]
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.trainer.devices import make_strategy, worker_name
from components.trainer.fit import fit
from components.trainer.input_pipeline import ITEMS, RATINGS, TIMES, Timelines
from components.trainer.model import RecommenderModel
from components.trainer.ranking import evaluate
from components.trainer.settings import TrainerSettings

USERS, FILMS, LENGTH = 60, 12, 9


def main(arguments: list[str]) -> None:
    """Fits, and writes the history; exits in the epoch after STOP_AFTER if that is positive."""
    loss, dropout, backup, stop_after, result, *mirrored = arguments
    if mirrored:
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        strategy: tf.distribute.Strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    else:
        strategy = make_strategy()
    rows = (np.arange(USERS)[:, None] % FILMS + np.arange(LENGTH + 1)) % FILMS + 2
    items = rows[:, :LENGTH].astype(np.int32).ravel()
    activities = {ITEMS: items, RATINGS: np.full(len(items), 3, np.float32), TIMES: np.zeros(len(items), np.int32)}
    data = Timelines(activities, np.arange(USERS + 1) * LENGTH, rows[:, LENGTH].astype(np.int32))
    settings = TrainerSettings(
        **{"encoder": "bow", "dimension": 16, "members": (), "batch_positions": 128, "window": 8, "loss": loss},
        **{"max_epochs": 5, "patience": 5, "dropout": float(dropout), "learning_rate": 0.05, "top_k": 3},
    )
    with strategy.scope():
        model = RecommenderModel(settings, 8, np.bincount(items, minlength=FILMS + 2))
    measured = []

    def measure(model: RecommenderModel, holdout: Timelines) -> object:
        measured.append(evaluate(model, holdout))
        if len(measured) > int(stop_after) > 0:
            os._exit(9)  # This simulates the loss of the node.
        return measured[-1]

    fitted = fit(model, data, data, measure, backup + worker_name() if backup != "-" else "")
    content = {"history": fitted.as_dicts(), "replicas": strategy.num_replicas_in_sync, "measured": len(measured)}
    Path(result + worker_name()).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
