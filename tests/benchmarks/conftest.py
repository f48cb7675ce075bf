from __future__ import annotations

import numpy as np
import pytest

from components.trainer.input_pipeline import Timelines


@pytest.fixture(scope="session")
def make_timelines():
    """Returns a function that makes timelines from lists of item indices.

    By default, all targets are PADDING, all ratings are 4.0, and the times are 0, 1, 2 and so on.
    """

    def make(histories: list[list[int]], targets: list[int] | None = None, times: list[int] | None = None) -> Timelines:
        items = np.array([item for history in histories for item in history], np.int32)
        seconds = np.arange(len(items), dtype=np.int32) if times is None else np.array(times, np.int32)
        return Timelines(
            activities={"items": items, "ratings": np.full(len(items), 4.0, np.float32), "times": seconds},
            starts=np.concatenate([[0], np.cumsum([len(history) for history in histories])]).astype(np.int64),
            targets=np.array(targets or [0] * len(histories), np.int32),
        )

    return make
