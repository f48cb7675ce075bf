"""The learning rate schedule, early stopping, weight averaging, and learning with every encoder and loss."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from components.errors import StepError
from components.trainer import fit as fitting
from components.trainer.activity import TIME_GAP, ActivityFeature
from components.trainer.input_pipeline import Batches, Timelines
from components.trainer.model import RecommenderModel
from components.trainer.ranking import RankingMetrics, target_ranks
from components.trainer.settings import EncoderName, LossName, TrainerSettings
from tests.components.trainer.conftest import SMALL

pytestmark = pytest.mark.usefixtures("one_shape")

ENCODERS, LOSSES = EncoderName.__args__, LossName.__args__
SETTINGS = SMALL.model_copy(update={"blocks": 1, "batch_positions": 12, "max_epochs": 8})
# There are enough updates to learn at a learning rate of 0.05, on a schedule that warms up over 100 steps.
LEARNING = SETTINGS.model_copy(
    update={"dimension": 16, "dropout": 0.0, "negatives": 6, "batch_positions": 64, "learning_rate": 0.05}
)


def tiny(settings: TrainerSettings = SETTINGS) -> RecommenderModel:
    return RecommenderModel(settings, 4, np.array([0, 0, 5, 4, 3, 2, 1]))


@pytest.fixture(scope="module")
def data(timelines_of: Callable[..., Timelines]) -> Timelines:
    return timelines_of([[2, 3], [4, 5, 6], []], targets=[4, 4, 1])


def recorded(settings: TrainerSettings, data: Timelines, recalls: list[float]) -> tuple:
    """Fits with these recalls; returns the model, the fit and the weights by epoch."""
    model, remaining_recalls, epoch_weights = tiny(settings), iter(recalls), []

    def measure(model: RecommenderModel, holdout: Timelines) -> RankingMetrics:
        epoch_weights.append([weight.copy() for weight in model.get_weights()])
        return RankingMetrics(next(remaining_recalls), 0.0)

    return model, fitting.fit(model, data, data, measure), epoch_weights


def test_a_fit_stops_after_patience_and_keeps_the_best_weights(data):
    model, fitted, epoch_weights = recorded(SETTINGS, data, [0.1, 0.3, 0.2, 0.25, 0.9])
    assert [epoch.recall_at_10 for epoch in fitted.history] == [0.1, 0.3, 0.2, 0.25]
    assert fitted.best_epoch == 2
    for kept, best, last in zip(model.get_weights(), epoch_weights[1], epoch_weights[3], strict=True):
        np.testing.assert_array_equal(kept, best)
        assert kept.size < 4 or (kept != last).any()


def test_ranks_agree_with_a_brute_force(data):
    model = tiny()
    tables = model.tables()
    contexts, _ = model.read_out(data.histories(slice(None), 4), tables.embed)
    scores = np.asarray(contexts) @ np.asarray(tables.labels).T
    target_score = scores[0, 4]
    # Items 2 and 3 are in the history; 0 and 1 are not items.
    expected = sum(scores[0, item] > target_score for item in (5, 6))
    ranks = target_ranks(model, data)
    assert ranks[0] == expected
    assert ranks[1] == 7, "the target is in the history"
    assert ranks[2] == 7, "the target is unknown"


def test_invalid_items_between_the_items_of_a_history_are_skipped(activities_of):
    model = tiny()
    tables = model.tables()
    plain, length = model.read_out(activities_of([[3, 5, 0, 0]]), tables.embed)
    for history in ([0, 3, 0, 5], [3, 1, 5, 0], [3, 99, 5, -4]):
        context, context_length = model.read_out(activities_of([history]), tables.embed)
        np.testing.assert_allclose(context, plain, rtol=1e-5)
        assert context_length.numpy() == length.numpy() == [2]


@pytest.mark.parametrize(
    ("encoder", "loss"),
    [
        *((encoder, "sampled_softmax") for encoder in ENCODERS),
        *(("transformer", loss) for loss in LOSSES if loss != "sampled_softmax"),
    ],
)
def test_every_encoder_and_loss_learns_a_circle(circle, encoder, loss):
    data = circle()
    members = None if encoder == "transformer" else ()  # The default encoder has its default member.
    settings = LEARNING.model_copy(
        update={"encoder": encoder, "members": members, "loss": loss, "window": 2, "max_epochs": 12}
    )
    model = RecommenderModel(settings.model_copy(update={"patience": 12}), 4, np.bincount(data.items, minlength=14))
    fitted = fitting.fit(model, data, data, lambda *_: RankingMetrics(0.0, 0.0))
    assert fitted.history[-1].loss < 0.5 * fitted.history[0].loss


def fit_with_dropout(data: Timelines, loss: str, **changes: int) -> tuple[list[float], list[np.ndarray]]:
    """Returns the losses and weights of a fit with all random parts."""
    settings = SETTINGS.model_copy(
        update={"loss": loss, "negatives": 3, "dropout": 0.3, "item_dropout": 0.2, "max_epochs": 3, **changes}
    )
    model = tiny(settings)
    fitted = fitting.fit(model, data, data, lambda *_: RankingMetrics(0.0, 0.0))
    return [epoch.loss for epoch in fitted.history], model.get_weights()


@pytest.mark.parametrize(("loss", "compiled"), [("full_softmax", False), ("gbce", False), ("sampled_softmax", True)])
def test_the_same_seed_gives_the_same_model(data, loss, compiled):
    (losses, weights), (losses_again, weights_again) = (
        fit_with_dropout(data, loss, jit_compile=compiled) for _ in range(2)
    )
    assert losses == losses_again
    for weight, weight_again in zip(weights, weights_again, strict=True):
        np.testing.assert_array_equal(weight, weight_again)


def test_another_seed_gives_another_model(data):
    assert fit_with_dropout(data, "sampled_softmax")[0] != fit_with_dropout(data, "sampled_softmax", seed=2)[0]


def test_a_fit_stops_at_its_time_limit_and_logs_it(data, caplog):
    caplog.set_level(logging.INFO, "recommender.progress")
    model = tiny(SETTINGS.model_copy(update={"max_minutes": 1e-6}))
    fitted = fitting.fit(model, data, data)
    assert len(fitted.history) == fitted.best_epoch == 1 and fitted.out_of_time
    assert np.isfinite(fitted.history[0].loss)
    assert "the limit trainer.max_minutes 1e-06 ends the fit" in caplog.text


def test_the_schedule_depends_on_steps_and_not_on_time(circle, monkeypatch):
    """Each step has the same learning rate on a slow and on a fast machine."""

    lazy_adam = fitting.LazyAdam

    def rates(pause: float) -> list[float]:
        learning_rates = []

        class RecordingAdam(lazy_adam):
            def apply(self, gradients, variables):
                tf.py_function(
                    lambda rate: (time.sleep(pause), learning_rates.append(float(rate)))[1], [self.learning_rate], []
                )
                return super().apply(gradients, variables)

        monkeypatch.setattr(fitting, "LazyAdam", RecordingAdam)
        data = circle()
        settings = LEARNING.model_copy(update={"max_epochs": 6, "patience": 6, "max_minutes": 0})
        model = RecommenderModel(settings, 4, np.bincount(data.items, minlength=14))
        assert not fitting.fit(model, data, data, lambda *_: RankingMetrics(0.1, 0.0)).out_of_time
        steps = Batches(data, settings.window, settings.batch_positions).steps
        assert len(learning_rates) == int(model.optimizer.iterations.numpy()) == 6 * steps
        return learning_rates

    fast, slow = rates(0.0), rates(0.005)
    assert fast == slow
    top = int(np.argmax(fast))
    assert fast[0] == 0 and max(fast) == pytest.approx(0.05, rel=0.05)
    assert (np.diff(fast[: top + 1]) > 0).all() and (np.diff(fast[top:]) < 0).all()


def test_tensorboard_shows_the_metrics_of_the_fit(data, tmp_path):
    fitting.fit(tiny(), data, data, lambda *_: RankingMetrics(0.25, 0.1), log_dir=str(tmp_path))
    tags = {}
    for path in map(str, tmp_path.glob("**/events*")):
        for event in tf.compat.v1.train.summary_iterator(path):
            tags |= {
                value.tag: tf.make_ndarray(value.tensor) for value in event.summary.value if value.HasField("tensor")
            }
    assert {"epoch_loss", "epoch_learning_rate", "epoch_steps_per_second", "epoch_recall_at_10"} <= set(tags)
    assert float(tags["epoch_recall_at_10"]) == 0.25


def test_an_empty_history_is_ranked_by_popularity(timelines_of):
    empty = timelines_of([[]] * 5, targets=[2, 3, 4, 5, 6])
    assert target_ranks(tiny(), empty).tolist() == [0, 1, 2, 3, 4]


def test_diverged_training_is_an_error(data):
    model = tiny(SETTINGS.model_copy(update={"learning_rate": 1e30}))
    with pytest.raises(StepError, match=r"diverged in epoch \d+: the loss is (nan|inf); lower trainer.learning_rate"):
        fitting.fit(model, data, data)


def test_ratings_times_and_words_are_learnt(timelines_of):
    """The next item depends only on an item's rating, on the time before the item, or on a word."""
    users = 240
    rows = [[2, 3, 4 + user % 2] for user in range(users)]
    ratings = [[3.0, 1.0 + 4 * (user % 2), 3.0] for user in range(users)]
    times = [[1_000, 1_000 + 60 ** (1 + user % 2), 90_000] for user in range(users)]
    data = timelines_of(rows, ratings=ratings, times=times)
    counts = np.bincount(data.items, minlength=6)

    def last_loss(*names: str) -> float:
        settings = LEARNING.model_copy(update={"activity_features": names, "max_epochs": 10, "activity_dropout": 0.0})
        known = {"rating": ActivityFeature("rating", (2.0, 4.0)), "time_gap": TIME_GAP}
        known["kind"] = ActivityFeature("kind", words=("look", "buy"))
        features = [known[name] for name in names]
        model = RecommenderModel(settings.model_copy(update={"patience": 10}), 4, counts, activity_features=features)
        return fitting.fit(model, data, data, lambda *_: RankingMetrics(0.1, 0.0)).history[-1].loss

    # The same in a column of words: the kind of the second interaction.
    kinds = np.array([[0, 2 + user % 2, 1] for user in range(users)], np.int32)
    data = dataclasses.replace(data, activities={**data.activities, "kind": kinds.ravel()})
    loss_without_features = last_loss()
    assert loss_without_features > 0.4 * np.log(2), "half of the targets cannot be predicted"
    assert last_loss("rating") < 0.3 * loss_without_features
    assert last_loss("time_gap") < 0.3 * loss_without_features
    assert last_loss("kind") < 0.3 * loss_without_features


