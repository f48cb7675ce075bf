"""Fits a recommender with Keras. By hand is what it lacks: validation by ranking, lazy Adam, resuming at the best."""

from __future__ import annotations

import csv
import glob
import hashlib
import logging
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tfx.dsl.io import fileio

from components import s3  # noqa: F401 - registers s3:// and minio://
from components.errors import StepError
from components.trainer.input_pipeline import Batches, Timelines
from components.trainer.model import Recommender
from components.trainer.ranking import RankingMetrics, evaluate
from components.trainer.settings import MOST_EPOCHS, TrainerSettings

WARM_UP_STEPS = 100
LEAST_LEARNING_RATE = 0.01  # of the peak, at the end of the schedule
ADAM_BETA_2 = 0.98  # as in SASRec: forgets rare items' squared gradients sooner than 0.999
MAX_GRADIENT_NORM = 1.0
PROGRESS_EVERY = 5.0  # seconds
ESTIMATED_AFTER = 50  # steps
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


@dataclass(frozen=True)
class Plan:
    """How long fitting takes, and where on the schedule of the learning rate it begins.

    Attributes:
        epochs: most passes over the train split.
        minutes: a safety limit; the schedule does not depend on it. 0 sets none.
        begin: share of the schedule that is over as fitting begins: 0 for fresh weights, more for weights that another
            fit left.
    """

    epochs: int
    minutes: float = 0.0
    begin: float = 0.0

    @staticmethod
    def of(settings: TrainerSettings, begin: float = 0.0) -> Plan:
        """Returns the plan of some settings; what is left of their epochs after `begin`."""
        return Plan(math.ceil((settings.max_epochs or MOST_EPOCHS) * (1 - begin)), settings.max_minutes, begin)


@dataclass(frozen=True)
class Fit:
    """What fitting left: the model has the weights of `best_epoch`.

    Attributes:
        history: all epochs.
        best_epoch: number of the best one.
        out_of_time: whether `max_minutes` ended the fit, so that another machine may get another model.
    """

    history: tuple[Epoch, ...]
    best_epoch: int
    out_of_time: bool = False

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
    backup: str = "",
    plan: Plan | None = None,
    log_dir: str = "",
) -> Fit:
    """Fits a model and leaves it with the weights of the epoch that is best on the eval split.

    The learning rate rises over the first steps and then falls along a cosine (Loshchilov and Hutter, "SGDR", ICLR
    2017) to the end of the last epoch of the plan.

    Args:
        model: with the weights to begin with.
        train: timelines of the train split.
        holdout: timelines and targets of the eval split; None where nothing is held out, and the last epoch is kept.
        measure: evaluates the model.
        backup: folder for what an interrupted fit leaves, of its own for this model and data; a fit goes on from it.
            Empty keeps nothing.
        plan: how long to fit; None is that of the model's settings.
        log_dir: local folder for TensorBoard; empty writes nothing.

    Raises:
        StepError: the loss is no longer finite.
    """
    settings = model.settings
    plan = plan or Plan.of(settings)
    holdout = None if holdout is None else _drawn(holdout, settings)
    batches = Batches(train, settings.window, settings.batch_positions, target_weights(train, settings), settings.seed)
    steps = math.ceil(batches.steps * plan.epochs / (1 - plan.begin))
    warm_up = min(WARM_UP_STEPS, steps)
    with model.distribute_strategy.scope():
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0,
            max(steps - warm_up, 1),
            LEAST_LEARNING_RATE,
            warmup_target=settings.learning_rate,
            warmup_steps=warm_up,
        )
        model.compile(
            LazyAdam(schedule, beta_2=ADAM_BETA_2, max_norm=MAX_GRADIENT_NORM), jit_compile=settings.jit_compile
        )
        model.optimizer.build(model.trainable_variables)
        model.optimizer.iterations.assign(int(plan.begin * steps))
    saved = Backup(backup) if backup else None
    run = _Run(plan, batches, holdout, measure, saved.restore(model) if saved else [])
    best = saved.best_of(run.best_epoch) if saved and run.history else ""
    early_stopping = _EarlyStopping(run.history, best, settings.patience)
    callbacks: list[keras.callbacks.Callback] = [run]
    callbacks += [early_stopping] if holdout is not None else []
    callbacks += (
        [keras.callbacks.TensorBoard(log_dir, write_graph=False, write_steps_per_second=True)] if log_dir else []
    )
    callbacks += saved.callbacks(run.best_recall, holdout is not None) if saved else []
    if not run.is_over(settings.patience):
        progress.debug("tracing the training step")
        model.fit(
            batches.dataset(),
            epochs=plan.epochs,
            initial_epoch=len(run.history),
            callbacks=callbacks,
            verbose=0,
            shuffle=False,
        )
    elif saved and holdout is not None:
        model.load_weights(best)
    return Fit(tuple(run.history), run.best_epoch, run.out_of_time)


