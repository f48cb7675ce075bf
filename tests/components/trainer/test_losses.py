"""The losses, compared with values computed by hand or with NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from components.trainer import losses
from components.trainer.model import RecommenderModel
from components.trainer.settings import LossName, TrainerSettings

RANDOM = np.random.default_rng(1)
CONTEXTS = RANDOM.normal(size=(4, 3)).astype(np.float32)
TABLE = RANDOM.normal(size=(7, 3)).astype(np.float32)  # two reserved rows, five items
TARGETS = np.array([2, 6, 4, 0], np.int32)
WEIGHTS = np.array([1, 1, 1, 0], np.float32) / 3
LOSSES = LossName.__args__


def full_by_hand(smoothing: float = 0.0, weights: np.ndarray = WEIGHTS) -> float:
    """Cross-entropy with (1 - smoothing) + smoothing / 5 for the target, and smoothing / 5 for the other items."""
    position_losses = []
    for context, target in zip(CONTEXTS[:3], TARGETS[:3], strict=True):
        logits = TABLE[2:] @ context
        log_probabilities = logits - math.log(np.exp(logits).sum())
        labels = np.full(5, smoothing / 5)
        labels[target - 2] += 1 - smoothing
        position_losses.append(-(labels * log_probabilities).sum())
    return float(np.average(position_losses, weights=weights[:3]))


def test_full_softmax_leaves_out_reserved_rows_and_weightless_positions():
    loss = losses.full_softmax(CONTEXTS, TABLE, TARGETS, WEIGHTS)
    np.testing.assert_allclose(loss, full_by_hand(), rtol=1e-5)


def test_targets_count_by_their_weights():
    weights = np.array([0.2, 0.8, 0, 0], np.float32)
    loss = losses.full_softmax(CONTEXTS, TABLE, TARGETS, weights)
    np.testing.assert_allclose(loss, full_by_hand(weights=weights), rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.1, 0.5, 0.9])
def test_label_smoothing_spreads_a_share_over_all_items(smoothing):
    loss = losses.full_softmax(CONTEXTS, TABLE, TARGETS, WEIGHTS, smoothing)
    np.testing.assert_allclose(loss, full_by_hand(smoothing), rtol=1e-5)


ABSENT = np.array([[0, 1, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]], bool)  # never the target


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_absent_items_neither_compete_nor_get_a_share(smoothing):
    position_losses = []
    for context, target, absent in zip(CONTEXTS[:3], TARGETS[:3], ABSENT[:3], strict=True):
        present = np.flatnonzero(~absent)
        logits = TABLE[2:][present] @ context
        labels = np.full(len(present), smoothing / len(present)) + (1 - smoothing) * (present == target - 2)
        position_losses.append(-(labels * (logits - math.log(np.exp(logits).sum()))).sum())
    loss = losses.full_softmax(CONTEXTS, TABLE, TARGETS, WEIGHTS, smoothing, ABSENT)
    np.testing.assert_allclose(loss, np.mean(position_losses), rtol=1e-5)


def test_absent_negatives_do_not_change_the_loss():
    arguments = (CONTEXTS[:1], TABLE, TARGETS[:1], WEIGHTS[:1])
    drawn, kept, absent = np.array([3, 4, 5, 6]), np.array([4, 5]), np.array([[True, False, False, True]])
    expected = losses.sampled_softmax(*arguments, kept, tf.zeros(7))
    np.testing.assert_allclose(losses.sampled_softmax(*arguments, drawn, tf.zeros(7), absent), expected, rtol=1e-6)
    # The calibration depends on the number of drawn negatives, so an absent negative counts as one without a loss.
    harmless = TABLE.copy()
    harmless[[3, 6]] = -1e4 * CONTEXTS[0] / (CONTEXTS[0] @ CONTEXTS[0])
    expected = losses.gbce(CONTEXTS[:1], harmless, TARGETS[:1], WEIGHTS[:1], drawn, 0.5)
    np.testing.assert_allclose(losses.gbce(*arguments, drawn, 0.5, absent), expected, rtol=1e-5)


def test_sampled_softmax_with_every_item_once_is_the_full_softmax():
    negatives = np.arange(2, 7, dtype=np.int32)
    loss = losses.sampled_softmax(CONTEXTS, TABLE, TARGETS, WEIGHTS, negatives, tf.zeros(7))
    np.testing.assert_allclose(loss, full_by_hand(), rtol=1e-5)


def test_the_log_q_correction_agrees_with_a_value_by_hand():
    # At the only position, the target's logit is 1; negative 3 (logit 2) is drawn twice, and expected 4 times. The
    # expected count of the target, 0.5, has no effect: the target is always a candidate.
    contexts, table = np.array([[1.0]], np.float32), np.array([[0], [0], [1], [2]], np.float32)
    expected_count = np.array([1, 1, 0.5, 4.0], np.float32)
    loss = losses.sampled_softmax(
        contexts, table, np.array([2]), np.ones(1, np.float32), np.array([3, 3]), np.log(expected_count)
    )
    by_hand = math.log(math.exp(1) + 2 * math.exp(2 - math.log(4))) - 1
    np.testing.assert_allclose(loss, by_hand, rtol=1e-6)


def test_the_corrected_sampled_loss_is_an_estimate_of_the_full_loss():
    # With very uneven draws, the corrected loss is close to the full loss; the uncorrected loss is not.
    share = np.array([0.05, 0.05, 0.1, 0.2, 0.6])
    draws = np.random.default_rng(2).choice(np.arange(2, 7), 20_000, p=share).astype(np.int32)
    log_expected = np.concatenate([[0, 0], np.log(share * len(draws))]).astype(np.float32)
    evenly = np.full(7, math.log(len(draws) / 5), np.float32)
    corrected, uncorrected = (
        float(losses.sampled_softmax(CONTEXTS, TABLE, TARGETS, WEIGHTS, draws, expected))
        for expected in (log_expected, evenly)
    )
    np.testing.assert_allclose(corrected, full_by_hand(), rtol=0.02)
    assert abs(uncorrected - full_by_hand()) > 0.1 * full_by_hand()


def test_the_in_batch_softmax_agrees_with_a_value_by_hand():
    # Item 2 is a target twice, item 6 once; one position is padding, and one target competes without a weight.
    targets, weights = np.array([2, 6, 2, 0], np.int32), np.array([0.25, 0.75, 0, 0], np.float32)
    share = np.array([1, 1, 0.5, 0.1, 0.1, 0.1, 0.2])
    position_losses = []
    for context, target in zip(CONTEXTS[:2], targets[:2], strict=True):
        others = [item for item in (2, 6, 2) if item != target]
        logits = [TABLE[item] @ context - math.log(3 * share[item]) for item in others]
        target_logit = TABLE[target] @ context
        position_losses.append(math.log(math.exp(target_logit) + np.exp(logits).sum()) - target_logit)
    loss = losses.in_batch_softmax(CONTEXTS, TABLE, targets, weights, np.log(share).astype(np.float32))
    np.testing.assert_allclose(loss, (position_losses[0] + 3 * position_losses[1]) / 4, rtol=1e-5)


def test_padding_does_not_change_the_in_batch_softmax():
    log_share = np.log(np.full(7, 0.2, np.float32))
    padded = losses.in_batch_softmax(CONTEXTS, TABLE, TARGETS, WEIGHTS, log_share)
    unpadded = losses.in_batch_softmax(CONTEXTS[:3], TABLE, TARGETS[:3], WEIGHTS[:3], log_share)
    np.testing.assert_allclose(padded, unpadded, rtol=1e-6)


@pytest.mark.parametrize("loss", ["in_batch_softmax", "sampled_softmax", "gbce", "full_softmax"])
def test_a_batch_of_only_padding_has_no_loss(loss):
    targets, weights, log_share = np.zeros(4, np.int32), np.zeros(4, np.float32), np.zeros(7, np.float32)
    more_arguments = {
        "in_batch_softmax": (log_share,),
        "sampled_softmax": (np.array([3, 4], np.int32), log_share),
        "gbce": (tf.constant([3, 4]), 0.75),
        "full_softmax": (),
    }[loss]
    assert float(getattr(losses, loss)(CONTEXTS, TABLE, targets, weights, *more_arguments)) == 0


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce_agrees_with_the_formula_of_its_paper(calibration):
    negatives = np.array([3, 6, 3], np.int32)  # 6 is the target of the second position
    rate = 3 / 4  # three negatives of the four items that are not the target
    beta = rate * (calibration * (1 - 1 / rate) + 1 / rate)

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    position_losses = []
    for context, target in zip(CONTEXTS[:3], TARGETS[:3], strict=True):
        loss = -math.log(sigmoid(TABLE[target] @ context) ** beta)
        loss -= sum(math.log(1 - sigmoid(TABLE[item] @ context)) for item in negatives if item != target)
        position_losses.append(loss)
    loss = losses.gbce(CONTEXTS, TABLE, TARGETS, WEIGHTS, tf.constant(negatives), calibration)
    np.testing.assert_allclose(loss, np.mean(position_losses), rtol=1e-5)


def test_gbce_without_calibration_is_binary_cross_entropy():
    loss = losses.gbce(CONTEXTS[:1], TABLE, TARGETS[:1], np.ones(1, np.float32), tf.constant([3]), 0.0)
    logits = TABLE[[2, 3]] @ CONTEXTS[0]
    expected = tf.nn.sigmoid_cross_entropy_with_logits(labels=np.array([1, 0], np.float32), logits=logits)
    np.testing.assert_allclose(loss, np.sum(expected), rtol=1e-5)


@pytest.mark.parametrize(
    ("power", "shares"), [(0.0, [1 / 3, 1 / 3, 1 / 3]), (0.5, [4 / 7, 2 / 7, 1 / 7]), (1.0, [16 / 21, 4 / 21, 1 / 21])]
)
def test_negatives_are_drawn_with_the_shares_of_the_correction(power, shares):
    counts = np.array([0, 0, 16, 4, 1])
    log_shares = losses.log_shares(tf.constant(counts), power)
    np.testing.assert_allclose(log_shares, [0, 0, *np.log(shares)], rtol=1e-5, atol=1e-6)
    settings = TrainerSettings(dimension=4, loss="sampled_softmax", negatives=50_000, negative_power=power)
    model = RecommenderModel(settings, 2, counts)
    first, second = (np.asarray(model._draw(log_shares)) for _ in range(2))
    assert (first != second).any(), "every step draws other negatives"
    for drawn in (first, second):
        np.testing.assert_allclose(np.bincount(drawn, minlength=5) / 50_000, [0, 0, *shares], atol=0.01)


def make(loss: str, counts: np.ndarray, **settings: object) -> RecommenderModel:
    """Returns a model in which only the last two items have the second genre, and no item has the third."""
    genres = np.zeros((len(counts), 3), np.float32)
    genres[2:, 0] = 1
    genres[-2:] = [0, 1, 0]
    settings = TrainerSettings(encoder="bow", dimension=4, members=(), loss=loss, negatives=4, dropout=0.0, **settings)
    return RecommenderModel(settings, 3, counts, {"genres": genres})


@pytest.mark.parametrize("loss", LOSSES)
def test_items_without_train_events_do_not_compete(loss, activities_of):
    model = make(loss, np.array([0, 0, 3, 2, 1, 0, 0]))
    genres = next(weight for weight in model.trainable_variables if weight.name == "genres")
    inputs = activities_of([[2, 3, 4], [3, 2, 0]])
    targets, weights = tf.constant([[3, 4, 2], [2, 4, 0]]), tf.constant([[1.0, 1, 1], [1, 1, 0]])
    with tf.GradientTape() as tape:
        value = model.loss_of(inputs, targets, weights)
    gradient = np.asarray(tape.gradient(value, genres.value))
    assert np.abs(gradient[0]).max() > 0
    assert not gradient[1:].any(), "the genres of these items have no gradient"


@pytest.mark.parametrize("loss", ["sampled_softmax", "gbce"])
def test_negatives_have_train_events(loss):
    model = make(loss, np.array([0, 0, 3, 2, 1, 0, 0]), negative_power=1.0)
    shares = np.full(5, 0.0, np.float32) if loss == "gbce" else model._negative_log_shares
    drawn = {int(item) for _ in range(200) for item in np.asarray(model._draw(tf.constant(shares)))}
    assert drawn == {2, 3, 4}


@pytest.mark.parametrize("loss", ["sampled_softmax", "in_batch_softmax", "gbce"])
def test_a_step_with_some_rows_agrees_with_a_step_with_entire_tables(loss, activities_of):
    counts = np.arange(22)[::-1].copy()
    counts[:2] = 0
    members = [{"encoder": "cnn", "joint": True, "transition": False}]
    inputs = activities_of([[20, 3, 4], [3, 9, 0]])
    targets, weights = tf.constant([[3, 4, 7], [9, 20, 0]]), tf.constant([[1.0, 1, 2], [1, 1, 0]])
    values, gradients = [], []
    for entire in (True, False):  # Steps with XLA use the entire tables.
        settings = TrainerSettings(
            **{"encoder": "bow", "dimension": 6, "item_dimension": 4, "members": members, "loss": loss},
            **{"dropout": 0.0, "negatives": 4, "negative_power": 0.5, "jit_compile": entire},
        )
        model = RecommenderModel(settings, 3, counts, {"genres": np.eye(22, 5, dtype=np.float32)})
        with tf.GradientTape() as tape:
            values.append(float(model.loss_of(inputs, targets, weights)))
            value = model.loss_of(inputs, targets, weights)
        gradients.append(tape.gradient(value, [weight.value for weight in model.trainable_variables]))
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    tables = [gradient for gradient in gradients[1] if isinstance(gradient, tf.IndexedSlices)]
    assert len(tables) == 3, "the items of two members, and the transitions of one"
    for gradient in tables:
        rows = gradient.indices.numpy().tolist()
        assert len(set(rows)) == len(rows) < 22
    for entire_gradient, row_gradient in zip(*gradients, strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(entire_gradient), tf.convert_to_tensor(row_gradient), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("only_unseen", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_of_a_model_is_that_of_its_contexts_and_labels(loss, only_unseen, activities_of):
    counts = np.array([0, 0, 6, 4, 3, 2, 1])
    model = make(loss, counts, label_smoothing=0.2, gbce_calibration=0.3, unseen_compete_alone=only_unseen)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    inputs = activities_of([[2, 3, 4], [3, 2, 0]])
    targets, weights = np.array([3, 4, 2, 2, 6, 0], np.int32), np.array([1, 2, 1, 0, 1, 0], np.float32)
    seed = model._negatives_seed.state.numpy()
    model_loss = float(model.loss_of(inputs, targets.reshape(2, 3), weights.reshape(2, 3)))
    model._negatives_seed.state.assign(seed)
    contexts, labels = tf.reshape(model(inputs), [-1, 4]), model.tables().labels
    log_shares = losses.log_shares(tf.constant(counts))
    evenly = losses.log_shares(tf.constant(counts), 0.0)
    if only_unseen:
        weights = weights * (np.arange(6) != 2)  # its target is the first item of the row
    arguments = (contexts, labels, targets, weights / weights.sum())
    histories = [[2], [2, 3], [2, 3, 4], [3], [3, 2], [3, 2]]

    def absent(candidates):
        return np.array([np.isin(np.asarray(candidates), row) for row in histories]) if only_unseen else None

    def drawn(loss_of, *more_arguments):
        negatives = model._draw(evenly)
        return loss_of(*arguments, negatives, *more_arguments, absent(negatives))

    expected = {
        "full_softmax": lambda: losses.full_softmax(*arguments, 0.2, absent(range(2, 7))),
        "in_batch_softmax": lambda: losses.in_batch_softmax(*arguments, log_shares, absent(targets)),
        "gbce": lambda: drawn(losses.gbce, 0.3),
        "sampled_softmax": lambda: drawn(losses.sampled_softmax, evenly + math.log(4)),
    }[loss]
    np.testing.assert_allclose(model_loss, float(expected()), rtol=1e-5)
