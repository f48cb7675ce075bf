"""Selects diverse items by maximal marginal relevance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def diversify(
    scores: np.ndarray, similarities: Callable[[int], np.ndarray], length: int, diversity: float
) -> list[int]:
    """Returns the positions of candidates selected by maximal marginal relevance, in the order of selection.

    The next candidate is the one with the highest `(1 - diversity) * relevance - diversity * similarity`. Relevance is
    the score, scaled to the range from 0 to 1. Similarity is the highest similarity to a selected candidate (Carbonell
    and Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998).

    Args:
        scores: float32 [C], scores of the candidates, best first.
        similarities: Returns the similarity of the candidate at a position to every candidate, float32 [C].
        length: Number of candidates to select, at most C.
        diversity: From 0, which keeps the order, to 1, which ignores all scores but the first.
    """
    values = scores.astype(np.float64)
    span = values[0] - values[-1] if len(values) else 0.0
    relevance = (values - values[-1]) / span if span > 0 else np.ones(len(values))
    nearest = np.full(len(values), -1.0)
    selected: list[int] = []
    is_candidate = np.ones(len(values), bool)
    while len(selected) < min(length, len(values)):
        gain = (1 - diversity) * relevance - diversity * nearest if selected else relevance
        position = int(np.argmax(np.where(is_candidate, gain, -np.inf)))
        selected.append(position)
        is_candidate[position] = False
        if is_candidate.any() and len(selected) < length:
            nearest = np.maximum(nearest, similarities(position))
    return selected