class _Run(keras.callbacks.Callback):
    """Measures the model after each epoch, for the callbacks that follow and for people."""

    def __init__(
        self,
        plan: Plan,
        batches: Batches,
        holdout: Timelines | None,
        measure: Callable[[Recommender, Timelines], RankingMetrics],
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
        """Number of the best epoch, the first of equal ones; the last where none was measured."""
        if self.best_recall is None:
            return len(self.history)
        return next(epoch.epoch for epoch in self.history if epoch.recall_at_10 == self.best_recall)

    @property
    def best_recall(self) -> float | None:
        """The best Recall@10; None where none was measured."""
        return max((epoch.recall_at_10 for epoch in self.history if epoch.recall_at_10 is not None), default=None)

    def is_over(self, patience: int) -> bool:
        """Whether the history that was restored leaves nothing to do."""
        waited = self.best_recall is not None and len(self.history) - self.best_epoch >= patience
        return bool(self.history) and (len(self.history) >= self._plan.epochs or waited or self._is_late())

    def _is_late(self) -> bool:
        return 0 < 60 * self._plan.minutes <= time.monotonic() - self._started

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """See the base class."""
        self._batches.epoch = epoch
        # Keras keeps no states of random generators: each epoch has its own, so that a fit can go on after any.
        states = [variable for variable in self.model.variables if variable.path.endswith("seed_generator_state")]
        for number, state in enumerate(states):
            random = np.random.default_rng([self.model.settings.seed, epoch, number])
            state.assign(random.integers(0, 2**32, state.shape, np.uint32))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """See the base class."""
        if batch == 0:
            self._first_step_ended = time.monotonic()
        if self._is_late() and not self.model.stop_training:
            self.out_of_time = self.model.stop_training = True
            progress.info(
                "trainer.max_minutes %g is over: the fit ends here, and another machine may end it elsewhere",
                self._plan.minutes,
            )
        if logs and batch == ESTIMATED_AFTER and self._batches.epoch == len(self.history) == 0:
            float(logs["loss"])  # Steps run asynchronously.
            self._estimate(batch)
        if logs and time.monotonic() - self._reported > PROGRESS_EVERY:
            self._reported = time.monotonic()
            progress.debug(
                "epoch %d/%d  step %d/%d  loss %.3f",
                *(self._batches.epoch + 1, self._plan.epochs, batch + 1, self._batches.steps, float(logs["loss"])),
            )

    def _estimate(self, batch: int) -> None:
        """Says how long training takes, by the speed of the first steps but the first, which is traced."""
        steps = self._batches.steps * self._plan.epochs
        minutes = steps * (time.monotonic() - self._first_step_ended) / batch / 60
        progress.info("at this speed, the steps of %d epochs take about %.1f min", self._plan.epochs, minutes)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """See the base class; adds the metrics of the eval split to the logs.

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
    """Goes on where an interrupted fit stopped, which Keras' own does not; the best weights are those of a file."""

    def __init__(self, history: list[Epoch], best: str, patience: int):
        super().__init__(RECALL, patience=patience, mode="max", restore_best_weights=True)
        self._history = list(history)
        self._best = best

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """See the base class."""
        super().on_train_begin(logs)
        if not self._history:
            return
        self.best = max(epoch.recall_at_10 or 0.0 for epoch in self._history)
        self.best_epoch = next(epoch.epoch for epoch in self._history if epoch.recall_at_10 == self.best) - 1
        self.wait = len(self._history) - 1 - self.best_epoch
        now = self.model.get_weights()
        self.model.load_weights(self._best)
        self.best_weights = self.model.get_weights()
        self.model.set_weights(now)


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


class LazyAdam(keras.optimizers.Adam):
    """Adam (Kingma and Ba, ICLR 2015), lazy where a gradient is of some rows alone.

    Those rows are updated, with their moments, as Adam does; the others stay as they are, moments included, where Adam
    would let their moments decay and go on moving them. So does TensorFlow Addons' `LazyAdam`, which has no Keras 3.

    Args:
        max_norm: largest norm of all gradients together, those of all replicas summed, where Keras' `global_clipnorm`
            clips those of each replica by itself; None leaves them as they are.
        arguments: of Keras' Adam.
    """

    def __init__(self, *arguments: Any, max_norm: float | None = None, **named: Any):
        super().__init__(*arguments, **named)
        self._max_norm = max_norm

    def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple[Any, tf.Variable]]) -> list[tuple[Any, tf.Variable]]:
        """See the base class; clips the sums."""
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            grads_and_vars = [
                (_merged(gradient), variable)
                for gradient, variable in super()._all_reduce_sum_gradients(grads_and_vars)
            ]
        if self._max_norm is None:
            return grads_and_vars
        clipped, _ = tf.clip_by_global_norm([gradient for gradient, _ in grads_and_vars], self._max_norm)
        return [(gradient, variable) for gradient, (_, variable) in zip(clipped, grads_and_vars, strict=True)]

    def update_step(
        self, gradient: tf.Tensor | tf.IndexedSlices, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """See the base class; the indices of `tf.IndexedSlices` differ from each other."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        rows, slopes = gradient.indices, gradient.values
        number = self._get_variable_index(variable)
        momenta, velocities = self._momentums[number], self._velocities[number]
        momentum = tf.gather(momenta.value, rows) * self.beta_1 + slopes * (1 - self.beta_1)
        velocity = tf.gather(velocities.value, rows) * self.beta_2 + slopes**2 * (1 - self.beta_2)
        step = tf.cast(self.iterations + 1, tf.float32)
        rate = tf.cast(learning_rate, tf.float32) * tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        self.assign(momenta, tf.IndexedSlices(momentum, rows))
        self.assign(velocities, tf.IndexedSlices(velocity, rows))
        self.assign_sub(variable, tf.IndexedSlices(rate * momentum / (tf.sqrt(velocity) + self.epsilon), rows))


def _merged(gradient: Any) -> Any:
    """Returns a gradient whose rows differ from each other: those of several replicas may be of the same."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    return tf.IndexedSlices(tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows)), rows)


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


def _drawn(holdout: Timelines, settings: TrainerSettings) -> Timelines:
    """The users of the eval split that every epoch is measured with."""
    if not 0 < settings.eval_users < len(holdout):
        return holdout
    users = np.random.default_rng(settings.seed).choice(len(holdout), settings.eval_users, replace=False)
    return holdout.of_users(np.sort(users))
