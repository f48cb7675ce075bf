"""Baselines to compare models with.

All have the same interface. `fit` learns from the train split only. `scores` takes the timeline before the target as
the user's history, as the model does.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from implicit.nearest_neighbours import CosineRecommender, TFIDFRecommender

from benchmarks.ranking import Scorer
from components import features
from components.trainer.baselines import neighbours
from components.trainer.input_pipeline import ITEMS, TIMES, Timelines, without_unknown

EASE_MAX_ITEMS = 30_000  # three square matrices of doubles: 21 GB
RECENT_SESSIONS = 1000  # most recent sessions that share an item
LINEAR_STEPS = 10  # items after which the linear decay is 0


class TooLarge(Exception):
    """The catalogue is too large for a baseline; the message is one line."""


class Baseline(Scorer, Protocol):
    """A recommender whose dataclass fields are its hyperparameters."""

    def fit(self, train: Timelines, size: int) -> Baseline:
        """Learns from the train split, with item indices below `size`; returns itself."""


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
        times = known.activities[TIMES]
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
        known = without_unknown(train)
        before, after = (known.items[places] for places in neighbours(known))
        self._counts = sp.csr_matrix((np.ones(len(before), np.int64), (before, after)), (size, size))
        popularity = np.bincount(known.items, minlength=size)
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


@dataclass
class SessionKNN:
    """V-SkNN: the items of the sessions that are most similar to the current one; strong on click streams.

    Ludewig and Jannach, "Evaluation of Session-based Recommendation Algorithms", User Modeling and User-Adapted
    Interaction 2018. The similarity of a session is the sum of the weights of the items that both have. Each of its
    items scores the similarity times the weight of the last item that both have.

    Attributes:
        neighbours: number of nearest sessions.
        decay: weight of the item at position p from the end of the current session, from 1: `div` is 1 / p, `linear`
            falls to 0 after ten items.
        idf: whether rare items score more, in proportion to log(sessions / sessions with the item).
    """

    neighbours: int
    decay: Literal["div", "linear"]
    idf: bool
    _sessions: sp.csr_matrix = field(init=False, repr=False)
    _with_item: sp.csc_matrix = field(init=False, repr=False)
    _rarity: np.ndarray = field(init=False, repr=False)

    def fit(self, train: Timelines, size: int) -> SessionKNN:
        """See `Baseline`."""
        known = without_unknown(train)
        sessions = np.flatnonzero(np.diff(known.starts))
        ends = known.activities[TIMES][known.starts[sessions + 1] - 1]
        self._sessions = interactions(known, sessions[np.argsort(ends, kind="stable")], size)  # oldest first
        self._with_item = self._sessions.tocsc()
        in_sessions = np.maximum(np.diff(self._with_item.indptr), 1)
        self._rarity = np.log(len(sessions) / in_sessions) if self.idf else np.ones(size)
        return self

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """See `Baseline`; below every neighbour, items are in the order of popularity."""
        known = without_unknown(timelines.of_users(rows))
        popularity = -1e-9 * np.arange(self._sessions.shape[1], dtype=np.float32)
        scores = np.tile(popularity, (len(rows), 1))
        for row, (start, stop) in enumerate(itertools.pairwise(known.starts.tolist())):
            scores[row] += self._session_scores(known.items[start:stop])
        return scores

    def _session_scores(self, history: np.ndarray) -> np.ndarray:
        """Returns the scores of all items for one session, int [N] -> float64 [V]."""
        last_first = list(dict.fromkeys(history[::-1].tolist()))
        position = np.arange(len(last_first))
        weights = 1 / (position + 1) if self.decay == "div" else np.maximum(1 - position / LINEAR_STEPS, 0)
        shared = self._with_item[:, last_first]  # a column for each item, with the sessions that have it
        item = np.repeat(position, np.diff(shared.indptr))
        # A session first occurs in the column of the last common item.
        sessions, first, place = np.unique(shared.indices, return_index=True, return_inverse=True)
        similarity = np.bincount(place, weights[item])
        recent = np.arange(len(sessions))[-RECENT_SESSIONS:]
        nearest = recent[np.argsort(-similarity[recent], kind="stable")[: self.neighbours]]
        worth = similarity[nearest] * weights[item[first[nearest]]]
        return np.asarray(worth @ self._sessions[sessions[nearest]]).ravel() * self._rarity


def interactions(timelines: Timelines, rows: np.ndarray, size: int) -> sp.csr_matrix:
    """Returns the items of the timelines of some rows as float32 [B, V] of zeros and ones."""
    known = without_unknown(timelines.of_users(rows))
    matrix = sp.csr_matrix((np.ones(len(known.items), np.float32), known.items, known.starts), (len(rows), size))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0  # A timeline may have an item more than once.
    return matrix


def last_items(timelines: Timelines, rows: np.ndarray) -> np.ndarray:
    """Returns the last known item of the timelines of some rows, int32 [B]; PADDING if there is none."""
    return without_unknown(timelines.of_users(rows)).histories(slice(None), 1)[ITEMS][:, 0]
