"""Windows and batches: every step from an item to the next one occurs once, with its rating, time and weight."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.input_pipeline import Batches, Timelines, make_windows, without_unknown

LENGTHS = [1, 2, 3, 9, 10, 11, 31]


@pytest.fixture(scope="module")
def data(timelines_of: Callable[..., Timelines]) -> Timelines:
    """Returns timelines in which all items differ, and an item determines its rating and time."""
    items = iter(range(2, 2 + sum(LENGTHS)))
    rows = [list(itertools.islice(items, length)) for length in LENGTHS]
    ratings = [[item / 2 for item in row] for row in rows]
    return timelines_of(rows, ratings=ratings, times=[[item + 1000 for item in row] for row in rows])


def batches_of_epoch(batches: Batches, epoch: int) -> list[SimpleNamespace]:
    batches.epoch = epoch
    return [
        SimpleNamespace(inputs=SimpleNamespace(**inputs), targets=targets, weights=weights)
        for inputs, targets, weights in batches.batches()
    ]


@pytest.mark.parametrize("window", [1, 2, 5, 10, 40])
@pytest.mark.parametrize("seed", range(3))
def test_windows_cover_every_step_once(data, window, seed):
    windows = make_windows(data.starts, window, np.random.default_rng(seed))
    steps = Counter(step for first, last in windows.tolist() for step in range(first, last))
    expected = [step for start, stop in itertools.pairwise(data.starts) for step in range(start, stop - 1)]
    assert steps == Counter(expected)
    assert (windows[:, 1] - windows[:, 0]).max() <= window


@pytest.mark.parametrize(("window", "positions"), [(5, 20), (10, 10), (40, 64)])
def test_an_epoch_has_every_step_once_in_few_shapes(data, window, positions):
    batches = Batches(data, window, positions)
    steps: Counter[tuple[int, int]] = Counter()
    for batch in batches_of_epoch(batches, 3):
        items = batch.inputs.items
        assert items.shape in batches.shapes()
        real = batch.targets > 0
        assert ((items > 0) == real).all()
        assert (np.diff(real.astype(int), axis=1) <= 0).all(), "items precede padding"
        steps.update(zip(items[real].tolist(), batch.targets[real].tolist(), strict=True))
    expected = Counter(
        (int(data.items[step]), int(data.items[step + 1]))
        for start, stop in zip(data.starts[:-1], data.starts[1:], strict=True)
        for step in range(start, stop - 1)
    )
    assert steps == expected


def test_batches_have_ratings_and_times_of_inputs_and_weights_of_targets(data):
    weights = np.arange(len(data.items), dtype=np.float32)  # The weight of item n + 2 is n.
    for batch in batches_of_epoch(Batches(data, 10, 20, weights), 1):
        real = batch.targets > 0
        inputs = batch.inputs
        assert (inputs.ratings == np.where(real, inputs.items / 2, 0)).all()
        assert (inputs.times == np.where(real, inputs.items + 1000, 0)).all()
        assert (batch.weights == np.where(real, batch.targets - 2, 0)).all()
        assert (inputs.ratings.dtype, inputs.times.dtype, batch.weights.dtype) == (np.float32, np.int32, np.float32)


def test_without_weights_all_targets_have_the_same_weight(data):
    for batch in batches_of_epoch(Batches(data, 10, 20), 1):
        assert (batch.weights == (batch.targets > 0)).all()


def test_a_dataset_has_the_batches_of_its_epoch(data):
    batches = Batches(data, 10, 20, seed=5)
    batches.epoch = 2
    expected, actual = list(batches.batches()), list(batches.dataset().as_numpy_iterator())
    for expected_batch, batch in zip(expected, actual, strict=True):
        for expected_value, value in zip(tf.nest.flatten(expected_batch), tf.nest.flatten(batch), strict=True):
            assert expected_value.dtype == value.dtype
            np.testing.assert_array_equal(expected_value, value)


def test_epochs_differ_and_each_epoch_is_reproducible(data):
    batches = Batches(data, 10, 20)
    first, first_again, second = (
        np.concatenate([batch.inputs.items.ravel() for batch in batches_of_epoch(batches, epoch)])
        for epoch in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, first_again)
    assert len(first) != len(second) or (first != second).any()


def test_unknown_items_are_removed_with_their_ratings_and_times(timelines_of):
    data = timelines_of(
        [[2, 1, 3], [1, 1], [4], []],
        targets=[5, 1, 6, 7],
        ratings=[[0.5, 1.0, 1.5], [2.0, 2.5], [3.0], []],
        times=[[10, 20, 30], [40, 50], [60], []],
    )
    known = without_unknown(data)
    assert known.items.tolist() == [2, 3, 4]
    assert known.activities["ratings"].tolist() == [0.5, 1.5, 3.0]
    assert known.activities["times"].tolist() == [10, 30, 60]
    assert known.starts.tolist() == [0, 2, 2, 3, 3]
    assert known.targets is data.targets


def test_of_users_returns_the_timelines_of_the_given_users(data):
    users = np.array([5, 0, 3])
    selected = data.of_users(users)
    assert len(selected) == 3 and np.diff(selected.starts).tolist() == [LENGTHS[user] for user in users]
    for number, user in enumerate(users):
        (selected_slice, original_slice) = (
            slice(*timelines.starts[row : row + 2]) for timelines, row in ((selected, number), (data, user))
        )
        for name in ("items", "ratings", "times"):
            expected = data.activities[name][original_slice]
            np.testing.assert_array_equal(selected.activities[name][selected_slice], expected)
    np.testing.assert_array_equal(selected.histories(slice(None), 3)["items"], data.histories(users, 3)["items"])
    np.testing.assert_array_equal(selected.targets, data.targets[users])
