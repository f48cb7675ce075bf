"""Measures the latency of a model."""

from __future__ import annotations

import time

import numpy as np

from on_device.artifact import FIRST_INDEX
from on_device.recommender import Recommender

WARM_UP = 10  # inferences that are not timed


def latencies(recommender: Recommender, runs: int) -> np.ndarray:
    """Returns the times of `runs` inferences on random full histories, float64 [runs], in microseconds."""
    random = np.random.default_rng(0)
    times = np.empty(WARM_UP + runs)
    for run in range(WARM_UP + runs):
        history = random.integers(FIRST_INDEX, len(recommender.items) + FIRST_INDEX, recommender.history_length)
        started = time.perf_counter()
        recommender.rank_indices(history)
        times[run] = time.perf_counter() - started
    return times[WARM_UP:] * 1e6
