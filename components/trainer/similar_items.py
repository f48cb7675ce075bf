"""Finds similar items, which occur near each other in timelines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from components import features
from components.trainer.input_pipeline import Timelines

DISTANCE = 20  # maximum difference between the positions of two items that form a pair
BLOCK = 4096  # number of items whose pairs are sorted at a time


class SimilarItems(NamedTuple):
    """The items that are most similar to each item.

    Attributes:
        items: int32 [V, K], the most similar item first; PADDING if there are fewer.
        weights: float32 [V, K], in proportion to the similarity; each row with similar items has the sum 1.
    """

    items: np.ndarray
    weights: np.ndarray


def similar_items(train: Timelines, size: int, count: int) -> SimilarItems:
    """Returns the items that are most similar to each item.

    The similarity of two items is the number of pairs that they form in timelines, at most `DISTANCE` positions apart,
    divided by the geometric mean of their numbers of interactions, as in item-kNN with the cosine (Sarwar et al.,
    WWW 2001). The number of pairs is at most `DISTANCE` times the number of interactions.

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
    pairs = (pairs + pairs.T).tocsr()
    interactions = np.maximum(np.bincount(items, minlength=size), 1).astype(np.float64)
    similar = SimilarItems(np.full((size, count), features.PADDING, np.int32), np.zeros((size, count), np.float32))
    for first in range(0, size, BLOCK):
        block = pairs[first : first + BLOCK].tocoo()
        rows, columns = block.row + first, block.col
        similarities = block.data / np.sqrt(interactions[rows] * interactions[columns])
        # The most similar item of each row first; of equally similar ones, the most popular.
        order = np.lexsort((columns, -similarities, rows))
        rows = rows[order]
        ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
        is_chosen = ranks < count
        places = rows[is_chosen], ranks[is_chosen]
        similar.items[places] = columns[order][is_chosen]
        similar.weights[places] = similarities[order][is_chosen]
    sums = similar.weights.sum(axis=1, keepdims=True)
    return SimilarItems(similar.items, np.divide(similar.weights, sums, out=similar.weights, where=sums > 0))
