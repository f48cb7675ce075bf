"""The schedule and early stopping."""

from __future__ import annotations

import numpy as np
import pytest

from components.errors import StepError
from components.trainer import fit as fitting
from components.trainer.input_pipeline import Timelines
from components.trainer.model import Recommender
from components.trainer.ranking import RankingMetrics, target_ranks
from components.trainer.settings import TrainerSettings

SETTINGS = TrainerSettings(
    encoder="bow", dimension=4, blocks=1, batch_positions=12, window=4, max_epochs=8, max_minutes=5, patience=2, top_k=3
)


def tiny(settings: TrainerSettings = SETTINGS) -> tuple[Recommender, Timelines]:
    histories = np.array([[2, 3, 0, 0], [4, 5, 6, 0], [0, 0, 0, 0]], np.int32)
    starts, items = np.array([0, 2, 5, 5]), np.array([2, 3, 4, 5, 6], np.int32)
    empty = np.zeros(0, np.int32)
    data = Timelines(items, starts, histories, np.array([4, 4, 1], np.int32), empty.reshape(0, 1), empty)
    return Recommender(settings, 4, np.array([0, 0, 5, 4, 3, 2, 1])), data


def test_schedule_rises_then_falls_to_its_least():
    assert fitting.schedule(0, 0.0) == pytest.approx(1 / fitting.WARM_UP_STEPS)
    assert fitting.schedule(1000, 0.0) == pytest.approx(1.0)
    assert fitting.schedule(1000, 0.5) == pytest.approx(0.505)
    assert fitting.schedule(1000, 7.0) == pytest.approx(fitting.LEAST_LEARNING_RATE)


def test_stops_after_patience_and_keeps_the_best_weights():
    model, data = tiny()
    recalls, seen = iter([0.1, 0.3, 0.2, 0.25, 0.9]), []

    def measure(model: Recommender, holdout: Timelines) -> RankingMetrics:
        seen.append([weight.copy() for weight in model.get_weights()])
        return RankingMetrics(next(recalls), 0.0)

    fitted = fitting.fit(model, data, data, measure)
    assert [epoch.recall_at_10 for epoch in fitted.history] == [0.1, 0.3, 0.2, 0.25]
    assert fitted.best_epoch == 2
    for kept, best, last in zip(model.get_weights(), seen[1], seen[3], strict=True):
        np.testing.assert_array_equal(kept, best)
        assert kept.size < 4 or (kept != last).any()


def test_ranks_agree_with_a_brute_force():
    model, data = tiny()
    table = np.asarray(model.item_tower.table())
    contexts, _ = (np.asarray(value) for value in model.read_out(data.histories, model.item_tower.table()))
    scores = contexts @ table.T
    own = scores[0, 4]
    ahead = sum(scores[0, item] > own for item in (5, 6))  # 2 and 3 were seen, 0 and 1 are no items
    ranks = target_ranks(model, data)
    assert ranks[0] == ahead
    assert ranks[1] == len(table), "the target was seen before"
    assert ranks[2] == len(table), "the target is unknown"


def test_histories_are_read_whatever_stands_between_their_items():
    model, _ = tiny()
    table = model.item_tower.table()
    plain, length = model.read_out(np.array([[3, 5, 0, 0]], np.int32), table)
    for other in ([0, 3, 0, 5], [3, 1, 5, 0], [3, 99, 5, -4]):
        same, same_length = model.read_out(np.array([other], np.int32), table)
        np.testing.assert_allclose(same, plain, rtol=1e-5)
        assert same_length.numpy() == length.numpy() == [2]


def cycles(users: int = 40, films: int = 12, length: int = 9) -> Timelines:
    """Everybody goes round in the same circle, so that the next item is certain."""
    first = np.arange(users) % films
    rows = (first[:, None] + np.arange(length + 1)) % films + 2
    empty = np.zeros(0, np.int32)
    return Timelines(
        rows[:, :length].ravel().astype(np.int32),
        np.arange(users + 1) * length,
        rows[:, length - 4 : length].astype(np.int32),
        rows[:, length].astype(np.int32),
        empty.reshape(0, 1),
        empty,
    )


@pytest.mark.parametrize(
    ("encoder", "loss"),
    [
        *((name, "full_softmax") for name in ("bow", "cnn", "lstm", "transformer")),
        ("transformer", "sampled_softmax"),
    ],
)
def test_every_encoder_and_loss_learns_a_circle(encoder, loss):
    settings = TrainerSettings(
        **{"encoder": encoder, "loss": loss, "dimension": 16, "blocks": 1, "dropout": 0.0, "negatives": 6},
        **{"batch_positions": 64, "window": 2, "max_epochs": 12, "patience": 12, "learning_rate": 0.05, "top_k": 3},
    )
    data = cycles()
    model = Recommender(settings, 4, np.bincount(data.items, minlength=14))
    fitted = fitting.fit(model, data, data, lambda *_: RankingMetrics(0.0, 0.0))
    assert fitted.history[-1].loss < 0.5 * fitted.history[0].loss


@pytest.mark.parametrize("loss", ["full_softmax", "sampled_softmax"])
def test_the_same_seed_gives_the_same_model(loss):
    settings = SETTINGS.model_copy(update={"loss": loss, "negatives": 3, "dropout": 0.3, "max_epochs": 3})
    data = tiny()[1]

    def losses(seed: int) -> list[float]:
        model, _ = tiny(settings.model_copy(update={"seed": seed}))
        return [epoch.loss for epoch in fitting.fit(model, data, data).history]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_stops_when_the_time_is_over():
    model, data = tiny(SETTINGS.model_copy(update={"max_minutes": 1e-6}))
    fitted = fitting.fit(model, data, data)
    assert len(fitted.history) == fitted.best_epoch == 1
    assert np.isfinite(fitted.history[0].loss)


def test_an_empty_history_is_ranked_by_popularity():
    model, data = tiny()
    targets = np.arange(2, 7, dtype=np.int32)
    empty = Timelines(
        data.items[:0], np.zeros(6, np.int64), np.zeros((5, 4), np.int32), targets, data.genres, data.years
    )
    assert target_ranks(model, empty).tolist() == [0, 1, 2, 3, 4]


def test_diverged_training_says_so():
    model, data = tiny(SETTINGS.model_copy(update={"learning_rate": 1e30}))
    with pytest.raises(StepError, match=r"diverged in epoch \d+: the loss is (nan|inf); lower trainer.learning_rate"):
        fitting.fit(model, data, data)
