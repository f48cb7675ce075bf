"""The schedule, early stopping, weight averaging, and that everything learns."""

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
# So many updates that a learning rate of 0.05 shows, on a schedule that warms up over 100.
LEARNING = SETTINGS.model_copy(
    update={"dimension": 16, "dropout": 0.0, "negatives": 6, "batch_positions": 64, "learning_rate": 0.05}
)


def tiny(settings: TrainerSettings = SETTINGS) -> RecommenderModel:
    return RecommenderModel(settings, 4, np.array([0, 0, 5, 4, 3, 2, 1]))


@pytest.fixture(scope="module")
def data(timelines_of: Callable[..., Timelines]) -> Timelines:
    return timelines_of([[2, 3], [4, 5, 6], []], targets=[4, 4, 1])


def recorded(settings: TrainerSettings, data: Timelines, recalls: list[float]) -> tuple:
    """Fit with these recalls: the model, what fitting left, and the weights that were measured in each epoch."""
    model, answers, seen = tiny(settings), iter(recalls), []

    def measure(model: RecommenderModel, holdout: Timelines) -> RankingMetrics:
        seen.append([weight.copy() for weight in model.get_weights()])
        return RankingMetrics(next(answers), 0.0)

    return model, fitting.fit(model, data, data, measure), seen


def test_stops_after_patience_and_keeps_the_best_weights(data):
    model, fitted, seen = recorded(SETTINGS, data, [0.1, 0.3, 0.2, 0.25, 0.9])
    assert [epoch.recall_at_10 for epoch in fitted.history] == [0.1, 0.3, 0.2, 0.25]
    assert fitted.best_epoch == 2
    for kept, best, last in zip(model.get_weights(), seen[1], seen[3], strict=True):
        np.testing.assert_array_equal(kept, best)
        assert kept.size < 4 or (kept != last).any()


def test_ranks_agree_with_a_brute_force(data):
    model = tiny()
    tables = model.tables()
    contexts, _ = model.read_out(data.histories(slice(None), 4).tensors(), tables)
    scores = np.asarray(contexts) @ np.asarray(tables.labels).T
    own = scores[0, 4]
    ahead = sum(scores[0, item] > own for item in (5, 6))  # 2 and 3 were seen, 0 and 1 are no items
    ranks = target_ranks(model, data)
    assert ranks[0] == ahead
    assert ranks[1] == 7, "the target was seen before"
    assert ranks[2] == 7, "the target is unknown"


def test_histories_are_read_whatever_stands_between_their_items(activities_of):
    model = tiny()
    tables = model.tables()
    plain, length = model.read_out(activities_of([[3, 5, 0, 0]]).tensors(), tables)
    for other in ([0, 3, 0, 5], [3, 1, 5, 0], [3, 99, 5, -4]):
        same, same_length = model.read_out(activities_of([other]).tensors(), tables)
        np.testing.assert_allclose(same, plain, rtol=1e-5)
        assert same_length.numpy() == length.numpy() == [2]


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


def dropping_out(data: Timelines, loss: str, **changes: int) -> tuple[list[float], list[np.ndarray]]:
    """Losses and weights of a fit with all that is random."""
    settings = SETTINGS.model_copy(
        update={"loss": loss, "negatives": 3, "dropout": 0.3, "item_dropout": 0.2, "max_epochs": 3, **changes}
    )
    model = tiny(settings)
    fitted = fitting.fit(model, data, data, lambda *_: RankingMetrics(0.0, 0.0))
    return [epoch.loss for epoch in fitted.history], model.get_weights()


@pytest.mark.parametrize(("loss", "compiled"), [("full_softmax", False), ("gbce", False), ("sampled_softmax", True)])
def test_the_same_seed_gives_the_same_model(data, loss, compiled):
    (losses, weights), (again, same) = (dropping_out(data, loss, jit_compile=compiled) for _ in range(2))
    assert losses == again
    for weight, same_weight in zip(weights, same, strict=True):
        np.testing.assert_array_equal(weight, same_weight)


