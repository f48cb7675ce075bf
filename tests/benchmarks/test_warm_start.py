"""How soon a fit with earlier weights is as good as one with fresh weights."""

from __future__ import annotations

import pytest

from benchmarks.warm_start import compare


def epochs(*recalls: float) -> list[dict[str, float]]:
    return [{"epoch": at, "recall_at_10": recall, "seconds": 10.0 * at} for at, recall in enumerate(recalls, start=1)]


@pytest.mark.parametrize(
    ("warm", "reached", "ratio"), [((0.25, 0.3), 2, 0.5), ((0.31,), 1, 0.25), ((0.2, 0.29), None, None)]
)
def test_the_goal_is_the_best_of_the_cold_fit(warm, reached, ratio):
    found = compare({"cold": epochs(0.1, 0.2, 0.28, 0.3, 0.29), "warm": epochs(*warm)})
    assert (found["goal"], found["cold"]["epochs"]) == (0.3, 4)
    assert (found["warm"]["epochs"], found["ratio"]) == (reached, ratio)
