"""Baselines: what a model has to be better than.

All have one interface. `fit` learns from the train split alone; `scores` takes the timeline before the target as the
user's history, the same that the model is told at that moment.
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

EASE_MOST_ITEMS = 30_000  # three square matrices of doubles: 21 GB


class TooLarge(Exception):
    """A catalogue that a baseline cannot take; the message is one line for a person."""


class Baseline(Protocol):
    """A way to recommend; its fields are its hyperparameters."""

    def fit(self, train: Timelines, size: int) -> Baseline:
        """Learn from the train split, with item indices below `size`; returns itself."""

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """Scores of all items for the users of some rows: int64 [B] -> float32 [B, V]."""


@dataclass
class Popularity:
    """The same list for everyone: items by their number of train events."""

    _scores: np.ndarray = field(init=False, repr=False)

    def fit(self, train: Timelines, size: int) -> Popularity:
        """See `Baseline`. The vocabulary is in this order already, which also settles ties as the Evaluator does."""
        self._scores = -np.arange(size, dtype=np.float32)
        return self

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """See `Baseline`."""
        return np.tile(self._scores, (len(rows), 1))


@dataclass
class RecentPopularity:
    """The same list for everyone: items by their number of the newest train events.

    Attributes:
        share: of the train events, by time, that are the newest.
    """

    share: float
    _scores: np.ndarray = field(init=False, repr=False)

    def fit(self, train: Timelines, size: int) -> RecentPopularity:
        """See `Baseline`; where the newest events say nothing, all train events decide."""
        known = without_unknown(train)
        times = known.activities.times
        newest = known.items[times >= np.quantile(times, 1 - self.share)]
        self._scores = (np.bincount(newest, minlength=size) - np.arange(size) / size).astype(np.float32)
        return self

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """See `Baseline`."""
        return np.tile(self._scores, (len(rows), 1))


@dataclass
class ItemKNN:
    """Items similar to those of the history; `implicit` computes the similarities.

    Attributes:
        weighting: of users before the cosine between items.
        neighbours: most similar items that are kept of each.
    """

    weighting: Literal["cosine", "tfidf"]
    neighbours: int
    _similarity: sp.csr_matrix = field(init=False, repr=False)

    def fit(self, train: Timelines, size: int) -> ItemKNN:
        """See `Baseline`."""
        kind = {"cosine": CosineRecommender, "tfidf": TFIDFRecommender}[self.weighting]
        model = kind(K=self.neighbours, num_threads=1)
        model.fit(interactions(train, np.arange(len(train)), size).astype(np.float64), show_progress=False)
        self._similarity = model.similarity
        return self

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """See `Baseline`; as `recommend` of the library scores, for all items."""
        found = interactions(timelines, rows, self._similarity.shape[0]) @ self._similarity
        return found.toarray().astype(np.float32)


@dataclass
class Ease:
    """A linear model from the items of a history to all items, in closed form.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.

    Attributes:
        regularization: lambda, added to the diagonal of the Gram matrix.
    """

    regularization: float
    _weights: np.ndarray = field(init=False, repr=False)

    def fit(self, train: Timelines, size: int) -> Ease:
        """See `Baseline`.

        Raises:
            TooLarge: the catalogue, for a dense matrix of its items.
        """
        if size > EASE_MOST_ITEMS:
            raise TooLarge(f"EASE inverts a matrix of all items: {size:,} are more than {EASE_MOST_ITEMS:,}")
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
    """What followed the last item in the train split; popular items where little did (a first-order Markov chain).

    The share of an item among what followed is (times it did + pseudo_count * its share of all train events) /
    (times anything did + pseudo_count), a Dirichlet prior.

    Attributes:
        pseudo_count: weight of the popular items, in transitions.
    """

    pseudo_count: float
    _counts: sp.csr_matrix = field(init=False, repr=False)
    _shares: np.ndarray = field(init=False, repr=False)

    def fit(self, train: Timelines, size: int) -> Markov:
        """See `Baseline`."""
        self._counts = transitions(train, size)
        events_of_items = np.bincount(without_unknown(train).items, minlength=size)
        self._shares = events_of_items / events_of_items.sum()
        return self

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """See `Baseline`; by popularity where a history is empty."""
        followed = self._counts[last_items(timelines, rows)].toarray()
        total = followed.sum(axis=1, keepdims=True) + self.pseudo_count
        return ((followed + self.pseudo_count * self._shares) / total).astype(np.float32)

    def most_common(self) -> np.ndarray:
        """What most often followed each item, int64 [V]; PADDING where nothing did."""
        counts = self._counts
        return np.where(counts.getnnz(axis=1) > 0, np.asarray(counts.argmax(axis=1)).ravel(), features.PADDING)


def interactions(timelines: Timelines, rows: np.ndarray, size: int) -> sp.csr_matrix:
    """Which items the timelines of some rows hold: float32 [B, V] of zeros and ones."""
    users, items = events(timelines, rows)
    known = items >= features.FIRST_INDEX
    users, items = users[known], items[known]
    matrix = sp.csr_matrix((np.ones(len(items), np.float32), (users, items)), shape=(len(rows), size))
    matrix.data[:] = 1.0  # an item may stand in a timeline more than once
    return matrix


def transitions(train: Timelines, size: int) -> sp.csr_matrix:
    """How often an item came right after another: int64 [V, V], row the earlier; unknown items are skipped."""
    known = without_unknown(train)
    before, after = neighbours(known)
    return sp.csr_matrix((np.ones(len(before), np.int64), (known.items[before], known.items[after])), (size, size))


def last_items(timelines: Timelines, rows: np.ndarray) -> np.ndarray:
    """The last known item of the timelines of some rows, int64 [B]; PADDING where there is none."""
    users, items = events(timelines, rows)
    known = items >= features.FIRST_INDEX
    last = np.full(len(rows), features.PADDING, np.int64)
    last[users[known]] = items[known]  # of several values for one place NumPy keeps the last
    return last
