"""Models with several members: their scores are averaged, and each member is trained separately."""

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
    """Returns a model of two convolutions and a bag of words, with random weights."""
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


def test_members_override_the_settings_of_the_model():
    settings = TrainerSettings(
        encoder="transformer", blocks=2, dropout=0.1, members=[{"encoder": "bow"}, {"blocks": 3}]
    )
    members = [(member.encoder, member.blocks, member.dropout) for member in settings.all_members()]
    assert members == [("transformer", 2, 0.1), ("bow", 2, 0.1), ("transformer", 3, 0.1)]


def test_members_have_different_initial_weights():
    model = RecommenderModel(TrainerSettings(encoder="bow", dimension=4, members=[{}]), 3, COUNTS)
    first, second = (np.asarray(member.item_tower.tables().labels) for member in model.members)
    assert (first[2:] != second[2:]).all()


def test_a_score_is_the_mean_over_members_with_separate_losses(model, activities_of):
    histories = activities_of([[2, 5, 3], [4, 0, 0]], [[1, 4, 5], [2, 0, 0]])
    tables = model.tables()
    contexts, length = model.read_out(histories, tables.embed)
    assert tables.labels.shape == tables.inputs.shape == (7, 12) and contexts.shape == (2, 12)
    scores = np.asarray(contexts) @ np.asarray(tables.labels).T
    expected = np.zeros((2, 7))
    for member in model.members:
        member_tables = member.item_tower.tables()
        member_contexts = np.asarray(member(tf.gather(member_tables.inputs, histories["items"]), histories))
        last = member_contexts[np.arange(2), length.numpy() - 1]
        expected += last @ np.asarray(member_tables.labels).T / 3
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_each_member_has_the_loss_of_a_separate_model(model, activities_of):
    inputs = activities_of([[2, 3, 4], [3, 2, 0]])
    targets, weights = np.array([[3, 4, 2], [2, 6, 0]], np.int32), np.array([[1, 2, 1], [1, 1, 0]], np.float32)
    expected = 0.0
    for member in model.members:
        member_tables = member.item_tower.tables()
        contexts = tf.reshape(member(tf.gather(member_tables.inputs, inputs["items"]), inputs), [-1, 4])
        expected += float(
            losses.full_softmax(contexts, member_tables.labels, targets.ravel(), weights.ravel() / weights.sum())
        )
    loss = float(model.loss_of(inputs, tf.constant(targets), tf.constant(weights)))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_joint_members_have_one_loss_and_add_their_scores(activities_of):
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
    contexts, labels = np.asarray(model(activities)).reshape(-1, 12), tables.labels
    expected = sum(
        float(losses.full_softmax(contexts[:, part], labels[:, part], targets.ravel(), weights.ravel() / weights.sum()))
        for part in (slice(0, 8), slice(8, 12))
    )
    loss = float(model.loss_of(activities, tf.constant(targets), tf.constant(weights)))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    history_contexts, _ = model.read_out(activities, tables.embed)
    last_contexts = contexts.reshape(2, 3, 12)[:, -1]
    mean = (last_contexts[:, :8] @ labels.numpy()[:, :8].T + last_contexts[:, 8:] @ labels.numpy()[:, 8:].T) / 2
    np.testing.assert_allclose(history_contexts @ labels.numpy().T, mean, rtol=1e-4, atol=1e-4)
