"""The weight of each activity as a target."""

from __future__ import annotations

import numpy as np
import pytest

from components.errors import StepError
from components.trainer.fit import fit
from components.trainer.input_pipeline import target_weights
from components.trainer.model import RecommenderModel
from components.trainer.ranking import RankingMetrics
from components.trainer.settings import TrainerSettings

ITEMS, RATINGS = [[2, 3, 4], [3, 2]], [[1.0, 4.0, 5.0], [3.0, 2.0]]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 1, 1, 1, 1]),
        ({"min_target_rating": 3}, [0, 1, 1, 1, 0]),
        ({"min_target_rating": 3.5}, [0, 1, 1, 0, 0]),
        ({"target_weight": "rating"}, [1 / 3, 4 / 3, 5 / 3, 3 / 3, 2 / 3]),
        ({"target_weight": "rating", "min_target_rating": 4}, [0, 8 / 9, 10 / 9, 0, 0]),
    ],
)
def test_weights_agree_with_weights_by_hand(timelines_of, settings, expected):
    weights = target_weights(timelines_of(ITEMS, ratings=RATINGS), TrainerSettings(**settings))
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights.dtype == np.float32
    assert weights[weights > 0].mean() == pytest.approx(1)


def test_ratings_of_zero_or_less_have_no_weight(timelines_of):
    data = timelines_of([[2, 3, 4]], ratings=[[-1.0, 0.0, 2.0]])
    assert target_weights(data, TrainerSettings(target_weight="rating")).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("settings", "ratings", "message"),
    [
        (
            {"min_target_rating": 6},
            RATINGS,
            "6.0 and trainer.target_weight 'equal'; the highest rating is 5",
        ),
        ({"target_weight": "rating"}, [[0.0] * 3, [-2.0] * 2], "None and trainer.target_weight 'rating'; the highest"),
    ],
)
def test_settings_that_leave_no_target_are_a_one_line_error(timelines_of, settings, ratings, message):
    with pytest.raises(StepError) as error:
        target_weights(timelines_of(ITEMS, ratings=ratings), TrainerSettings(**settings))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("one_shape")
@pytest.mark.parametrize("settings", [{}, {"min_target_rating": 3.0}, {"target_weight": "rating"}])
def test_items_with_low_ratings_are_not_learnt(timelines_of, settings):
    """After item 2 follows item 3 with rating 5, or twice as often item 4 with rating 1."""
    data = timelines_of([[2, 3], [2, 4], [2, 4]] * 30, ratings=[[3, 5], [3, 1], [3, 1]] * 30)
    trainer = TrainerSettings(
        **{"encoder": "bow", "members": (), "dimension": 8, "dropout": 0.0, "learning_rate": 0.05},
        **{"top_k": 1, "max_epochs": 10, "patience": 10, **settings},
    )
    model = RecommenderModel(trainer, 4, np.bincount(data.items, minlength=5))
    rising = iter(range(10))
    fit(model, data, data, lambda *_: RankingMetrics(float(next(rising)), 0.0))
    tables = model.tables()
    contexts, _ = model.read_out(timelines_of([[2]]).histories(slice(None), 4), tables.embed)
    liked, disliked = (np.asarray(tables.labels) @ np.asarray(contexts)[0])[3:5]
    assert (liked > disliked) == bool(settings)
