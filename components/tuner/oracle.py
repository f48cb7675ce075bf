"""KerasTuner's oracles, which propose settings, extended to propose the configured settings first."""

from __future__ import annotations

from typing import Any

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from components.trainer.settings import TrainerSettings
from components.tuner.settings import TunerSettings
from components.tuner.space import make_space, position

OBJECTIVE = "eval_recall_at_10"


class _FirstTrial:
    """A mixin that proposes the values `first` in the first trial; None: the oracle proposes them."""

    first: dict[str, Any] | None = None
    trials: dict[str, Any]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """See `keras_tuner.Oracle`."""
        if self.first is not None and not self.trials:
            return {"status": TrialStatus.RUNNING, "values": dict(self.first)}
        proposal: dict[str, Any] = super().populate_space(trial_id)  # type: ignore[misc]
        return proposal


class _Random(_FirstTrial, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Bayesian(_FirstTrial, keras_tuner.oracles.BayesianOptimizationOracle):
    pass


def make_oracle(settings: TunerSettings, trainer: TrainerSettings) -> keras_tuner.Oracle:
    """Returns the oracle of a search that maximises OBJECTIVE.

    Args:
        settings: the Tuner's settings.
        trainer: the configured settings of the Trainer.
    """
    common = {
        "objective": keras_tuner.Objective(OBJECTIVE, "max"),
        "max_trials": settings.trials,
        "seed": settings.seed,
        "hyperparameters": make_space(settings.search_space),
        "allow_new_entries": False,
        # Failed trials never end the search.
        "max_consecutive_failed_trials": settings.trials + 1,
    }
    if settings.algorithm == "bayesian":
        # By default, KerasTuner draws three trials per setting at random: all trials of a short search.
        oracle = _Bayesian(num_initial_points=max(settings.trials // 2, 2), **common)
    else:
        oracle = _Random(**common)
    oracle.first = position(settings.search_space, trainer.model_dump(mode="json"))
    return oracle
