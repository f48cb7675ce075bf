"""The search: each trial fits a model with proposed settings and returns its Recall@10 on the eval split."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus

from components.errors import StepError
from components.hyperparameters import decode, in_words
from components.trainer.settings import TrainerSettings
from components.tuner.oracle import OBJECTIVE, make_oracle
from components.tuner.settings import TunerSettings

progress = logging.getLogger("recommender.progress")


class Search(BaseTuner):
    """A tuner that searches for the Trainer's settings with the best Recall@10 on the eval split.

    A trial fails if it raises an error or its Recall@10 is not finite; the search continues with the next trial.

    Args:
        settings: the Tuner's settings.
        trainer: the configured settings of the Trainer, of which a trial changes only the searched ones.
        fit: function that fits a model and returns its Recall@10 on the eval split.
        directory: folder for KerasTuner's own files.
    """

    def __init__(
        self,
        settings: TunerSettings,
        trainer: TrainerSettings,
        fit: Callable[[TrainerSettings], float],
        directory: str,
    ):
        super().__init__(make_oracle(settings, trainer), directory=directory, project_name="trials", overwrite=True)
        self._settings = settings
        self._trainer = trainer
        self._fit = fit
        self._last_failure = ""

    def run_trial(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> dict[str, float]:
        """Fits a model and returns its score; see the base class."""
        values = {name: decode(value) for name, value in trial.hyperparameters.values.items()}
        name = f"trial {int(trial.trial_id) + 1}/{self._settings.trials}"
        try:
            with _demoted_progress(name):
                recall = self._fit(self._settings_of_trial(values))
            if not math.isfinite(recall):
                raise StepError(f"Recall@10 on the eval split is {recall}")
        except Exception as error:
            self._last_failure = (str(error) or type(error).__name__).splitlines()[0]
            progress.info("%s  %s  failed: %s", name, in_words(values), self._last_failure)
            raise
        progress.info("%s  %s  eval Recall@10 %.4f", name, in_words(values), recall)
        return {OBJECTIVE: recall}

    def on_search_end(self) -> None:
        """Checks that at least one trial succeeded; see the base class.

        Raises:
            StepError: every trial failed.
        """
        trials = self.oracle.trials.values()
        if not any(trial.status == TrialStatus.COMPLETED for trial in trials):
            raise StepError(f"all {len(trials)} trials of the Tuner failed; the last one: {self._last_failure}")
        if len(trials) < self._settings.trials:
            progress.info("the search ends early: the search space has only %d combinations", len(trials))

    def _settings_of_trial(self, values: dict[str, Any]) -> TrainerSettings:
        budget = {"max_epochs": self._settings.max_epochs, "max_minutes": self._settings.minutes_per_trial}
        return TrainerSettings.model_validate({**self._trainer.model_dump(), **budget, **values})


@contextlib.contextmanager
def _demoted_progress(name: str) -> Iterator[None]:
    """Logs the progress of a fit at debug level with the trial's name, since a search has too many epochs to show."""

    def demote(record: logging.LogRecord) -> bool:
        record.msg, record.args = f"{name}  {record.getMessage()}", ()
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return True

    progress.addFilter(demote)
    try:
        yield
    finally:
        progress.removeFilter(demote)
