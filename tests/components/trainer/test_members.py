"""Several models side by side: their scores are averaged, and each is trained as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.trainer import losses
from components.trainer.activity import ActivityFeature
from components.trainer.model import RecommenderModel
from components.trainer.settings import TrainerSettings

COUNTS = np.array([0, 0, 5, 4, 3, 2, 1])
GENRES = np.array([[0, 0], [0, 0], [1, 0], [0, 1], [1, 0], [0.5, 0.5], [0, 1]], np.float32)


@pytest.fixture
def model() -> RecommenderModel:
    """Two convolutions and a bag of words, with random weights."""
    settings = TrainerSettings(
        unseen_compete_alone=False,
        **{"encoder": "cnn", "dimension": 4, "blocks": 1, "dropout": 0.0, "top_k": 3},
        **{"activity_features": ["rating"], "activity_dropout": 0.0},
        members=[{"encoder": "bow"}, {"encoder": "cnn"}],
    )
    model = RecommenderModel(settings, 3, COUNTS, {"genres": GENRES}, [ActivityFeature("rating", (2.5,))])
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def test_members_are_as_their_settings_say():
    settings = TrainerSettings(
        encoder="transformer", blocks=2, dropout=0.1, members=[{"encoder": "bow"}, {"blocks": 3}]
    )
    found = [(one.encoder, one.blocks, one.dropout) for one in settings.all_members()]
    assert found == [("transformer", 2, 0.1), ("bow", 2, 0.1), ("transformer", 3, 0.1)]


def test_members_begin_with_weights_of_their_own():
    model = RecommenderModel(TrainerSettings(encoder="bow", dimension=4, members=[{}]), 3, COUNTS)
    one, other = (np.asarray(member.item_tower.tables().labels) for member in model.members)
    assert (one[2:] != other[2:]).all()


def test_a_score_is_the_mean_of_members_with_losses_of_their_own(model, activities_of):
    histories = activities_of([[2, 5, 3], [4, 0, 0]], [[1, 4, 5], [2, 0, 0]]).tensors()
    tables = model.tables()
    contexts, length = model.read_out(histories, tables)
    assert tables.labels.shape == tables.inputs.shape == (7, 12) and contexts.shape == (2, 12)
    scores = np.asarray(contexts) @ np.asarray(tables.labels).T
    expected = np.zeros((2, 7))
    for member in model.members:
        of_member = member.item_tower.tables()
        every = np.asarray(member(tf.gather(of_member.inputs, histories["items"]), histories))
        last = every[np.arange(2), length.numpy() - 1]
        expected += last @ np.asarray(of_member.labels).T / 3
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_each_member_has_the_loss_that_it_would_have_alone(model, activities_of):
    inputs = activities_of([[2, 3, 4], [3, 2, 0]]).tensors()
    targets, weights = np.array([[3, 4, 2], [2, 6, 0]], np.int32), np.array([[1, 2, 1], [1, 1, 0]], np.float32)
    expected = 0.0
    for member in model.members:
        of_member = member.item_tower.tables()
        contexts = tf.reshape(member(tf.gather(of_member.inputs, inputs["items"]), inputs), [-1, 4])
        expected += float(
            losses.full_softmax(contexts, of_member.labels, targets.ravel(), weights.ravel() / weights.sum())
        )
    found = float(model.loss_of(inputs, tf.constant(targets), tf.constant(weights)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_joint_members_have_one_loss_and_their_scores_add_up(activities_of):
    members = [{"encoder": "cnn", "joint": True}, {"encoder": "bow"}]
    settings = TrainerSettings(
        **{"encoder": "bow", "dimension": 4, "dropout": 0.0, "unseen_compete_alone": False}, members=members
    )
    assert settings.group_sizes() == [2, 1]
    model = RecommenderModel(settings, 3, COUNTS)
    random = np.random.default_rng(2)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    activities = activities_of([[2, 3, 4], [3, 2, 6]])
    targets, weights = np.array([[3, 4, 2], [2, 6, 3]], np.int32), np.ones((2, 3), np.float32)
    tables = model.tables()
    contexts, labels = np.asarray(model(activities.tensors())).reshape(-1, 12), tables.labels
    expected = sum(
        float(losses.full_softmax(contexts[:, part], labels[:, part], targets.ravel(), weights.ravel() / weights.sum()))
        for part in (slice(0, 8), slice(8, 12))
    )
    found = float(model.loss_of(activities.tensors(), tf.constant(targets), tf.constant(weights)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    read, _ = model.read_out(activities.tensors(), tables)
    of_groups = contexts.reshape(2, 3, 12)[:, -1]
    mean = (of_groups[:, :8] @ labels.numpy()[:, :8].T + of_groups[:, 8:] @ labels.numpy()[:, 8:].T) / 2
    np.testing.assert_allclose(read @ labels.numpy().T, mean, rtol=1e-4, atol=1e-4)
