"""A user with 100,000 activities is fitted beside other users, in windows."""

from __future__ import annotations

import numpy as np
import pytest

from components.trainer.fit import fit
from components.trainer.model import RecommenderModel
from components.trainer.settings import TrainerSettings


@pytest.fixture
def settings() -> TrainerSettings:
    return TrainerSettings(
        encoder="bow", members=(), dimension=4, window=200, batch_positions=6400, max_epochs=1, max_minutes=1, top_k=3
    )


def test_a_user_with_100_000_activities_is_fitted(timelines_of, settings, one_shape):
    heavy = (np.arange(100_000) % 5 + 2).tolist()
    data = timelines_of([heavy, [2, 3, 4]], targets=[2, 5])
    model = RecommenderModel(settings, 4, np.array([0, 0, 5, 4, 3, 2, 1]))
    fitted = fit(model, data, data)
    assert len(fitted.history) == 1 and np.isfinite(fitted.history[0].loss)
