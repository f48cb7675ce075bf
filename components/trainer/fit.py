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
from components.trainer.checkpoint import Checkpoint, State
from components.trainer.input_pipeline import Batches, Timelines
from components.trainer.lazy_adam import LazyAdam
from components.trainer.model import ADAM_BETA_2, Recommender
from components.trainer.ranking import RankingMetrics, evaluate
from components.trainer.settings import TrainerSettings

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
    checkpoint: Checkpoint | None = None,
) -> Fit:
    """Fit a model and leave it with the weights of the epoch that is best on the eval split.

    The learning rate rises over the first steps and then falls along a cosine (Loshchilov and Hutter, "SGDR", ICLR
    2017). How far along it is, is decided by epochs or by time, whichever ends sooner.

    Args:
        model: freshly made.
        train: timelines of the train split.
        holdout: timelines and targets of the eval split.
        measure: evaluates the model.
        checkpoint: written after every epoch; fitting goes on from what it holds.

    Raises:
        StepError: the loss is no longer finite.
    """
    settings = model.settings
    holdout = _drawn(holdout, settings)
    optimizer = LazyAdam(settings.learning_rate, beta_2=ADAM_BETA_2)
    optimizer.build(model.trainable_variables)
    train_step = model.make_train_step(optimizer)
    batches = Batches(train, settings.window, settings.batch_positions, target_weights(train, settings))
    progress.debug("tracing the training step")
    _trace(train_step, batches, model, optimizer)

    run = _Run(model, optimizer)
    if checkpoint is not None:
        run.restore(checkpoint)
    started = time.monotonic() - run.seconds
    reported = time.monotonic()
    while not run.ended(settings):
        epoch = len(run.history) + 1
        losses: list[tf.Tensor] = []
        for batch in batches.epoch(settings.seed + epoch):
            elapsed = (time.monotonic() - started) / (60 * settings.max_minutes)
            done = (epoch - 1 + len(losses) / batches.steps) / settings.max_epochs
            optimizer.learning_rate.assign(settings.learning_rate * schedule(run.step, max(elapsed, done)))
            losses.append(train_step(*batch.tensors()))
            run.step += 1
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
        run.add(Epoch(epoch, loss, metrics.recall_at_10, metrics.ndcg_at_10, round(time.monotonic() - started, 1)))
        progress.info(
            "epoch %d/%d  loss %.3f  eval Recall@10 %.4f  %.0f s",
            *(epoch, settings.max_epochs, loss, metrics.recall_at_10, run.seconds),
        )
        if checkpoint is not None:
            run.save(checkpoint)
    model.set_weights(run.best)
    return Fit(tuple(run.history), run.best_epoch)


class _Run:
    """How far a fit has come."""

    def __init__(self, model: Recommender, optimizer: keras.optimizers.Optimizer):
        self._model = model
        self._optimizer = optimizer
        self.history: list[Epoch] = []
        self.best: list[np.ndarray] = []
        self.best_epoch = 0
        self.step = 0

    @property
    def seconds(self) -> float:
        """Time that the epochs took, evaluation included."""
        return self.history[-1].seconds if self.history else 0.0

    def ended(self, settings: TrainerSettings) -> bool:
        """Whether epochs, time or patience are used up."""
        epochs = len(self.history)
        return epochs > 0 and (
            epochs >= settings.max_epochs
            or self.seconds >= 60 * settings.max_minutes
            or epochs - self.best_epoch >= settings.patience
        )

    def add(self, epoch: Epoch) -> None:
        """Add an epoch that the model has just been measured after."""
        best = self.history[self.best_epoch - 1].recall_at_10 if self.history else -1.0
        self.history.append(epoch)
        if epoch.recall_at_10 > best:
            self.best, self.best_epoch = self._model.get_weights(), epoch.epoch

    def save(self, checkpoint: Checkpoint) -> None:
        """Write all of it."""
        variables, optimizer = (
            [variable.numpy() for variable in owner.variables] for owner in (self._model, self._optimizer)
        )
        facts = {"history": [asdict(epoch) for epoch in self.history], "best_epoch": self.best_epoch, "step": self.step}
        checkpoint.save(State(variables, optimizer, self.best, facts))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on where an interrupted fit stopped, if there is one."""
        state = checkpoint.load()
        if state is None:
            return
        variables = [*self._model.variables, *self._optimizer.variables]
        for variable, value in zip(variables, [*state.variables, *state.optimizer], strict=True):
            variable.assign(value)
        self.history = [Epoch(**epoch) for epoch in state.facts["history"]]
        self.best, self.best_epoch = state.best, state.facts["best_epoch"]
        self.step = state.facts["step"]
        progress.info("going on after epoch %d of an interrupted run", len(self.history))


def target_weights(train: Timelines, settings: TrainerSettings) -> np.ndarray:
    """How much each activity counts as a target, float32 [E]; 1 on average over those that count at all.

    Raises:
        StepError: no rating reaches `min_target_rating`, or none is above 0.
    """
    ratings = train.activities.ratings
    weights = np.ones(len(ratings), np.float32)
    if settings.target_weight == "rating":
        weights = np.maximum(ratings, 0.0)
    if settings.min_target_rating is not None:
        weights = np.where(ratings >= settings.min_target_rating, weights, 0.0)
    if not weights.any():
        raise StepError(
            f"no rating of the train split counts as a target with trainer.min_target_rating "
            f"{settings.min_target_rating} and trainer.target_weight {settings.target_weight!r}; the highest is "
            f"{ratings.max(initial=0):g}"
        )
    return (weights / weights[weights > 0].mean()).astype(np.float32)


def schedule(step: int, progressed: float) -> float:
    """Share of the peak learning rate, at a step and a share of all training that is done."""
    warm_up = min((step + 1) / WARM_UP_STEPS, 1.0)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progressed, 1.0)))
    return warm_up * (LEAST_LEARNING_RATE + (1 - LEAST_LEARNING_RATE) * cosine)


def _drawn(holdout: Timelines, settings: TrainerSettings) -> Timelines:
    """The users of the eval split that every epoch is measured with."""
    if not 0 < settings.eval_users < len(holdout):
        return holdout
    users = np.random.default_rng(settings.seed).choice(len(holdout), settings.eval_users, replace=False)
    return holdout.of_users(np.sort(users))


def _trace(
    train_step: tf.types.experimental.PolymorphicFunction,
    batches: Batches,
    model: Recommender,
    optimizer: keras.optimizers.Optimizer,
) -> None:
    """Trace the step, or compile it, for every shape; the batches are empty, so that nothing is learnt."""
    optimizer.learning_rate.assign(0.0)
    weights, state = model.get_weights(), [variable.numpy() for variable in optimizer.variables]
    for batch in batches.empty():
        train_step(*batch.tensors())
    model.set_weights(weights)
    for variable, value in zip(optimizer.variables, state, strict=True):
        variable.assign(value)
