"""Fits a recommender with Keras, evaluates it after every epoch, and resumes interrupted fits from a backup."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from components.errors import StepError
from components.trainer.backup import NDCG, RECALL, Backup, Epoch
from components.trainer.input_pipeline import Batches, SoftTargets, Timelines, target_weights
from components.trainer.lazy_adam import LazyAdam
from components.trainer.model import RecommenderModel
from components.trainer.ranking import RankingMetrics, evaluate
from components.trainer.settings import DENSE_EPOCHS, TrainerSettings

WARM_UP_STEPS = 100
FINAL_LEARNING_RATE = 0.01  # at the end of the schedule, as a share of the peak
ADAM_BETA_2 = 0.98  # as in SASRec; the squared gradients of rare items decay faster than with 0.999
MAX_GRADIENT_NORM = 1.0
PROGRESS_EVERY = 5.0  # seconds
ESTIMATE_AFTER = 50  # steps

progress = logging.getLogger("recommender.progress")


@dataclass(frozen=True)
class Plan:
    """The length of a fit, and where it begins on the learning rate schedule.

    Attributes:
        epochs: maximum number of passes over the train split.
        minutes: time limit, which does not change the schedule; 0: no limit.
        begin: share of the schedule to skip: 0 for fresh weights, more for the weights of an earlier fit.
    """

    epochs: int
    minutes: float = 0.0
    begin: float = 0.0

    @staticmethod
    def of(settings: TrainerSettings, begin: float = 0.0) -> Plan:
        """Returns the plan of the settings, without the share `begin` of their epochs."""
        return Plan(math.ceil((settings.max_epochs or DENSE_EPOCHS) * (1 - begin)), settings.max_minutes, begin)


@dataclass(frozen=True)
class Fit:
    """The result of a fit; the model has the weights of `best_epoch`.

    Attributes:
        history: all epochs.
        best_epoch: number of the best epoch.
        out_of_time: whether `max_minutes` ended the fit, so that the result depends on the speed of the machine.
    """

    history: tuple[Epoch, ...]
    best_epoch: int
    out_of_time: bool = False

    @property
    def best_recall(self) -> float:
        """Recall@10 of the best epoch on the eval split; NaN without an eval split."""
        recall = self.history[self.best_epoch - 1].recall_at_10
        return math.nan if recall is None else recall

    def as_dicts(self) -> list[dict[str, float]]:
        """Returns the history for JSON."""
        return [asdict(epoch) for epoch in self.history]


def fit(
    model: RecommenderModel,
    train: Timelines,
    holdout: Timelines | None,
    measure: Callable[[RecommenderModel, Timelines], RankingMetrics] = evaluate,
    backup: str = "",
    plan: Plan | None = None,
    log_dir: str = "",
    soft: SoftTargets | None = None,
) -> Fit:
    """Fits a model, which then has the weights of the best epoch on the eval split.

    The learning rate rises over the first steps and then falls along a cosine (Loshchilov and Hutter, "SGDR", ICLR
    2017) until the last epoch of the plan ends.

    Args:
        model: a model with its initial weights.
        train: timelines of the train split.
        holdout: timelines and targets of the eval split; None: no evaluation, and the last epoch counts as the best.
        measure: function that evaluates the model.
        backup: folder with the backup of this fit only, from which an interrupted fit resumes; empty: no backup.
        plan: length of the fit; None: the plan of the model's settings.
        log_dir: local folder for TensorBoard's logs; empty: no logs.
        soft: a teacher's predictions for the train split; None: no teacher.

    Raises:
        StepError: the loss is not finite, or no activity of the train split counts as a target.
    """
    settings = model.settings
    plan = plan or Plan.of(settings)
    holdout = None if holdout is None else _sample_users(holdout, settings)
    weights = target_weights(train, settings)
    assert settings.batch_positions is not None  # `for_data` has set it.
    batches = Batches(train, settings.window, settings.batch_positions, weights, settings.seed, soft)
    steps = math.ceil(batches.steps * plan.epochs / (1 - plan.begin))
    warm_up = min(WARM_UP_STEPS, steps)
    with model.distribute_strategy.scope():
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0,
            max(steps - warm_up, 1),
            FINAL_LEARNING_RATE,
            warmup_target=settings.learning_rate,
            warmup_steps=warm_up,
        )
        model.compile(
            LazyAdam(schedule, beta_2=ADAM_BETA_2, max_norm=MAX_GRADIENT_NORM), jit_compile=settings.jit_compile
        )
        model.optimizer.build(model.trainable_variables)
        model.optimizer.iterations.assign(int(plan.begin * steps))
    saved = Backup(backup) if backup else None
    validation = _Validation(plan, batches, holdout, measure, saved.restore(model) if saved else [])
    history = validation.history
    best_weights = saved.best_of(validation.best_epoch) if saved and history else ""
    callbacks: list[keras.callbacks.Callback] = [validation]
    if holdout is not None:
        callbacks.append(_EarlyStopping(history, best_weights, settings.patience))
    if log_dir:
        callbacks.append(keras.callbacks.TensorBoard(log_dir, write_graph=False, write_steps_per_second=True))
    if saved:
        callbacks += saved.callbacks(validation.best_recall, holdout is not None)
    if not validation.is_over(settings.patience):
        progress.debug("tracing the training step")
        model.fit(
            batches.dataset(),
            epochs=plan.epochs,
            initial_epoch=len(history),
            callbacks=callbacks,
            verbose=0,
            shuffle=False,
        )
    elif saved and holdout is not None:
        model.load_weights(best_weights)
    return Fit(tuple(history), validation.best_epoch, validation.out_of_time)


class _Validation(keras.callbacks.Callback):
    """Evaluates the model after each epoch, adds the metrics to the logs for later callbacks, and logs the progress."""

    def __init__(
        self,
        plan: Plan,
        batches: Batches,
        holdout: Timelines | None,
        measure: Callable[[RecommenderModel, Timelines], RankingMetrics],
        history: list[Epoch],
    ):
        super().__init__()
        self._plan = plan
        self._batches = batches
        self._holdout = holdout
        self._measure = measure
        self._started = time.monotonic() - (history[-1].seconds if history else 0.0)
        self._reported = time.monotonic()
        self.history = history
        self.out_of_time = False

    @property
    def best_epoch(self) -> int:
        """Number of the first epoch with the best Recall@10; without an eval split, of the last epoch."""
        if self.best_recall is None:
            return len(self.history)
        return next(epoch.epoch for epoch in self.history if epoch.recall_at_10 == self.best_recall)

    @property
    def best_recall(self) -> float | None:
        """The best Recall@10; None without epochs or without an eval split."""
        return max((epoch.recall_at_10 for epoch in self.history if epoch.recall_at_10 is not None), default=None)

    def is_over(self, patience: int) -> bool:
        """Returns whether the restored fit needs no further epochs."""
        has_stopped = self.best_recall is not None and len(self.history) - self.best_epoch >= patience
        return bool(self.history) and (len(self.history) >= self._plan.epochs or has_stopped or self._is_late())

    def _is_late(self) -> bool:
        return 0 < 60 * self._plan.minutes <= time.monotonic() - self._started

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Sets the epoch of the batches, and seeds all random generators."""
        self._batches.epoch = epoch
        # Keras does not back up random states; with a seed per epoch, a resumed fit draws the same numbers.
        states = [variable for variable in self.model.variables if variable.path.endswith("seed_generator_state")]
        for number, state in enumerate(states):
            random = np.random.default_rng([self.model.settings.seed, epoch, number])
            state.assign(random.integers(0, 2**32, state.shape, np.uint32))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Stops the fit after `max_minutes`, and logs the progress."""
        if batch == 0:
            self._first_step_ended = time.monotonic()
        if self._is_late() and not self.model.stop_training:
            self.out_of_time = self.model.stop_training = True
            progress.info(
                "the limit trainer.max_minutes %g ends the fit: its result depends on the speed of this machine",
                self._plan.minutes,
            )
        if logs and batch == ESTIMATE_AFTER and self._batches.epoch == len(self.history) == 0:
            float(logs["loss"])  # Waits for the steps, which run asynchronously.
            self._estimate(batch)
        if logs and time.monotonic() - self._reported > PROGRESS_EVERY:
            self._reported = time.monotonic()
            progress.debug(
                "epoch %d/%d  step %d/%d  loss %.3f",
                *(self._batches.epoch + 1, self._plan.epochs, batch + 1, self._batches.steps, float(logs["loss"])),
            )

    def _estimate(self, batch: int) -> None:
        """Logs the expected duration of training, from the first steps without step 1, which includes tracing."""
        steps = self._batches.steps * self._plan.epochs
        minutes = steps * (time.monotonic() - self._first_step_ended) / batch / 60
        expected = f"about {minutes:.1f} min" if minutes > 0.5 else "less than a minute"
        progress.info("at this speed, the steps of %d epochs take %s", self._plan.epochs, expected)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluates the model, and adds the metrics to the logs.

        Raises:
            StepError: the loss is not finite.
        """
        assert logs is not None
        if not math.isfinite(loss := float(logs["loss"])):
            raise StepError(
                f"training diverged in epoch {epoch + 1}: the loss is {loss}; lower trainer.learning_rate from "
                f"{self.model.settings.learning_rate:g}"
            )
        metrics = None if self._holdout is None else self._measure(self.model, self._holdout)
        seconds = round(time.monotonic() - self._started, 1)
        recall, ndcg = (metrics.recall_at_10, metrics.ndcg_at_10) if metrics else (None, None)
        self.history.append(Epoch(epoch + 1, loss, recall, ndcg, seconds))
        logs |= {"seconds": seconds, "loss": loss} | ({RECALL: recall, NDCG: ndcg} if metrics else {})
        measured = "" if recall is None else f"  eval Recall@10 {recall:.4f}"
        progress.info("epoch %d/%d  loss %.3f%s  %.0f s", epoch + 1, self._plan.epochs, loss, measured, seconds)


class _EarlyStopping(keras.callbacks.EarlyStopping):
    """Early stopping that continues in a resumed fit, with the best weights read from a file."""

    def __init__(self, history: list[Epoch], best_weights: str, patience: int):
        super().__init__(RECALL, patience=patience, mode="max", restore_best_weights=True)
        self._history = list(history)
        self._best_weights = best_weights

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Restores the state of early stopping from the history."""
        super().on_train_begin(logs)
        if not self._history:
            return
        self.best = max(epoch.recall_at_10 or 0.0 for epoch in self._history)
        self.best_epoch = next(epoch.epoch for epoch in self._history if epoch.recall_at_10 == self.best) - 1
        self.wait = len(self._history) - 1 - self.best_epoch
        current = self.model.get_weights()
        self.model.load_weights(self._best_weights)
        self.best_weights = self.model.get_weights()
        self.model.set_weights(current)


def _sample_users(holdout: Timelines, settings: TrainerSettings) -> Timelines:
    """Returns the users of the eval split that every epoch is evaluated on."""
    if not 0 < settings.eval_users < len(holdout):
        return holdout
    users = np.random.default_rng(settings.seed).choice(len(holdout), settings.eval_users, replace=False)
    return holdout.of_users(np.sort(users))
