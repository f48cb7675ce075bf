"""Windows and batches: every step from an item to the next is there once, and nothing else."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from components.trainer.input_pipeline import Batches, Timelines, first_values, make_windows, without_unknown

LENGTHS = [1, 2, 3, 9, 10, 11, 31]


def timelines() -> Timelines:
    starts = np.concatenate([[0], np.cumsum(LENGTHS)])
    items = np.arange(2, 2 + starts[-1], dtype=np.int32)  # every event is another item
    empty = np.zeros(0, np.int32)
    return Timelines(items, starts, np.zeros((len(LENGTHS), 4), np.int32), empty, empty.reshape(0, 1), empty)


@pytest.mark.parametrize("window", [1, 2, 5, 10, 40])
@pytest.mark.parametrize("seed", range(3))
def test_windows_cover_every_step_once(window, seed):
    starts = timelines().starts
    windows = make_windows(starts, window, np.random.default_rng(seed))
    steps = Counter(step for first, last in windows.tolist() for step in range(first, last))
    wanted = [step for start, stop in itertools.pairwise(starts) for step in range(start, stop - 1)]
    assert steps == Counter(wanted)
    assert (windows[:, 1] - windows[:, 0]).max() <= window


@pytest.mark.parametrize(("window", "positions"), [(5, 20), (10, 10), (40, 64)])
def test_an_epoch_has_every_step_once_in_few_shapes(window, positions):
    batches = Batches(timelines(), window, positions)
    found: Counter[tuple[int, int]] = Counter()
    for batch in batches.epoch(seed=3):
        assert batch.inputs.shape in batches.shapes()
        real = batch.targets > 0
        assert ((batch.inputs > 0) == real).all()
        assert (np.diff(real.astype(int), axis=1) <= 0).all(), "items first, then padding"
        found.update(zip(batch.inputs[real].tolist(), batch.targets[real].tolist(), strict=True))
    data = timelines()
    wanted = Counter(
        (int(data.items[step]), int(data.items[step + 1]))
        for start, stop in zip(data.starts[:-1], data.starts[1:], strict=True)
        for step in range(start, stop - 1)
    )
    assert found == wanted


def test_epochs_differ_and_repeat_with_their_seed():
    batches = Batches(timelines(), 10, 20)
    first, again, other = (np.concatenate([b.inputs.ravel() for b in batches.epoch(s)]) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or (first != other).any()


def test_first_values_are_those_of_any_event():
    table = first_values(np.array([3, 2, 3]), np.array([[7, 8], [5, 0], [7, 8]]), 5)
    assert table.tolist() == [[0, 0], [0, 0], [5, 0], [7, 8], [0, 0]]


def test_unknown_items_leave_the_timelines():
    items, empty = np.array([2, 1, 3, 1, 1, 4], np.int32), np.zeros((0, 1), np.int32)
    genres = np.arange(6, dtype=np.int32)[:, None]
    data = Timelines(items, np.array([0, 3, 5, 6]), empty, empty, genres, genres[:, 0])
    known = without_unknown(data)
    assert known.items.tolist() == [2, 3, 4]
    assert known.starts.tolist() == [0, 2, 2, 3]
    assert known.genres.ravel().tolist() == known.years.tolist() == [0, 2, 5]
