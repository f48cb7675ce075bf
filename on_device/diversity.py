"""Lists of items that are not all alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def diversify(
    scores: np.ndarray, similarities: Callable[[int], np.ndarray], length: int, diversity: float
) -> list[int]:
    """Returns the places of candidates, chosen one by one by maximal marginal relevance.

    The next candidate is the one with the highest `(1 - diversity) * relevance - diversity * similarity`: relevance is
    its score, scaled so that the candidates' lie between 0 and 1; similarity is that to the most similar of those
    chosen before (Carbonell and Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998).

    Args:
        scores: float32 [C], of the candidates, best first.
        similarities: of the candidate in a place to every candidate, float32 [C].
        length: number of candidates to choose, C at most.
        diversity: from 0, which keeps the order, to 1, which ignores scores but for the first candidate.
    """
    values = scores.astype(np.float64)
    span = values[0] - values[-1] if len(values) else 0.0
    relevance = (values - values[-1]) / span if span > 0 else np.ones(len(values))
    nearest = np.full(len(values), -1.0)
    chosen: list[int] = []
    is_left = np.ones(len(values), bool)
    while len(chosen) < min(length, len(values)):
        gain = (1 - diversity) * relevance - diversity * nearest if chosen else relevance
        place = int(np.argmax(np.where(is_left, gain, -np.inf)))
        chosen.append(place)
        is_left[place] = False
        if is_left.any() and len(chosen) < length:
            nearest = np.maximum(nearest, similarities(place))
    return chosen
