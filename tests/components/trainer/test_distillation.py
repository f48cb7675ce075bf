"""The predictions of a teacher at every position, and a model that learns them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from components import features
from components.trainer import distillation, losses
from components.trainer.distillation import soft_targets
from components.trainer.fit import fit
from components.trainer.input_pipeline import Batches, SoftTargets, Timelines, take
from components.trainer.model import RecommenderModel
from components.trainer.ranking import target_ranks
from components.trainer.settings import TrainerSettings

pytestmark = pytest.mark.usefixtures("one_shape")

FILMS, COUNT = 12, 4
SETTINGS = TrainerSettings(
    **{"encoder": "bow", "dimension": 16, "members": (), "dropout": 0.0, "batch_positions": 64, "window": 4},
    **{"loss": "full_softmax", "learning_rate": 0.05, "max_epochs": 30, "top_k": 3},
)


def recommender(counts: np.ndarray, **changes: object) -> RecommenderModel:
    """Returns a model with random weights."""
    model = RecommenderModel(SETTINGS.model_copy(update=changes), 4, counts)
    random = np.random.default_rng(3)
    model.set_weights([random.normal(scale=0.5, size=weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture
def timelines(timelines_of: Callable[..., Timelines]) -> Timelines:
    """Returns timelines of every length from 0 to 13, more than three times the history length of the model."""
    random = np.random.default_rng(5)
    return timelines_of([random.permutation(FILMS)[:length] + features.FIRST_INDEX for length in [*range(14), 13, 2]])


@pytest.mark.parametrize("members", [(), ({"encoder": "cnn", "joint": True}, {"encoder": "bow"})])
@pytest.mark.parametrize("recommends_seen", [False, True])
def test_a_teacher_predicts_from_the_history_before_each_position(timelines, members, recommends_seen, monkeypatch):
    monkeypatch.setattr(distillation, "POSITIONS", 12)  # Several batches.
    counts = np.bincount(timelines.items, minlength=FILMS + features.FIRST_INDEX + 1)
    assert counts[-1] == 0, "the last item has no train events and is never predicted"
    settings = TrainerSettings(**{**SETTINGS.model_dump(), "members": members})
    teacher = recommender(
        counts, members=settings.members, repeats="recommend" if recommends_seen else "keep", window=8
    )
    predictions = soft_targets(teacher, timelines, COUNT, temperature=2.0)
    assert predictions.items.shape == predictions.probabilities.shape == (len(timelines.items), COUNT)
    tables = teacher.tables()
    for first, stop in zip(timelines.starts[:-1], timelines.starts[1:], strict=True):
        for position in range(first + 1, stop):
            before = timelines.items[first:position]
            history = take(timelines.activities, slice(max(position - 4, first), position))
            padded = {name: np.pad(values, (0, 4 - len(values)))[None] for name, values in history.items()}
            context, _ = teacher.read_out(padded, tables.embed)
            scores = (np.asarray(context) @ np.asarray(tables.labels[: teacher.trained]).T)[0] / 2
            scores[: features.FIRST_INDEX] = -np.inf
            if not recommends_seen:
                scores[before] = -np.inf
            expected = np.argsort(-scores, kind="stable")[:COUNT]
            known = np.isfinite(scores[expected])
            np.testing.assert_array_equal(predictions.items[position][known], expected[known])
            odds = np.exp(scores[expected] - scores[expected].max())
            np.testing.assert_allclose(predictions.probabilities[position], odds / odds.sum(), atol=2e-3)


def test_the_first_activity_of_a_timeline_has_no_prediction(timelines):
    predictions = soft_targets(recommender(np.bincount(timelines.items)), timelines, COUNT, 1.0)
    firsts = timelines.starts[:-1][np.diff(timelines.starts) > 0]
    assert not predictions.probabilities[firsts].any()
    later = np.setdiff1d(np.arange(len(timelines.items)), firsts)
    np.testing.assert_allclose(predictions.probabilities[later].astype(float).sum(axis=1), 1, atol=5e-3)


def test_a_batch_has_the_prediction_of_the_teacher_for_each_target(timelines):
    numbers = np.arange(len(timelines.items))[:, None] * 10 + np.arange(COUNT)
    soft = SoftTargets(numbers.astype(np.int32), (numbers / 1000).astype(np.float16))
    # The weight of each activity is its position.
    weights = np.arange(len(timelines.items)).astype(np.float32)
    targets = []
    for _, _, positions, (items, shares) in Batches(timelines, 4, 64, weights, soft=soft).batches():
        is_target = positions > 0
        assert not shares[~is_target].any() and items.dtype == np.int32 and shares.dtype == np.float16
        np.testing.assert_array_equal(items[is_target], numbers[positions[is_target].astype(int)])
        np.testing.assert_allclose(shares[is_target], numbers[positions[is_target].astype(int)] / 1000, rtol=1e-3)
        targets += positions[is_target].astype(int).tolist()
    assert len(targets) == len(timelines.items) - np.count_nonzero(np.diff(timelines.starts)), "each target occurs once"


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_loss_and_gradient_agree_with_those_of_mixed_labels(weight):
    random = np.random.default_rng(1)
    contexts, table = (tf.Variable(random.normal(size=shape), dtype=tf.float32) for shape in ((3, 5), (8, 5)))
    targets, weights = tf.constant([2, 7, 4]), tf.constant([0.5, 0.3, 0.2])
    items = tf.constant([[3, 2], [5, 6], [2, 3]])
    shares = weight * tf.constant([[0.8, 0.2], [0.6, 0.4], [0.5, 0.5]])
    absent = tf.constant(np.eye(3, 6, k=2) > 0)  # items 4, 5 and 6, one in each row
    absent = tf.tensor_scatter_nd_update(absent, [[1, 3]], [False])  # Item 5 is a label of its row.
    with tf.GradientTape(persistent=True) as tape:
        loss = losses.full_softmax(contexts, table, targets, weights, absent=absent, teacher=(items, shares))
        labels = (1 - weight) * tf.one_hot(targets - 2, 6)
        labels += tf.reduce_sum(shares[..., None] * tf.one_hot(items - 2, 6), axis=1)
        logits = tf.where(absent, -1e9, tf.matmul(contexts, table[2:], transpose_b=True))
        expected = tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(labels, logits) * weights)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for gradient, expected_gradient in zip(
        tape.gradient(loss, [contexts, table]), tape.gradient(expected, [contexts, table]), strict=True
    ):
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), tf.convert_to_tensor(expected_gradient), atol=1e-6)


@pytest.mark.parametrize(("weight", "jit_compile"), [(0.0, False), (1.0, False), (1.0, True)])
def test_a_model_learns_the_predictions_of_its_teacher(circle, weight, jit_compile):
    """The teacher predicts the item after the next one; in the data, the next item follows."""
    data = circle(users=120, films=FILMS)

    def next_item(items: np.ndarray) -> np.ndarray:
        return (items - features.FIRST_INDEX + 1) % FILMS + features.FIRST_INDEX

    soft = SoftTargets(next_item(data.items)[:, None].astype(np.int32), np.ones((len(data.items), 1), np.float16))
    settings = SETTINGS.model_copy(update={"teacher_weight": weight, "jit_compile": jit_compile, "max_epochs": 10})
    model = RecommenderModel(settings, 4, np.bincount(data.items))
    fit(model, data, None, soft=soft)
    expected = dataclasses.replace(data, targets=next_item(data.targets)) if weight else data
    assert (target_ranks(model, expected) == 0).mean() > 0.9