@pytest.mark.parametrize("encoder", ["lstm", "transformer"])
def test_mixed_precision_learns_and_leaves_a_model_in_float32(circle, encoder):
    data = circle(users=120)
    settings = LEARNING.model_copy(update={"encoder": encoder, "max_epochs": 10, "patience": 10})

    def fitted(mixed: bool) -> tuple[RecommenderModel, list[float]]:
        chosen = settings.model_copy(update={"mixed_precision": mixed})
        model = RecommenderModel(chosen, 4, np.bincount(data.items, minlength=14))
        history = fitting.fit(model, data, data, lambda *_: RankingMetrics(0.1, 0.0)).history
        return model, [epoch.loss for epoch in history]

    (model, losses), (_, exact) = fitted(True), fitted(False)
    assert losses != exact, "bfloat16 rounds"
    assert losses[0] == pytest.approx(exact[0], rel=0.01) and losses[-1] < 0.1 * losses[0]
    assert {weight.dtype for weight in model.weights if "seed" not in weight.path} == {"float32"}
    contexts, _ = model.read_out(data.histories(slice(None), 4), model.tables().embed)
    assert contexts.dtype == tf.float32
    assert (target_ranks(model, data) == 0).mean() > 0.7


def test_every_epoch_is_measured_on_the_same_sample_of_users(circle):
    data, holdouts = circle(), []

    def measure(model: RecommenderModel, holdout: Timelines) -> RankingMetrics:
        holdouts.append(holdout)
        return RankingMetrics(0.0, 0.0)

    settings = {eval_users: SETTINGS.model_copy(update={"eval_users": eval_users}) for eval_users in (0, 7, 60)}
    fitting.fit(RecommenderModel(settings[7], 4, np.bincount(data.items, minlength=14)), data, data, measure)
    assert [len(holdout) for holdout in holdouts] == [7] * 3
    assert all((holdout.targets == holdouts[0].targets).all() for holdout in holdouts)
    assert [len(fitting._sample_users(data, settings[eval_users])) for eval_users in (0, 60)] == [40, 40]
