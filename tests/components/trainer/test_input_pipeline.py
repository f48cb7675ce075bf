"""Windows and batches: every step from an item to the next is there once, with all that is known of it."""

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
    """Every event is another item; its rating and time follow from it."""
    items = iter(range(2, 2 + sum(LENGTHS)))
    rows = [list(itertools.islice(items, length)) for length in LENGTHS]
    ratings = [[item / 2 for item in row] for row in rows]
    return timelines_of(rows, ratings=ratings, times=[[item + 1000 for item in row] for row in rows])


def of_epoch(batches: Batches, epoch: int) -> list[SimpleNamespace]:
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
    wanted = [step for start, stop in itertools.pairwise(data.starts) for step in range(start, stop - 1)]
    assert steps == Counter(wanted)
    assert (windows[:, 1] - windows[:, 0]).max() <= window


@pytest.mark.parametrize(("window", "positions"), [(5, 20), (10, 10), (40, 64)])
def test_an_epoch_has_every_step_once_in_few_shapes(data, window, positions):
    batches = Batches(data, window, positions)
    found: Counter[tuple[int, int]] = Counter()
    for batch in of_epoch(batches, 3):
        items = batch.inputs.items
        assert items.shape in batches.shapes()
        real = batch.targets > 0
        assert ((items > 0) == real).all()
        assert (np.diff(real.astype(int), axis=1) <= 0).all(), "items first, then padding"
        found.update(zip(items[real].tolist(), batch.targets[real].tolist(), strict=True))
    wanted = Counter(
        (int(data.items[step]), int(data.items[step + 1]))
        for start, stop in zip(data.starts[:-1], data.starts[1:], strict=True)
        for step in range(start, stop - 1)
    )
    assert found == wanted


def test_batches_say_of_each_input_its_rating_and_time_and_of_each_target_its_weight(data):
    weights = np.arange(len(data.items), dtype=np.float32)  # of the item `n + 2`: n
    for batch in of_epoch(Batches(data, 10, 20, weights), 1):
        real = batch.targets > 0
        inputs = batch.inputs
        assert (inputs.ratings == np.where(real, inputs.items / 2, 0)).all()
        assert (inputs.times == np.where(real, inputs.items + 1000, 0)).all()
        assert (batch.weights == np.where(real, batch.targets - 2, 0)).all()
        assert (inputs.ratings.dtype, inputs.times.dtype, batch.weights.dtype) == (np.float32, np.int32, np.float32)


def test_without_weights_all_targets_count_alike(data):
    for batch in of_epoch(Batches(data, 10, 20), 1):
        assert (batch.weights == (batch.targets > 0)).all()


def test_a_dataset_gives_the_batches_of_its_epoch(data):
    batches = Batches(data, 10, 20, seed=5)
    batches.epoch = 2
    expected, found = list(batches.batches()), list(batches.dataset().as_numpy_iterator())
    for one, other in zip(expected, found, strict=True):
        for value, same in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            assert value.dtype == same.dtype
            np.testing.assert_array_equal(value, same)


def test_epochs_differ_and_repeat_with_their_seed(data):
    batches = Batches(data, 10, 20)
    first, again, other = (np.concatenate([b.inputs.items.ravel() for b in of_epoch(batches, s)]) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or (first != other).any()


def test_unknown_items_leave_the_timelines_with_their_ratings_and_times(timelines_of):
    data = timelines_of(
        [[2, 1, 3], [1, 1], [4], []],
        targets=[5, 1, 6, 7],
        ratings=[[0.5, 1.0, 1.5], [2.0, 2.5], [3.0], []],
        times=[[10, 20, 30], [40, 50], [60], []],
    )
    known = without_unknown(data)
    assert known.items.tolist() == [2, 3, 4]
    assert known.activities.ratings.tolist() == [0.5, 1.5, 3.0]
    assert known.activities.times.tolist() == [10, 30, 60]
    assert known.starts.tolist() == [0, 2, 2, 3, 3]
    assert known.targets is data.targets


def test_timelines_of_some_users_are_theirs(data):
    users = np.array([5, 0, 3])
    some = data.of_users(users)
    assert len(some) == 3 and np.diff(some.starts).tolist() == [LENGTHS[user] for user in users]
    for number, user in enumerate(users):
        (mine, its) = (slice(*one.starts[at : at + 2]) for one, at in ((some, number), (data, user)))
        for name in ("items", "ratings", "times"):
            expected = getattr(data.activities, name)[its]
            np.testing.assert_array_equal(getattr(some.activities, name)[mine], expected)
    np.testing.assert_array_equal(some.histories(slice(None), 3).items, data.histories(users, 3).items)
    np.testing.assert_array_equal(some.targets, data.targets[users])
