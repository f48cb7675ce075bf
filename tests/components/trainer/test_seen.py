"""The items that a user had up to each position."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.trainer.losses import Seen

ITEMS = np.array([[2, 5, 2, 4], [3, 6, 0, 0]], np.int32)


def test_candidates_are_seen_from_their_first_position_on():
    candidates = np.array([2, 4, 6, 7], np.int32)
    by_hand = [[item in row[: t + 1] for item in candidates] for row in ITEMS.tolist() for t in range(4)]
    np.testing.assert_array_equal(Seen(tf.constant(ITEMS)).among(tf.constant(candidates)), by_hand)


def test_has_marks_the_targets_that_are_already_seen():
    targets = np.array([[5, 2, 4, 5], [6, 7, 0, 0]], np.int32)
    by_hand = [
        [target in row[: t + 1] for t, target in enumerate(row_targets)]
        for row, row_targets in zip(ITEMS.tolist(), targets, strict=True)
    ]
    np.testing.assert_array_equal(Seen(tf.constant(ITEMS)).has(tf.constant(targets)), by_hand)


def test_all_items_are_seen_from_their_first_position_on():
    by_hand = [[item in row[: t + 1] for item in range(2, 8)] for row in ITEMS.tolist() for t in range(4)]
    np.testing.assert_array_equal(Seen(tf.constant(ITEMS)).before(8), by_hand)
