"""Ranking metrics of the Trainer, the Evaluator and the Pusher."""

from __future__ import annotations

import numpy as np

RECALL_AT = (1, 5, 10, 50)
CUT = 10  # of NDCG
NAMES = (*(f"recall_at_{k}" for k in RECALL_AT), f"ndcg_at_{CUT}", "mrr")
MISS = np.inf  # the rank of a target that is unknown, excluded, or not in a list


def values_of(ranks: np.ndarray | float) -> np.ndarray:
    """Returns the value of each metric for each target; the metric is the mean over the targets.

    - `recall_at_k`: 1 among the best k, else 0. With one target each, Recall@k is the hit rate.
    - `ndcg_at_10`: 1 / log2(rank + 2) among the best 10, else 0 (Jarvelin and Kekalainen, TOIS 2002).
    - `mrr`: 1 / (rank + 1).

    Args:
        ranks: ranks of the targets from 0, [...]; `MISS` for a target without a rank.

    Returns:
        float64 [..., len(NAMES)].
    """
    ranks = np.asarray(ranks, np.float64)
    hits = [ranks < k for k in RECALL_AT]
    gains = np.where(ranks < CUT, 1 / np.log2(ranks + 2), 0.0)
    return np.stack([*hits, gains, 1 / (ranks + 1)], axis=-1).astype(np.float64)
