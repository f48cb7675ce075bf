"""Baselines to compare models with.

All have the same interface. `fit` learns from the train split only. `scores` takes the timeline before the target as
the user's history, as the model does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from implicit.nearest_neighbours import CosineRecommender, TFIDFRecommender

from benchmarks.ranking import events
from components import features
from components.trainer.baselines import neighbours
from components.trainer.input_pipeline import Timelines, without_unknown

EASE_MAX_ITEMS = 30_000  # three square matrices of doubles: 21 GB


class TooLarge(Exception):
    """The catalogue is too large for a baseline; the message is one line."""


class Baseline(Protocol):
    """A recommender whose dataclass fields are its hyperparameters."""

    def fit(self, train: Timelines, size: int) -> Baseline:
        """Learns from the train split, with item indices below `size`; returns itself."""

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """Returns the scores of all items for the users of some rows: int64 [B] -> float32 [B, V]."""


@dataclass
class Popularity:
    """The same list for all users: items by number of interactions in the train split."""

    _scores: np.ndarray = field(init=False, repr=False)

    def fit(self, train: Timelines, size: int) -> Popularity:
        """See `Baseline`. The vocabulary has this order already, and so ties have the Evaluator's order."""
        self._scores = -np.arange(size, dtype=np.float32)
        return self

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """See `Baseline`."""
        return np.tile(self._scores, (len(rows), 1))


@dataclass
class RecentPopularity(Popularity):
    """The same list for all users: items by number of recent interactions in the train split.

    Attributes:
        share: of the train interactions that count as recent.
    """

    share: float

    def fit(self, train: Timelines, size: int) -> RecentPopularity:
        """See `Baseline`; all train interactions decide between items of equal recent popularity."""
        known = without_unknown(train)
        times = known.activities.times
        recent = known.items[times >= np.quantile(times, 1 - self.share)]
        self._scores = (np.bincount(recent, minlength=size) - np.arange(size) / size).astype(np.float32)
        return self


@dataclass
class ItemKNN:
    """Items that are similar to those of the history; the library `implicit` computes the similarities.

    Attributes:
        weighting: of users before the cosine between items.
        neighbours: number of most similar items that are kept for each item.
    """

    weighting: Literal["cosine", "tfidf"]
    neighbours: int
    _similarity: sp.csr_matrix = field(init=False, repr=False)

    def fit(self, train: Timelines, size: int) -> ItemKNN:
        """See `Baseline`."""
        recommender = {"cosine": CosineRecommender, "tfidf": TFIDFRecommender}[self.weighting]
        model = recommender(K=self.neighbours, num_threads=1)
        model.fit(interactions(train, np.arange(len(train)), size).astype(np.float64), show_progress=False)
        self._similarity = model.similarity
        return self

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """See `Baseline`; the scores of the library's `recommend`, for all items."""
        scores = interactions(timelines, rows, self._similarity.shape[0]) @ self._similarity
        return scores.toarray().astype(np.float32)


@dataclass
class Ease:
    """A linear model from the items of a history to all items, fitted in closed form.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.

    Attributes:
        regularization: lambda, added to the diagonal of the Gram matrix.
    """

    regularization: float
    _weights: np.ndarray = field(init=False, repr=False)

    def fit(self, train: Timelines, size: int) -> Ease:
        """See `Baseline`.

        Raises:
            TooLarge: the catalogue is too large for a dense matrix of items.
        """
        if size > EASE_MAX_ITEMS:
            raise TooLarge(f"EASE inverts a matrix of all items: {size:,} are more than {EASE_MAX_ITEMS:,}")
        users = interactions(train, np.arange(len(train)), size)
        gram = (users.T @ users).toarray().astype(np.float64)
        gram[np.diag_indices(size)] += self.regularization
        inverse = scipy.linalg.inv(gram, overwrite_a=True)
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        self._weights = weights.astype(np.float32)
        return self

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """See `Baseline`."""
        return interactions(timelines, rows, len(self._weights)) @ self._weights


@dataclass
class Markov:
    """A first-order Markov chain: items by their frequency after the last item, with popularity as a Dirichlet prior.

    The score of an item is (transitions to it + pseudo_count * its share of all train interactions) /
    (all transitions from the last item + pseudo_count).

    Attributes:
        pseudo_count: weight of the prior, in transitions.
    """

    pseudo_count: float
    _counts: sp.csr_matrix = field(init=False, repr=False)
    _shares: np.ndarray = field(init=False, repr=False)

    def fit(self, train: Timelines, size: int) -> Markov:
        """See `Baseline`."""
        self._counts = transitions(train, size)
        popularity = np.bincount(without_unknown(train).items, minlength=size)
        self._shares = popularity / popularity.sum()
        return self

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """See `Baseline`; popularity decides if the history is empty."""
        counts = self._counts[last_items(timelines, rows)].toarray()
        total = counts.sum(axis=1, keepdims=True) + self.pseudo_count
        return ((counts + self.pseudo_count * self._shares) / total).astype(np.float32)

    def most_common(self) -> np.ndarray:
        """Returns the item that most often followed each item, int64 [V]; PADDING if none did."""
        counts = self._counts
        return np.where(counts.getnnz(axis=1) > 0, np.asarray(counts.argmax(axis=1)).ravel(), features.PADDING)


def interactions(timelines: Timelines, rows: np.ndarray, size: int) -> sp.csr_matrix:
    """Returns the items of the timelines of some rows as float32 [B, V] of zeros and ones."""
    users, items = events(timelines, rows)
    known = items >= features.FIRST_INDEX
    users, items = users[known], items[known]
    matrix = sp.csr_matrix((np.ones(len(items), np.float32), (users, items)), shape=(len(rows), size))
    matrix.data[:] = 1.0  # A timeline may have an item more than once.
    return matrix


def transitions(train: Timelines, size: int) -> sp.csr_matrix:
    """Returns how often the item of the column came right after that of the row, int64 [V, V]; skips unknown items."""
    known = without_unknown(train)
    before, after = neighbours(known)
    return sp.csr_matrix((np.ones(len(before), np.int64), (known.items[before], known.items[after])), (size, size))


def last_items(timelines: Timelines, rows: np.ndarray) -> np.ndarray:
    """Returns the last known item of the timelines of some rows, int64 [B]; PADDING if there is none."""
    users, items = events(timelines, rows)
    known = items >= features.FIRST_INDEX
    last = np.full(len(rows), features.PADDING, np.int64)
    last[users[known]] = items[known]  # NumPy keeps the last of several values for one index.
    return last
