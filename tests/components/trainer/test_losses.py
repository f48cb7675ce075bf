"""The losses, against answers worked out by hand or with NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from components.trainer import losses
from components.trainer.model import _negative_distribution
from components.trainer.settings import TrainerSettings

RANDOM = np.random.default_rng(1)
CONTEXTS = RANDOM.normal(size=(4, 3)).astype(np.float32)
TABLE = RANDOM.normal(size=(7, 3)).astype(np.float32)  # two reserved rows, five items
TARGETS = np.array([2, 6, 4, 0], np.int32)
WEIGHTS = np.array([1, 1, 1, 0], np.float32)


def full_by_hand() -> float:
    found = []
    for context, target in zip(CONTEXTS[:3], TARGETS[:3], strict=True):
        logits = TABLE[2:] @ context
        found.append(math.log(np.exp(logits).sum()) - logits[target - 2])
    return float(np.mean(found))


def test_full_softmax_leaves_out_reserved_rows_and_weightless_positions():
    loss = losses.full_softmax(CONTEXTS, TABLE, TARGETS, WEIGHTS)
    np.testing.assert_allclose(loss, full_by_hand(), rtol=1e-5)


def test_sampled_softmax_with_every_item_once_is_the_full_softmax():
    negatives = np.arange(2, 7, dtype=np.int32)
    loss = losses.sampled_softmax(CONTEXTS, TABLE, TARGETS, WEIGHTS, negatives, tf.zeros(7))
    np.testing.assert_allclose(loss, full_by_hand(), rtol=1e-5)


def test_log_q_correction_by_hand():
    # One position, the target's logit is 1; negative 3 (logit 2) is expected twice, the target half a time.
    contexts, table = np.array([[1.0]], np.float32), np.array([[0], [0], [1], [2]], np.float32)
    expected_count = np.array([1, 1, 0.5, 2.0], np.float32)
    loss = losses.sampled_softmax(
        contexts, table, np.array([2]), np.ones(1, np.float32), np.array([3, 3]), np.log(expected_count)
    )
    target, negative = 1 - math.log(0.5), 2 - math.log(2)
    by_hand = math.log(math.exp(target) + 2 * math.exp(negative)) - target
    np.testing.assert_allclose(loss, by_hand, rtol=1e-6)


def test_correction_makes_the_sampled_loss_an_estimate_of_the_full_one():
    # Drawn very unevenly, the corrected loss comes close to the full one; the uncorrected does not.
    random = np.random.default_rng(2)
    share = np.array([0.05, 0.05, 0.1, 0.2, 0.6])
    draws = random.choice(np.arange(2, 7), 20_000, p=share).astype(np.int32)
    log_expected = np.concatenate([[0, 0], np.log(share * len(draws))]).astype(np.float32)
    targets, weights = TARGETS[:3], WEIGHTS[:3]

    # The target is always there, so that in the loss its own correction is that of being there once.
    certain = log_expected.copy()
    sampled = [
        float(
            losses.sampled_softmax(
                CONTEXTS[[i]],
                TABLE,
                targets[[i]],
                weights[[i]],
                draws,
                np.where(np.arange(7) == targets[i], 0, certain),
            )
        )
        for i in range(3)
    ]
    np.testing.assert_allclose(np.mean(sampled), full_by_hand(), rtol=0.02)


@pytest.mark.parametrize(("power", "share"), [(0.0, [1 / 3, 1 / 3, 1 / 3]), (0.5, [4 / 7, 2 / 7, 1 / 7]), (1.0, None)])
def test_negatives_are_drawn_as_the_correction_says(power, share):
    share = share or [16 / 21, 4 / 21, 1 / 21]
    settings = TrainerSettings(loss="sampled_softmax", negatives=10, negative_power=power)
    log_expected, cumulative = _negative_distribution(np.array([0, 0, 16, 4, 1]), settings)
    np.testing.assert_allclose(log_expected, [0, 0, *np.log(10 * np.array(share))], rtol=1e-5, atol=1e-6)
    draws = np.linspace(0, 1, 100_000, endpoint=False, dtype=np.float32)
    drawn = np.bincount(tf.searchsorted(cumulative, draws, side="right"), minlength=3)
    np.testing.assert_allclose(drawn / len(draws), share, atol=1e-4)
