"""Measures how well the order in which a site lists its items predicts the test targets.

MovieLens shows new users pages of films, and a user who works through a page rates its films in the order of the page:
the site then chooses the next film, not the user. A rule that has only a list shows the effect of this on Recall@k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg

from benchmarks.baselines import Markov, last_items
from benchmarks.ranking import Estimate, rank_targets, recall
from components import features
from components.trainer.baselines import neighbours
from components.trainer.input_pipeline import TIMES, Timelines, without_unknown


@dataclass(frozen=True)
class NextInList:
    """Recommends the items after the last item of the history in a list; the list starts again after its end.

    Attributes:
        place: position of each item index in the list, int64 [V].
    """

    place: np.ndarray

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """Returns minus the number of steps from the last item to each item: int64 [B] -> float32 [B, V]."""
        last = last_items(timelines, rows)
        steps = (self.place[None, :] - self.place[last][:, None] - 1) % len(self.place)
        return -steps.astype(np.float32)


@dataclass(frozen=True)
class Listing:
    """The accuracy of a list on the test split, and its agreement with the train split.

    Attributes:
        name: of the list.
        forward: share of neighbours of equal time in the train split that are in the order of the list.
        next_share: share of test targets that directly follow the last item in the list.
        recall_at_1: of a rule that recommends the next items of the list that the user has not seen.
        recall_at_10: of the same rule.
    """

    name: str
    forward: float | None
    next_share: float
    recall_at_1: Estimate
    recall_at_10: Estimate


def measure(train: Timelines, test: Timelines, item_ids: list[str]) -> list[Listing]:
    """Returns results of three lists: by id, learnt from ties, and the most common successor of each item."""
    size = len(item_ids) + features.FIRST_INDEX
    before, after = tied_neighbours(train)
    listings = []
    for name, order in (("ids", by_id(item_ids)), ("learnt from ties", by_ties(before, after, size))):
        place = np.argsort(order)
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
    """Returns the item indices of all pairs of successive activities with equal times, both int [P]."""
    known = without_unknown(train)
    before, after = neighbours(known)
    same = tied(known)[after]
    return known.items[before[same]], known.items[after[same]]


def tied(timelines: Timelines) -> np.ndarray:
    """Returns whether each activity has the time of the previous one in its timeline; bool [E]."""
    times = timelines.activities[TIMES]
    same = np.zeros(len(times), bool)
    same[1:] = times[1:] == times[:-1]
    starts = timelines.starts[:-1]
    same[starts[starts < len(times)]] = False
    return same


def by_id(item_ids: list[str]) -> np.ndarray:
    """Returns the item indices in the order of their ids, int64 [V], after the indices that are not items.

    The order is numerical if all ids are numbers.
    """
    keys = [int(id_) for id_ in item_ids] if all(id_.isdecimal() for id_ in item_ids) else item_ids
    order = np.array(sorted(range(len(item_ids)), key=keys.__getitem__), np.int64)
    return np.concatenate([np.arange(features.FIRST_INDEX), order + features.FIRST_INDEX])


def by_ties(before: np.ndarray, after: np.ndarray, size: int) -> np.ndarray:
    """Returns the item indices in the order that best explains which of two neighbours of equal time comes first.

    Each item gets a score so that the score of the later of two neighbours is higher by one, by least squares (Jiang,
    Lim, Yao and Ye, "Statistical ranking and combinatorial Hodge theory", Math. Program. 2011).

    Args:
        before: int [P], item indices.
        after: int [P], the neighbour that comes later.
        size: number of item indices V.

    Returns:
        int64 [V]; indices that are not items, and items without a tied neighbour, come first.
    """
    pairs = sp.csr_matrix((np.ones(len(before)), (before, after)), shape=(size, size))
    times_first, times_second = (np.bincount(side, minlength=size).astype(float) for side in (before, after))
    degree = times_first + times_second
    laplacian = sp.diags(degree + 1e-3) - (pairs + pairs.T)  # The small term makes it invertible.
    score, _ = scipy.sparse.linalg.cg(laplacian.tocsr(), times_second - times_first, rtol=1e-6)
    return np.lexsort((score, degree > 0))
