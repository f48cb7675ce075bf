"""Data that is too small for the settings ends in one line for a person."""

from __future__ import annotations

import numpy as np
import pytest

from components.errors import StepError
from components.trainer.input_pipeline import Timelines
from components.trainer.run import _check
from components.trainer.settings import TrainerSettings


def train_split(*lengths: int) -> Timelines:
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    empty = np.zeros(0, np.int32)
    items = np.full(starts[-1], 2, np.int32)
    return Timelines(items, starts, np.zeros((len(lengths), 3), np.int32), empty, empty.reshape(0, 1), empty)


def test_top_k_over_the_catalogue():
    _check(TrainerSettings(top_k=1_000), train_split(2), items=1_000)
    with pytest.raises(StepError) as error:
        _check(TrainerSettings(top_k=1_001), train_split(2), items=1_000)
    assert str(error.value) == "trainer.top_k 1,001 is over the catalogue of 1,000 items; choose 1,000 or less"


@pytest.mark.parametrize("lengths", [(), (0,), (1, 1, 0, 1)])
def test_no_next_item_to_learn_from(lengths):
    with pytest.raises(StepError, match="no user of the train split has two items") as error:
        _check(TrainerSettings(top_k=1), train_split(*lengths), items=5)
    assert "\n" not in str(error.value)
