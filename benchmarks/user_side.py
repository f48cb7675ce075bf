"""Fine-tuning for one user: a few numbers beside a fitted model, learnt from the user's own history.

The item tables stay as they are, so that it is cheap: one causal pass gives the contexts of all positions, and a step
of gradient descent is a softmax over the catalogue at each. As in training, what came before does not compete. The loss
is the mean cross-entropy over the positions, with a normal prior around what every user starts from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from components import features

STEPS = (1, 3, 5, 10, 20)  # after how many steps the scores are kept
FACTOR_RATE = 0.02  # of the learning rate: contexts are many times as large as what is added to them
FACTOR_PRIOR = 10.0  # times the shrinkage

Part = Literal["vector", "gain", "genres", "scale"]


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune.

    Attributes:
        part: what is learnt. `vector`: one that is added to all contexts, a taste. `gain`: that, and a factor of the
            contexts. `genres`: a score for each genre. `scale`: a vector, and a factor for each dimension of the
            contexts: the offset and the scale of the encoder's last layer norm.
        learning_rate: of gradient descent.
        shrinkage: precision of the prior; the more positions, the less it weighs.
    """

    part: Part
    learning_rate: float
    shrinkage: float


@dataclass(frozen=True)
class Items:
    """What scores are made of.

    Attributes:
        labels: float32 [V, D], a score is a context times one of them.
        genres: float32 [V, W], how much each genre is an item's.
        trained: items from this index on were never trained, and do not compete.
    """

    labels: np.ndarray
    genres: np.ndarray
    trained: int


def fine_tune(recipe: Recipe, contexts: np.ndarray, history: np.ndarray, items: Items) -> np.ndarray:
    """Learn from a history and score all items after it.

    Args:
        recipe: how.
        contexts: float32 [L, D], after each item of the history.
        history: int32 [L], known items, oldest first; at least one.
        items: what scores are made of.

    Returns:
        float32 [1 + S, V]: without fine-tuning, and after each number of STEPS; all alike where nothing can be learnt.
    """
    table = items.genres if recipe.part == "genres" else items.labels
    new = np.isin(np.arange(len(history)), np.unique(history, return_index=True)[1])
    positions = np.flatnonzero((history < items.trained)[1:] & new[1:])
    learner = _Learner(recipe, contexts, history, positions, items, table) if len(positions) else None
    bias, factor = np.zeros(table.shape[1], np.float32), np.ones(1, np.float32)
    found = []
    for step in range(max(STEPS) + 1):
        if step in (0, *STEPS):
            found.append((contexts[-1] * factor) @ items.labels.T + table @ bias)
        if learner:
            bias, factor = learner.step(bias, factor)
    return np.stack(found).astype(np.float32)


class _Learner:
    """Gradient descent on one history; see `fine_tune`."""

    def __init__(
        self,
        recipe: Recipe,
        contexts: np.ndarray,
        history: np.ndarray,
        positions: np.ndarray,
        items: Items,
        table: np.ndarray,
    ):
        self._recipe = recipe
        self._contexts, self._targets = contexts[positions], history[positions + 1]
        self._labels, self._table = items.labels[: items.trained], table[: items.trained]
        self._absent = _seen(history, items.trained)[positions]
        self._wanted = self._table[self._targets].mean(axis=0)
        self._logits = self._contexts @ self._labels.T
        # In the mean over positions the prior counts once for all of them.
        self._prior = recipe.shrinkage / len(positions)

    def step(self, bias: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One step from float32 [D] or [W] and float32 [1] or [D]."""
        recipe = self._recipe
        logits = self._logits
        if recipe.part == "gain":
            logits = logits * factor
        if recipe.part == "scale":
            logits = (self._contexts * factor) @ self._labels.T
        shares = _softmax(np.where(self._absent, -np.inf, logits + self._table @ bias))
        moved = self._shrunk(bias - recipe.learning_rate * (shares.mean(axis=0) @ self._table - self._wanted), 1.0)
        if recipe.part in ("vector", "genres"):
            return moved, factor
        surprise = self._contexts * (shares @ self._labels - self._labels[self._targets])
        gradient = surprise.mean(axis=0) if recipe.part == "scale" else surprise.sum(axis=1).mean(keepdims=True)
        factor = factor - FACTOR_RATE * recipe.learning_rate * gradient
        return moved, 1 + self._shrunk(factor - 1, FACTOR_RATE * FACTOR_PRIOR)

    def _shrunk(self, values: np.ndarray, rate: float) -> np.ndarray:
        """The step of the prior, implicit: no shrinkage is too much for it."""
        shrunk: np.ndarray = values / (1 + rate * self._recipe.learning_rate * self._prior)
        return shrunk


def _seen(history: np.ndarray, size: int) -> np.ndarray:
    """Which items stand at a position or before it, PADDING and UNKNOWN too: bool [L, size]."""
    seen = np.zeros((len(history), size), bool)
    inside = np.flatnonzero(history < size)
    seen[inside, history[inside]] = True
    seen[:, : features.FIRST_INDEX] = True
    return np.logical_or.accumulate(seen, axis=0)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares
