"""Fits a recommender: epochs, the learning-rate schedule, and early stopping on the eval split."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import keras
import numpy as np
import tensorflow as tf

from components.errors import StepError
from components.trainer.input_pipeline import Batches, Timelines
from components.trainer.model import ADAM_BETA_2, Recommender
from components.trainer.ranking import RankingMetrics, evaluate

WARM_UP_STEPS = 100
LEAST_LEARNING_RATE = 0.01  # of the peak, at the end of the schedule
PROGRESS_EVERY = 5.0  # seconds

progress = logging.getLogger("recommender.progress")


@dataclass(frozen=True)
class Epoch:
    """How an epoch went.

    Attributes:
        epoch: its number, from 1.
        loss: mean of the training loss, in nats.
        recall_at_10: on the eval split.
        ndcg_at_10: on the eval split.
        seconds: since fitting began, evaluation included.
    """

    epoch: int
    loss: float
    recall_at_10: float
    ndcg_at_10: float
    seconds: float


@dataclass(frozen=True)
class Fit:
    """What fitting left: the model has the weights of `best_epoch`."""

    history: tuple[Epoch, ...]
    best_epoch: int

    def as_dicts(self) -> list[dict[str, float]]:
        """The history, for JSON."""
        return [asdict(epoch) for epoch in self.history]


def fit(
    model: Recommender,
    train: Timelines,
    holdout: Timelines,
    measure: Callable[[Recommender, Timelines], RankingMetrics] = evaluate,
) -> Fit:
    """Fit a model and leave it with the weights of the epoch that is best on the eval split.

    The learning rate rises over the first steps and then falls along a cosine (Loshchilov and Hutter, "SGDR", ICLR
    2017). How far along it is, is decided by epochs or by time, whichever ends sooner.

    Args:
        model: freshly made.
        train: timelines of the train split.
        holdout: timelines and targets of the eval split.
        measure: evaluates the model.

    Raises:
        StepError: the loss is no longer finite.
    """
    settings = model.settings
    optimizer = keras.optimizers.Adam(settings.learning_rate, beta_2=ADAM_BETA_2)
    optimizer.build(model.trainable_variables)
    train_step = model.make_train_step(optimizer)
    batches = Batches(train, settings.window, settings.batch_positions)
    progress.debug("compiling the training step")
    _compile(train_step, batches, model, optimizer)

    started = reported = time.monotonic()
    history: list[Epoch] = []
    best: tuple[float, int, list[np.ndarray]] = (-1.0, 0, [])
    step = 0
    for epoch in range(1, settings.max_epochs + 1):
        losses: list[tf.Tensor] = []
        for batch in batches.epoch(settings.seed + epoch):
            elapsed = (time.monotonic() - started) / (60 * settings.max_minutes)
            done = (epoch - 1 + len(losses) / batches.steps) / settings.max_epochs
            optimizer.learning_rate.assign(settings.learning_rate * schedule(step, max(elapsed, done)))
            losses.append(train_step(tf.constant(batch.inputs), tf.constant(batch.targets)))
            step += 1
            if time.monotonic() - reported > PROGRESS_EVERY:
                reported = time.monotonic()
                progress.debug(
                    "epoch %d/%d  step %d/%d  loss %.3f",
                    *(epoch, settings.max_epochs, len(losses), batches.steps, float(losses[-1])),
                )
            if elapsed >= 1:
                break
        loss = float(np.mean([float(value) for value in losses]))
        if not math.isfinite(loss):
            raise StepError(
                f"training diverged in epoch {epoch}: the loss is {loss}; lower trainer.learning_rate from "
                f"{settings.learning_rate:g}"
            )
        metrics = measure(model, holdout)
        seconds = time.monotonic() - started
        history.append(Epoch(epoch, loss, metrics.recall_at_10, metrics.ndcg_at_10, round(seconds, 1)))
        progress.info(
            "epoch %d/%d  loss %.3f  eval Recall@10 %.4f  %.0f s",
            *(epoch, settings.max_epochs, loss, metrics.recall_at_10, seconds),
        )
        if metrics.recall_at_10 > best[0]:
            best = (metrics.recall_at_10, epoch, model.get_weights())
        if epoch - best[1] >= settings.patience or seconds >= 60 * settings.max_minutes:
            break
    model.set_weights(best[2])
    return Fit(tuple(history), best[1])


def schedule(step: int, progressed: float) -> float:
    """Share of the peak learning rate, at a step and a share of all training that is done."""
    warm_up = min((step + 1) / WARM_UP_STEPS, 1.0)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progressed, 1.0)))
    return warm_up * (LEAST_LEARNING_RATE + (1 - LEAST_LEARNING_RATE) * cosine)


def _compile(
    train_step: tf.types.experimental.PolymorphicFunction,
    batches: Batches,
    model: Recommender,
    optimizer: keras.optimizers.Optimizer,
) -> None:
    """Compile the step for every shape; the batches are empty, so that nothing is learnt."""
    optimizer.learning_rate.assign(0.0)
    weights, state = model.get_weights(), [variable.numpy() for variable in optimizer.variables]
    for shape in batches.shapes():
        empty = tf.zeros(shape, tf.int32)
        train_step(empty, empty)
    model.set_weights(weights)
    for variable, value in zip(optimizer.variables, state, strict=True):
        variable.assign(value)
