"""Searches with simulated fits: the best trial wins, and failed trials do not stop a search."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest

from components.errors import StepError
from components.hyperparameters import best_values
from components.trainer.settings import TrainerSettings
from components.tuner.search import Search
from components.tuner.settings import TunerSettings

TRAINER = TrainerSettings(dropout=0.2, max_epochs=50, max_minutes=60)
SPACE = {"dropout": [0.1, 0.2, 0.3, 0.4]}


def search(folder: Path, fit, **settings) -> tuple[Search, list[TrainerSettings]]:
    """Runs a search; returns it and the settings that it tried."""
    tried: list[TrainerSettings] = []

    def remember(trial: TrainerSettings) -> float:
        tried.append(trial)
        return fit(trial)

    settings = {"trials": 4, "search_space": SPACE, "max_epochs": 3, "minutes_per_trial": 0.5, **settings}
    searcher = Search(TunerSettings(**settings), TRAINER, remember, str(folder))
    searcher.search()
    return searcher, tried


def best_of(searcher: Search) -> dict:
    return best_values(searcher.get_best_hyperparameters()[0].get_config())


class Lines(logging.Handler):
    """Collects progress lines: those that stay on the screen, and those that are overwritten."""

    def __init__(self):
        super().__init__()
        self.permanent: list[str] = []
        self.transient: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        (self.permanent if record.levelno >= logging.INFO else self.transient).append(record.getMessage())


@pytest.fixture
def lines():
    progress = logging.getLogger("recommender.progress")
    level, handler = progress.level, Lines()
    progress.addHandler(handler)
    progress.setLevel(logging.DEBUG)
    yield handler
    progress.setLevel(level)
    progress.removeHandler(handler)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_the_best_recall_wins_within_the_budget_of_trials(tmp_path, algorithm, monkeypatch):
    monkeypatch.chdir(tmp_path)
    searcher, tried = search(
        tmp_path / "work", lambda settings: 0.5 - abs(settings.dropout - 0.3), algorithm=algorithm, trials=8
    )
    assert best_of(searcher) == {"dropout": 0.3}
    assert tried[0].dropout == TRAINER.dropout, "the unchanged configuration is tried first"
    assert {(settings.max_epochs, settings.max_minutes) for settings in tried} == {(3, 0.5)}
    assert {settings.dimension for settings in tried} == {TRAINER.dimension}
    assert [path.name for path in tmp_path.iterdir()] == ["work"], "the search writes only to its folder"


def test_the_same_seed_tries_the_same_values(tmp_path):
    space = {"learning_rate": {"min": 0.001, "max": 0.1, "log": True}}

    def rates(seed: int) -> list[float]:
        return [trial.learning_rate for trial in search(tmp_path, lambda _: 0.1, seed=seed, search_space=space)[1]]

    assert rates(1) == rates(1) != rates(2)
    assert all(0.001 <= rate <= 0.1 for rate in rates(3))


def test_failed_trials_do_not_stop_the_search(tmp_path, lines):
    def fit(settings: TrainerSettings) -> float:
        if settings.dropout in (0.1, 0.2):
            raise StepError("training diverged in epoch 1: the loss is nan; lower trainer.learning_rate from 9\nmore")
        return math.nan if settings.dropout == 0.3 else 0.25

    searcher, tried = search(tmp_path, fit)
    assert len(tried) == 4 and best_of(searcher) == {"dropout": 0.4}
    assert "trial 1/4  dropout 0.2  failed: training diverged in epoch 1: the loss is nan; lower " in lines.permanent[0]
    assert any(line.endswith("dropout 0.3  failed: Recall@10 on the eval split is nan") for line in lines.permanent)
    assert any(line.endswith("dropout 0.4  eval Recall@10 0.2500") for line in lines.permanent)
    assert not any("\n" in line for line in lines.permanent)


def test_a_search_in_which_all_trials_fail_is_an_error(tmp_path):
    def fit(settings: TrainerSettings) -> float:
        raise MemoryError

    with pytest.raises(StepError) as error:
        search(tmp_path, fit)
    assert str(error.value) == "all 4 trials of the Tuner failed; the last one: MemoryError"


def test_an_exhausted_space_ends_the_search(tmp_path, lines):
    searcher, tried = search(tmp_path, lambda settings: 0.1, trials=50)
    assert 2 <= len(tried) <= 4
    assert lines.permanent[-1] == f"the search ends early: the search space has only {len(tried)} combinations"
    assert best_of(searcher) == {"dropout": 0.2}


def test_progress_of_a_fit_is_transient(tmp_path, lines):
    def fit(settings: TrainerSettings) -> float:
        logging.getLogger("recommender.progress").info("epoch %d/%d", 1, 2)
        return 0.1

    search(tmp_path, fit, trials=1)
    assert lines.transient == ["trial 1/1  epoch 1/2"]
    assert lines.permanent == ["trial 1/1  dropout 0.2  eval Recall@10 0.1000"]


def test_the_recall_of_a_trial_may_be_a_numpy_number(tmp_path):
    searcher, _ = search(tmp_path, lambda settings: np.float32(settings.dropout))
    assert best_of(searcher) == {"dropout": 0.4}
