"""The Markov list compared with counting by hand: unseen followers of the last item, then other items by popularity."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from components import features
from components.features import NO_ITEM
from components.trainer import baselines
from components.trainer.baselines import MarkovList, Transitions, TransitionTable, count_transitions, no_transitions

SIZE, USERS = 40, 80


@pytest.fixture(scope="module")
def rows() -> list[list[int]]:
    """Histories with repeated items and a popular head; the first user and some others have empty histories."""
    random = np.random.default_rng(5)
    lengths = [0, *random.integers(0, 25, USERS - 1)]
    return [(2 + (random.random(length) ** 2 * (SIZE - 2))).astype(int).tolist() for length in lengths]


def counts_by_hand(rows: list[list[int]]) -> dict[int, Counter]:
    counts: dict[int, Counter] = {item: Counter() for item in range(SIZE)}
    for first, second in (pair for row in rows for pair in itertools.pairwise(row)):
        counts[first][second] += first != second
    return {item: +after for item, after in counts.items()}


def order_by_hand(counts: dict[int, Counter], seen: list[int], most: int) -> list[int]:
    """Returns all unseen items, best first."""
    known = [item for item in seen if item >= features.FIRST_INDEX]
    after = counts[known[-1]] if known else Counter()
    followers = sorted(after, key=lambda item: (-after[item], item))[:most]
    rest = [item for item in range(features.FIRST_INDEX, SIZE) if item not in followers]
    return [item for item in [*followers, *rest] if item not in seen]


def padded(rows: list[list[int]]) -> tf.Tensor:
    return tf.ragged.constant(rows, tf.int32).to_tensor(features.PADDING)


@pytest.mark.parametrize("most", [1, 3, baselines.MAX_FOLLOWERS])
def test_transitions_agree_with_counting(timelines_of, rows, most):
    transitions = count_transitions(timelines_of(rows), SIZE, most)
    for item, after in counts_by_hand(rows).items():
        expected = sorted(after, key=lambda other: (-after[other], other))[:most]
        assert transitions.followers[transitions.starts[item] : transitions.starts[item + 1]].tolist() == expected


def test_counting_in_pieces_has_the_same_result(timelines_of, rows, monkeypatch):
    entire = count_transitions(timelines_of(rows), SIZE)
    monkeypatch.setattr(baselines, "PIECE", 7)
    pieces = count_transitions(timelines_of(rows), SIZE)
    np.testing.assert_array_equal(pieces.starts, entire.starts)
    np.testing.assert_array_equal(pieces.followers, entire.followers)


def test_the_number_of_transitions_of_a_large_catalogue_is_bounded(timelines_of, rows, monkeypatch):
    monkeypatch.setattr(baselines, "MAX_TRANSITIONS", 2 * SIZE)
    transitions = count_transitions(timelines_of(rows), SIZE)
    assert np.diff(transitions.starts).max() == 2 and len(transitions.followers) <= 2 * SIZE


@pytest.mark.parametrize("most", [2, baselines.MAX_FOLLOWERS])
def test_ranks_and_lists_agree_with_a_brute_force(timelines_of, rows, most):
    random = np.random.default_rng(7)
    histories = [random.permutation(row + [features.UNKNOWN] * (len(row) % 3)).tolist() for row in rows]
    histories[1] = list(range(2, SIZE - 4))  # Fewer than ten remain.
    targets = random.integers(0, SIZE, len(histories))
    table = TransitionTable(count_transitions(timelines_of(rows), SIZE, most))
    markov = MarkovList(SIZE, table, padded(histories))
    ranks, best = markov.ranks(tf.constant(targets, tf.int32)).numpy(), markov.best(10).numpy()
    counts = counts_by_hand(rows)
    for number, (history, target) in enumerate(zip(histories, targets.tolist(), strict=True)):
        order = order_by_hand(counts, history, most)
        assert ranks[number] == (order.index(target) if target in order else SIZE)
        assert best[number].tolist() == (order + [NO_ITEM] * 10)[:10]
    assert (ranks < SIZE).sum() > 20


def test_without_transitions_the_markov_list_is_the_popularity_list():
    for empty in (no_transitions(SIZE), Transitions(np.zeros(SIZE + 1, np.int32), np.zeros(0, np.int32))):
        markov = MarkovList(SIZE, TransitionTable(empty), padded([[], [3, 2]]))
        assert markov.best(3).numpy().tolist() == [[2, 3, 4], [4, 5, 6]]
        assert markov.ranks(tf.constant([9, 9])).numpy().tolist() == [7, 5]
