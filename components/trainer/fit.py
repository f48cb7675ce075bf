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
        recall_at_10: on the eval split; None where there is none.
        ndcg_at_10: on the eval split; None where there is none.
        seconds: since fitting began, evaluation included.
    """

    epoch: int
    loss: float
    recall_at_10: float | None
    ndcg_at_10: float | None
    seconds: float


@dataclass(frozen=True)
class Plan:
    """How long fitting takes, and where on the schedule of the learning rate it begins.

    Attributes:
        epochs: most passes over the train split.
        minutes: most minutes.
        begin: share of the schedule that is over as fitting begins: 0 for fresh weights, more for weights that another
            fit left.
    """

    epochs: int
    minutes: float = math.inf
    begin: float = 0.0

    @staticmethod
    def of(settings: TrainerSettings, begin: float = 0.0) -> Plan:
        """Returns the plan of some settings; what is left of their epochs and minutes after `begin`."""
        return Plan(math.ceil(settings.max_epochs * (1 - begin)), settings.max_minutes * (1 - begin), begin)


@dataclass(frozen=True)
class Fit:
    """What fitting left: the model has the weights of `best_epoch`."""

    history: tuple[Epoch, ...]
    best_epoch: int

    @property
    def best_recall(self) -> float:
        """Recall@10 of the best epoch on the eval split; NaN where there is none."""
        recall = self.history[self.best_epoch - 1].recall_at_10
        return math.nan if recall is None else recall

    def as_dicts(self) -> list[dict[str, float]]:
        """The history, for JSON."""
        return [asdict(epoch) for epoch in self.history]


def fit(
    model: Recommender,
    train: Timelines,
    holdout: Timelines | None,
    measure: Callable[[Recommender, Timelines], RankingMetrics] = evaluate,
    checkpoint: Checkpoint | None = None,
    plan: Plan | None = None,
) -> Fit:
    """Fits a model and leaves it with the weights of the epoch that is best on the eval split.

    The learning rate rises over the first steps and then falls along a cosine (Loshchilov and Hutter, "SGDR", ICLR
    2017). How far along it is, is decided by epochs or by time, whichever ends sooner.

    Args:
        model: with the weights to begin with.
        train: timelines of the train split.
        holdout: timelines and targets of the eval split; None where nothing is held out, and the last epoch is kept.
        measure: evaluates the model.
        checkpoint: written after every epoch; fitting goes on from what it holds.
        plan: how long to fit; None is that of the model's settings.

    Raises:
        StepError: the loss is no longer finite.
    """
    settings = model.settings
    plan = plan or Plan.of(settings)
    holdout = None if holdout is None else _drawn(holdout, settings)
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
    while not run.ended(plan, settings.patience):
        epoch = len(run.history) + 1
        losses: list[tf.Tensor] = []
        for batch in batches.epoch(settings.seed + epoch):
            elapsed = (time.monotonic() - started) / (60 * plan.minutes)
            done = (epoch - 1 + len(losses) / batches.steps) / plan.epochs
            progressed = plan.begin + (1 - plan.begin) * min(max(elapsed, done), 1.0)
            optimizer.learning_rate.assign(settings.learning_rate * schedule(run.step, progressed))
            losses.append(train_step(*batch.tensors()))
            run.step += 1
            if time.monotonic() - reported > PROGRESS_EVERY:
                reported = time.monotonic()
                progress.debug(
                    "epoch %d/%d  step %d/%d  loss %.3f",
                    *(epoch, plan.epochs, len(losses), batches.steps, float(losses[-1])),
                )
            if elapsed >= 1:
                break
        loss = float(np.mean([float(value) for value in losses]))
        if not math.isfinite(loss):
            raise StepError(
                f"training diverged in epoch {epoch}: the loss is {loss}; lower trainer.learning_rate from "
                f"{settings.learning_rate:g}"
            )
        metrics = None if holdout is None else measure(model, holdout)
        recall, ndcg = (metrics.recall_at_10, metrics.ndcg_at_10) if metrics else (None, None)
        run.add(Epoch(epoch, loss, recall, ndcg, round(time.monotonic() - started, 1)))
        measured = "" if recall is None else f"  eval Recall@10 {recall:.4f}"
        progress.info("epoch %d/%d  loss %.3f%s  %.0f s", epoch, plan.epochs, loss, measured, run.seconds)
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

    def ended(self, plan: Plan, patience: int) -> bool:
        """Whether epochs, time or patience are used up."""
        epochs = len(self.history)
        return epochs > 0 and (
            epochs >= plan.epochs or self.seconds >= 60 * plan.minutes or epochs - self.best_epoch >= patience
        )

    def add(self, epoch: Epoch) -> None:
        """Adds an epoch that the model has just been measured after; one that was not measured counts as the best."""
        best = self.history[self.best_epoch - 1].recall_at_10 if self.history else None
        self.history.append(epoch)
        if best is None or epoch.recall_at_10 is None or epoch.recall_at_10 > best:
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
    weights = np.ones(len(ratings), np.float32) if train.weights is None else train.weights
    if settings.target_weight == "rating":
        weights = weights * np.maximum(ratings, 0.0)
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
