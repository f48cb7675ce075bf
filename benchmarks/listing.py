"""How much of a test is the order in which the site listed its items.

MovieLens shows new users pages of films, and whoever works through a page rates its films in the order of the page: the
next film is then the site's choice, not the user's. A rule that knows nothing but a list shows how far that carries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg

from benchmarks.baselines import Markov, last_items
from benchmarks.ranking import Estimate, rank_targets, recall
from benchmarks.ties import tied
from components import features
from components.trainer.baselines import neighbours
from components.trainer.input_pipeline import Timelines, without_unknown


@dataclass(frozen=True)
class NextInList:
    """Recommends what comes next in a list after the last item of the history; round to the start after its end.

    Attributes:
        place: int64 [V], of each item index in the list.
    """

    place: np.ndarray

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """int64 [B] -> float32 [B, V], minus the number of steps from the last item."""
        last = last_items(timelines, rows)
        steps = (self.place[None, :] - self.place[last][:, None] - 1) % len(self.place)
        return -steps.astype(np.float32)


@dataclass(frozen=True)
class Listing:
    """What a list explains.

    Attributes:
        name: of the list.
        forward: share of neighbours of equal time in the train split that stand in the order of the list.
        next_share: share of test targets that come right after the last item in the list.
        recall_at_1: on the test split, of the rule "what comes next in the list and is not seen yet".
        recall_at_10: of the same rule.
    """

    name: str
    forward: float | None
    next_share: float
    recall_at_1: Estimate
    recall_at_10: Estimate


def measure(train: Timelines, test: Timelines, item_ids: list[str]) -> list[Listing]:
    """Three readings of "the order of the site": ids, a list learnt from ties, and what mostly came next."""
    size = len(item_ids) + features.FIRST_INDEX
    before, after = tied_neighbours(train)
    listings = []
    for name, order in (("ids", by_id(item_ids)), ("learnt from ties", by_ties(before, after, size))):
        place = np.empty(size, np.int64)
        place[order] = np.arange(size)
        forward = float((place[before] < place[after]).mean()) if len(before) else None
        following = np.full(size, features.PADDING)
        following[order[:-1]] = order[1:]
        listings.append(_listing(name, forward, following, NextInList(place), test))
    # A pseudo-count that only breaks ties between pairs that were never observed.
    successor = Markov(1e-3).fit(train, size)
    following = successor.most_common()
    listings.append(_listing("most common successor", None, following, successor, test))
    return listings


def _listing(
    name: str, forward: float | None, following: np.ndarray, rule: NextInList | Markov, test: Timelines
) -> Listing:
    last = last_items(test, np.arange(len(test)))
    is_next = (following[last] == test.targets) & (test.targets >= features.FIRST_INDEX)
    ranks = rank_targets(rule, test).ranks
    return Listing(name, forward, float(is_next.mean()), recall(ranks, 1), recall(ranks, 10))


def tied_neighbours(train: Timelines) -> tuple[np.ndarray, np.ndarray]:
    """Item indices of every two activities that follow one another at the same time, both int [P]."""
    known = without_unknown(train)
    before, after = neighbours(known)
    same = tied(known)[after]
    return known.items[before[same]], known.items[after[same]]


def by_id(item_ids: list[str]) -> np.ndarray:
    """Item indices in the order of their ids, of numbers where all are; int64 [V], first those that are no item."""
    numbers = all(id_.isdecimal() for id_ in item_ids)
    order = sorted(range(len(item_ids)), key=lambda at: (int(item_ids[at]), "") if numbers else (0, item_ids[at]))
    return np.concatenate([np.arange(features.FIRST_INDEX), np.array(order, np.int64) + features.FIRST_INDEX])


def by_ties(before: np.ndarray, after: np.ndarray, size: int) -> np.ndarray:
    """Item indices in the list that best explains which of two neighbours of equal time comes first.

    Each item gets a place on a line so that the later of two neighbours stands one further, by least squares (Jiang,
    Lim, Yao and Ye, "Statistical ranking and combinatorial Hodge theory", Math. Program. 2011).

    Args:
        before: int [P], item indices.
        after: int [P], the neighbour that comes later.
        size: number of item indices V.

    Returns:
        int64 [V]; indices that are no items, and items without a tied neighbour, come first.
    """
    pairs = sp.csr_matrix((np.ones(len(before)), (before, after)), shape=(size, size))
    both = pairs + pairs.T
    degree = np.asarray(both.sum(axis=1)).ravel()
    laplacian = sp.diags(degree + 1e-3) - both  # the little more makes it invertible
    wanted = np.asarray(pairs.sum(axis=0)).ravel() - np.asarray(pairs.sum(axis=1)).ravel()
    score, _ = scipy.sparse.linalg.cg(laplacian.tocsr(), wanted, rtol=1e-6)
    return np.lexsort((score, degree > 0))
