"""The function that TFX's Tuner calls, on tiny arrays: real fits, one of which diverges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tfx.components.trainer.fn_args_utils import FnArgs

from components.hyperparameters import best_values
from components.trainer.input_pipeline import Activities, Timelines
from components.trainer.settings import TrainerSettings
from components.trainer.training_data import TrainingData
from components.tuner import run
from components.tuner.settings import TunerSettings

TRAINER = TrainerSettings(
    encoder="bow", dimension=4, blocks=1, item_features=(), batch_positions=24, window=4, max_minutes=5, top_k=3
)


def circle(users: int = 12, films: int = 6, length: int = 6) -> TrainingData:
    """Returns data in which all users follow the same circle of items."""
    rows = ((np.arange(users)[:, None] + np.arange(length + 1)) % films + 2).astype(np.int32)

    def activities(items: np.ndarray) -> Activities:
        return {"items": items, "ratings": np.ones(items.shape, np.float32), "times": np.ones(items.shape, np.int32)}

    timelines = Timelines(
        activities=activities(rows[:, :length].ravel()),
        starts=np.arange(users + 1) * length,
        targets=rows[:, length],
    )
    return TrainingData(
        train=timelines,
        holdout=timelines,
        ids=[str(film) for film in range(films)],
        counts=np.bincount(timelines.items, minlength=films + 2),
        pairs=np.zeros((0, 2), np.int32),
        tokens=[],
        vectors=np.zeros((films + 2, 0), np.float32),
        history_length=2,
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_diverging_trial_does_not_stop_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "read_training_data", lambda fn_args: circle())
    monkeypatch.chdir(tmp_path)
    tuner = TunerSettings(trials=2, max_epochs=1, search_space={"learning_rate": [0.01, 1e30]})
    config = {
        "settings": TRAINER.model_copy(update={"learning_rate": 0.01}).model_dump(mode="json"),
        "tuner": tuner.model_dump(mode="json"),
    }
    tuner_result = run.tuner_fn(FnArgs(working_dir=str(tmp_path / "work"), custom_config=config))
    tuner_result.tuner.search(**tuner_result.fit_kwargs)
    trials = tuner_result.tuner.oracle.trials.values()
    statuses = {trial.hyperparameters.values["learning_rate"]: trial.status for trial in trials}
    assert statuses == {0.01: "COMPLETED", 1e30: "FAILED"}
    assert best_values(tuner_result.tuner.get_best_hyperparameters()[0].get_config()) == {"learning_rate": 0.01}
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
