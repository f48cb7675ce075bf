"""Similar items: those that occur near each other in timelines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from components import features
from components.trainer.input_pipeline import Timelines

DISTANCE = 20  # most positions between two items that count as a pair


class SimilarItems(NamedTuple):
    """The items that are most similar to each item.

    Attributes:
        items: int32 [V, K], the most similar item first; PADDING where there are fewer.
        weights: float32 [V, K], in proportion to the similarity; each row with similar items has the sum 1.
    """

    items: np.ndarray
    weights: np.ndarray


def similar_items(train: Timelines, size: int, count: int) -> SimilarItems:
    """Returns the items that are most similar to each item.

    The similarity of two items is the number of pairs that they form in timelines, at most `DISTANCE` positions apart,
    divided by the geometric mean of their interactions: the cosine of item-kNN (Sarwar et al., WWW 2001). Memory and
    time grow with the number of interactions, not with the squared length of a timeline.

    Args:
        train: timelines of the train split.
        size: number of item indices V.
        count: number K of similar items for each item.
    """
    timelines = np.repeat(np.arange(len(train)), np.diff(train.starts))
    is_known = train.items >= features.FIRST_INDEX
    items, timelines = train.items[is_known], timelines[is_known]
    pairs = sp.csr_matrix((size, size), dtype=np.float32)
    for distance in range(1, DISTANCE + 1):
        earlier, later = items[:-distance], items[distance:]
        is_pair = (timelines[:-distance] == timelines[distance:]) & (earlier != later)
        ones = np.ones(np.count_nonzero(is_pair), np.float32)
        pairs += sp.csr_matrix((ones, (earlier[is_pair], later[is_pair])), shape=(size, size))
    symmetric = (pairs + pairs.T).tocoo()
    interactions = np.maximum(np.bincount(items, minlength=size), 1).astype(np.float64)
    similarities = symmetric.data / np.sqrt(interactions[symmetric.row] * interactions[symmetric.col])
    # The most similar item of each row first; of equal ones, the most frequent.
    order = np.lexsort((symmetric.col, -similarities, symmetric.row))
    rows, similarities = symmetric.row[order], similarities[order]
    places = np.arange(len(rows)) - np.searchsorted(rows, rows)
    is_near = places < count
    at = rows[is_near], places[is_near]
    similar = SimilarItems(np.full((size, count), features.PADDING, np.int32), np.zeros((size, count), np.float32))
    similar.items[at] = symmetric.col[order][is_near]
    similar.weights[at] = similarities[is_near]
    sums = similar.weights.sum(axis=1, keepdims=True)
    return SimilarItems(similar.items, np.divide(similar.weights, sums, out=similar.weights, where=sums > 0))