def test_another_seed_gives_another_model(data):
    assert dropping_out(data, "sampled_softmax")[0] != dropping_out(data, "sampled_softmax", seed=2)[0]


def test_stops_when_the_time_is_over_and_says_so(data, caplog):
    caplog.set_level(logging.INFO, "recommender.progress")
    model = tiny(SETTINGS.model_copy(update={"max_minutes": 1e-6}))
    fitted = fitting.fit(model, data, data)
    assert len(fitted.history) == fitted.best_epoch == 1 and fitted.out_of_time
    assert np.isfinite(fitted.history[0].loss)
    assert "the limit trainer.max_minutes 1e-06 ends the fit" in caplog.text


def test_the_schedule_goes_by_steps_and_not_by_the_clock(circle, monkeypatch):
    """On a slow machine each step has the learning rate that it has on a fast one."""

    lazy_adam = fitting.LazyAdam

    def rates(pause: float) -> list[float]:
        taken = []

        class Watch(lazy_adam):
            def apply(self, gradients, variables):
                tf.py_function(lambda rate: (time.sleep(pause), taken.append(float(rate)))[1], [self.learning_rate], [])
                return super().apply(gradients, variables)

        monkeypatch.setattr(fitting, "LazyAdam", Watch)
        data = circle()
        settings = LEARNING.model_copy(update={"max_epochs": 6, "patience": 6, "max_minutes": 0})
        model = RecommenderModel(settings, 4, np.bincount(data.items, minlength=14))
        assert not fitting.fit(model, data, data, lambda *_: RankingMetrics(0.1, 0.0)).out_of_time
        steps = Batches(data, settings.window, settings.batch_positions).steps
        assert len(taken) == int(model.optimizer.iterations.numpy()) == 6 * steps
        return taken

    fast, slow = rates(0.0), rates(0.005)
    assert fast == slow
    top = int(np.argmax(fast))
    assert fast[0] == 0 and max(fast) == pytest.approx(0.05, rel=0.05)
    assert (np.diff(fast[: top + 1]) > 0).all() and (np.diff(fast[top:]) < 0).all()


def test_tensorboard_and_the_history_show_the_fit(data, tmp_path):
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


def test_diverged_training_says_so(data):
    model = tiny(SETTINGS.model_copy(update={"learning_rate": 1e30}))
    with pytest.raises(StepError, match=r"diverged in epoch \d+: the loss is (nan|inf); lower trainer.learning_rate"):
        fitting.fit(model, data, data)


def test_ratings_and_times_are_learnt(timelines_of):
    """The next item depends only on an item's rating, or only on the time before the item."""
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
    data = dataclasses.replace(data, activities=dataclasses.replace(data.activities, columns={"kind": kinds.ravel()}))
    blind = last_loss()
    assert blind > 0.4 * np.log(2), "half of the targets cannot be known"
    assert last_loss("rating") < 0.3 * blind
    assert last_loss("time_gap") < 0.3 * blind
    assert last_loss("kind") < 0.3 * blind


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
    contexts, _ = model.read_out(data.histories(slice(None), 4).tensors(), model.tables())
    assert contexts.dtype == tf.float32
    assert (target_ranks(model, data) == 0).mean() > 0.7


def test_epochs_are_measured_with_the_same_users_as_many_as_asked(circle):
    data, seen = circle(), []

    def measure(model: RecommenderModel, holdout: Timelines) -> RankingMetrics:
        seen.append(holdout)
        return RankingMetrics(0.0, 0.0)

    settings = {asked: SETTINGS.model_copy(update={"eval_users": asked}) for asked in (0, 7, 60)}
    fitting.fit(RecommenderModel(settings[7], 4, np.bincount(data.items, minlength=14)), data, data, measure)
    assert [len(holdout) for holdout in seen] == [7] * 3
    assert all((holdout.targets == seen[0].targets).all() for holdout in seen)
    assert [len(fitting._sample_users(data, settings[asked])) for asked in (0, 60)] == [40, 40]
