"""V-SkNN: recommends the items of similar sessions, with a decay by position; a strong baseline for click streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import scipy.sparse as sp

from benchmarks.ranking import events
from components import features
from components.trainer.input_pipeline import Timelines, without_unknown

SAMPLE = 1000  # most recent sessions that share an item
LINEAR_STEPS = 10  # items after which the linear decay is 0


@dataclass
class SessionKNN:
    """Recommends the items of the sessions that are most similar to the current one.

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
        """Learns from the train split, with item indices below `size`; returns itself."""
        known = without_unknown(train)
        lengths = np.diff(known.starts)
        ends = known.activities.times[known.starts[1:][lengths > 0] - 1]
        oldest_first = np.argsort(ends, kind="stable")
        row_of = np.full(len(lengths), -1)
        row_of[np.flatnonzero(lengths > 0)[oldest_first]] = np.arange(len(ends))
        rows = np.repeat(row_of, lengths)
        self._sessions = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, known.items)), (len(ends), size))
        self._sessions.data[:] = 1.0
        self._with_item = self._sessions.tocsc()
        in_sessions = np.maximum(np.diff(self._with_item.indptr), 1)
        self._rarity = np.log(len(ends) / in_sessions) if self.idf else np.ones(size)
        return self

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """Returns scores of all items for the users of some rows: int64 [B] -> float32 [B, V]."""
        users, items = events(timelines, rows)
        scores = np.zeros((len(rows), self._sessions.shape[1]), np.float32)
        # Below every neighbour, items are in the order of popularity.
        scores -= np.arange(scores.shape[1], dtype=np.float32) * 1e-9
        bounds = np.searchsorted(users, np.arange(len(rows) + 1))
        for row in range(len(rows)):
            history = items[bounds[row] : bounds[row + 1]]
            scores[row] += self._session_scores(history[history >= features.FIRST_INDEX])
        return scores

    def _session_scores(self, history: np.ndarray) -> np.ndarray:
        """Returns the scores of all items for one session, int [N] -> float64 [V]."""
        scores = np.zeros(self._sessions.shape[1])
        last_first = list(dict.fromkeys(history[::-1].tolist()))
        steps = np.arange(1, len(last_first) + 1)
        weights = 1 / steps if self.decay == "div" else np.maximum(1 - (steps - 1) / LINEAR_STEPS, 0)
        columns = [
            self._with_item.indices[self._with_item.indptr[item] : self._with_item.indptr[item + 1]]
            for item in last_first
        ]
        if not columns:
            return scores
        sessions, place = np.unique(np.concatenate(columns), return_inverse=True)
        similarity = np.bincount(place, np.repeat(weights, [len(column) for column in columns]))
        # The first column of a session is that of the last common item.
        first = np.full(len(sessions), len(columns))
        np.minimum.at(first, place, np.repeat(np.arange(len(columns)), [len(column) for column in columns]))
        recent = np.arange(len(sessions))[-SAMPLE:]
        nearest = recent[np.argsort(-similarity[recent], kind="stable")[: self.neighbours]]
        worth = similarity[nearest] * weights[first[nearest]]
        return np.asarray(worth @ self._sessions[sessions[nearest]]).ravel() * self._rarity
