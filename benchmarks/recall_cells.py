"""Trains an encoder with a history length, and measures it on the test split."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.ranking import rank_targets, recall
from components.trainer.decisions import check
from components.trainer.fit import fit
from components.trainer.input_pipeline import Timelines
from components.trainer.model import RecommenderModel
from components.trainer.run import build_model
from components.trainer.training_data import TrainingData
from pipeline.config import PipelineConfig


class ModelScorer:
    """Scores of a model that has not been saved; see `ranking.Scorer`."""

    def __init__(self, model: RecommenderModel):
        @tf.function(reduce_retracing=True)
        def score(histories: dict[str, tf.Tensor]) -> tf.Tensor:
            tables = model.tables()
            contexts, length = model.read_out(histories, tables)
            # The vocabulary is in order of popularity.
            by_popularity = -tf.range(tables.size, dtype=tf.float32)
            return tf.where(length[:, None] > 0, tf.matmul(contexts, tables.labels, transpose_b=True), by_popularity)

        self._history_length = model.history_length
        self._score = score

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """Returns the scores of all items for the users of some rows: int64 [B] -> float32 [B, V]."""
        scores: tf.Tensor = self._score(timelines.histories(rows, self._history_length).tensors())
        return scores.numpy()


def train_cell(config: PipelineConfig, data: TrainingData, test: Timelines) -> dict[str, Any]:
    """Trains an encoder with a history length.

    Returns:
        `eval_recall_at_10` of the best epoch, `recall_at_10` and `standard_error` on the test split, `epochs` and
        `seconds`.

    Raises:
        StepError: the data is too small, or the training diverged.
    """
    data = dataclasses.replace(data, history_length=config.transform.history_length)
    check(config.trainer, data)
    model = build_model(config.trainer, data)
    fitted = fit(model, data.train, data.holdout)
    estimate = recall(rank_targets(ModelScorer(model), test).ranks, 10)
    return {
        "eval_recall_at_10": fitted.history[fitted.best_epoch - 1].recall_at_10,
        "recall_at_10": estimate.mean,
        "standard_error": estimate.standard_error,
        "epochs": len(fitted.history),
        "seconds": fitted.history[-1].seconds,
    }
