"""Ranks targets among all items of the catalogue, and computes metrics with their standard errors.

The rules are those of the Evaluator. If repeats are not recommended, the items of the timeline are excluded. A target
that is unknown or excluded is a miss. Items with equal scores rank in the order of the vocabulary, the more popular
first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf

from components import features
from components.trainer.input_pipeline import Timelines

BATCH = 256
LIST_LENGTH = 10  # items of a list, for coverage


class Scorer(Protocol):
    """A recommender that scores all items."""

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """Returns scores of all items for the users of some rows: int64 [B] -> float32 [B, V]."""


@dataclass(frozen=True)
class Estimate:
    """A mean over users and its standard error."""

    mean: float
    standard_error: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} ±{self.standard_error:.4f}"

    @property
    def signed(self) -> str:
        """Returns a difference as text, with its sign."""
        return f"{self.mean:+.4f} ±{self.standard_error:.4f}"


@dataclass(frozen=True)
class Ranking:
    """The ranks and the best items of all examples of a split.

    Attributes:
        ranks: of each target, from 0; int64 [U], V for a miss.
        lists: indices of each example's best items, int [U, LIST_LENGTH]; below FIRST_INDEX if fewer items remain.
    """

    ranks: np.ndarray
    lists: np.ndarray

    def coverage(self, num_items: int) -> float:
        """Returns the share of the items that are in at least one list."""
        listed = np.unique(self.lists)
        return int((listed >= features.FIRST_INDEX).sum()) / num_items


def rank_targets(scorer: Scorer, timelines: Timelines, repeats: bool = False) -> Ranking:
    """Ranks each example's target.

    Args:
        scorer: scores all items.
        timelines: with a target each.
        repeats: whether items of the timeline are recommended.
    """
    ranks = np.empty(len(timelines), np.int64)
    lists = np.full((len(timelines), LIST_LENGTH), features.PADDING)
    for first in range(0, len(timelines), BATCH):
        rows = np.arange(first, min(first + BATCH, len(timelines)))
        scores = np.array(scorer.scores(timelines, rows), np.float32)
        if not repeats:
            scores[events(timelines, rows)] = -np.inf
        scores[:, : features.FIRST_INDEX] = -np.inf
        targets = timelines.targets[rows][:, None]
        own = np.take_along_axis(scores, targets, axis=1)
        tied_before = (scores == own) & (np.arange(scores.shape[1]) < targets)
        rank = ((scores > own) | tied_before).sum(axis=1)
        ranks[rows] = np.where(own[:, 0] > -np.inf, rank, scores.shape[1])
        # Of equal scores, TensorFlow lists the lower index first.
        best, indices = (values.numpy() for values in tf.math.top_k(scores, min(LIST_LENGTH, scores.shape[1])))
        lists[rows, : best.shape[1]] = np.where(best > -np.inf, indices, features.PADDING)
    return Ranking(ranks, lists)


def events(timelines: Timelines, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the timelines of some rows as pairs (position in `rows`, item index), both int [E], row by row."""
    chosen = timelines.of_users(rows)
    return np.repeat(np.arange(len(rows)), np.diff(chosen.starts)), chosen.items


def hits(ranks: np.ndarray, k: int) -> np.ndarray:
    """Returns 1 for each target among the best k, 0 for others; float64 [U]."""
    return (ranks < k).astype(np.float64)


def recall(ranks: np.ndarray, k: int, users: np.ndarray | None = None) -> Estimate:
    """Returns Recall@k, which is the hit rate with one target each.

    Args:
        ranks: of the targets, int64 [U].
        k: length of the list.
        users: the user of each target, [U]; None if each user has one target. The standard error is clustered by user,
            because the targets of a user are not independent (Cameron and Miller, Journal of Human Resources 2015);
            with one target for each user, it is the binomial standard error.
    """
    return _mean(hits(ranks, k), users)


def ndcg(ranks: np.ndarray, k: int, users: np.ndarray | None = None) -> Estimate:
    """Returns NDCG@k (Jarvelin and Kekalainen, TOIS 2002); arguments and standard error are those of `recall`."""
    return _mean(hits(ranks, k) / np.log2(ranks + 2.0), users)


def mrr(ranks: np.ndarray, k: int, users: np.ndarray | None = None) -> Estimate:
    """Returns MRR@k, the mean of 1 / (rank + 1) of the best k; arguments and standard error are those of `recall`."""
    return _mean(hits(ranks, k) / (ranks + 1.0), users)


def quality(ranks: np.ndarray, users: np.ndarray | None = None) -> dict[str, Estimate]:
    """Returns the metrics of the tables, by name."""
    return {
        "recall_at_10": recall(ranks, 10, users),
        "recall_at_20": recall(ranks, 20, users),
        "ndcg_at_10": ndcg(ranks, 10, users),
        "recall_at_50": recall(ranks, 50, users),
    }


def paired_difference(ranks: np.ndarray, others: np.ndarray, users: np.ndarray | None = None, k: int = 10) -> Estimate:
    """Returns the difference of Recall@k on the same targets; the standard error is that of the differences."""
    return _mean(hits(ranks, k) - hits(others, k), users)


def _mean(values: np.ndarray, users: np.ndarray | None) -> Estimate:
    mean = float(values.mean())
    residuals: np.ndarray = values - mean
    if users is not None:
        _, user = np.unique(users, return_inverse=True)
        residuals = np.bincount(user, residuals)
    return Estimate(mean, math.sqrt(float((residuals**2).sum())) / len(values))
