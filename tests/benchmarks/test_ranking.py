"""Compares ranks and metrics with results by hand and with simple computations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.ranking import events, ndcg, paired_difference, quality, rank_targets, recall


class Fixed:
    """A scorer with the scores of a table."""

    def __init__(self, table: np.ndarray):
        self.table = table.astype(np.float32)

    def scores(self, timelines, rows):
        return self.table[rows]


def test_ranks_agree_with_ranks_computed_by_hand(make_timelines):
    # Indices 0 and 1 are not items and never rank, in spite of their high scores.
    scores = np.array([[9, 9, 5, 4, 3, 2]] * 5)
    ranks = rank_targets(Fixed(scores), make_timelines([[2], [2, 3], [], [2], [3]], [3, 5, 5, 2, 1])).ranks
    # The histories exclude item 2; items 2 and 3; no item; and the target. The last target is unknown.
    assert ranks.tolist() == [0, 1, 3, 6, 6]


def test_equal_scores_rank_in_the_order_of_the_vocabulary(make_timelines):
    scores = np.zeros((3, 6))
    assert rank_targets(Fixed(scores), make_timelines([[], [2], [4]], [2, 3, 5])).ranks.tolist() == [0, 0, 2]


def test_ranks_agree_with_sorting(make_timelines):
    random = np.random.default_rng(5)
    size, users = 30, 600  # More users than a batch has.
    histories = [random.integers(1, size, random.integers(0, 12)).tolist() for _ in range(users)]
    targets = random.integers(1, size, users).tolist()
    scores = random.integers(0, 8, (users, size))  # Many ties.
    expected = []
    for history, target, row in zip(histories, targets, scores.tolist(), strict=True):
        unseen = [item for item in range(2, size) if item not in history]
        order = sorted(unseen, key=lambda item: (-row[item], item))
        expected.append(order.index(target) if target in order else size)
    assert rank_targets(Fixed(scores), make_timelines(histories, targets)).ranks.tolist() == expected


def test_events_have_the_items_of_the_requested_rows(make_timelines):
    users, items = events(make_timelines([[5, 6], [], [7, 8, 9]]), np.array([2, 1, 0]))
    assert users.tolist() == [0, 0, 0, 2, 2] and items.tolist() == [7, 8, 9, 5, 6]


def test_metrics_agree_with_metrics_computed_by_hand():
    ranks = np.array([0, 2, 9, 10])
    assert recall(ranks, 10).mean == 0.75
    assert recall(ranks, 10).standard_error == pytest.approx(math.sqrt(0.75 * 0.25 / 4))
    gains = [1.0, 0.5, 1 / math.log2(11), 0.0]
    assert ndcg(ranks, 10).mean == pytest.approx(sum(gains) / 4)
    assert ndcg(ranks, 10).standard_error == pytest.approx(np.std(gains) / 2)
    assert {name: value.mean for name, value in quality(ranks).items()} == {
        "recall_at_10": 0.75,
        "recall_at_20": 1.0,
        "ndcg_at_10": pytest.approx(sum(gains) / 4),
        "recall_at_50": 1.0,
    }
    assert str(recall(ranks, 10)) == "0.7500 ±0.2165"


def test_paired_difference_has_the_standard_error_of_the_differences():
    ranks, other_ranks = np.array([0, 0, 20, 20, 0]), np.array([0, 0, 20, 20, 20])
    difference = paired_difference(ranks, other_ranks)
    assert difference.mean == pytest.approx(0.2)
    assert difference.standard_error == pytest.approx(np.std([0, 0, 0, 0, 1]) / math.sqrt(5))
    assert paired_difference(ranks, ranks).standard_error == 0


def test_standard_errors_are_clustered_by_user():
    ranks = np.array([0, 0, 20, 20])
    separate = recall(ranks, 10, np.array([b"a", b"b", b"c", b"d"]))
    assert separate.standard_error == pytest.approx(recall(ranks, 10).standard_error)
    # Targets with equal results for each user: two users give half the information of four.
    together = recall(ranks, 10, np.array([b"a", b"a", b"b", b"b"]))
    assert together.mean == separate.mean
    assert together.standard_error == pytest.approx(math.sqrt(2) * separate.standard_error)
