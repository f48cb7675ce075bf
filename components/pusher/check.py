"""Checks a converted file with the client that users get, on the test split, against the SavedModel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from components import features
from components.pusher.errors import PushError
from components.pusher.settings import PusherSettings
from on_device.recommender import Recommender

RECALL_AT = (1, 5, 10, 50)
CUT = 10
BATCH = 128


@dataclass(frozen=True)
class Check:
    """What a file does on the test split.

    Attributes:
        metrics: by the names of the Evaluator's; targets beyond the file's best K count as misses.
        agreement_at_10: mean share of the SavedModel's best 10 that are among the file's best 10 for the same history.
        examples: number of test timelines.
        recall_name: the Recall@K nearest to K = 10 that the file's list is long enough for.
    """

    metrics: dict[str, float]
    agreement_at_10: float
    examples: int
    recall_name: str


def check_file(loaded: Any, recommender: Recommender, files: list[str], limit: int = 0) -> Check:
    """Run a file on raw test examples.

    Args:
        loaded: the SavedModel.
        recommender: the client with the converted file.
        files: gzipped TFRecords of raw test examples.
        limit: how many examples; 0 takes all.

    Raises:
        PushError: there are no examples.
    """
    cut = min(CUT, recommender.top_k)
    hits = dict.fromkeys(RECALL_AT, 0)
    gain = reciprocal = agreement = 0.0
    listed: set[int] = set()
    examples = 0
    for history, timeline, target in _rows(loaded, files, limit):
        examples += 1
        tensors = {name: tf.constant(values[None, :]) for name, values in history.items()}
        expected = loaded.signatures["recommend"](**tensors)["ids"].numpy()[0, :cut]
        answered, _ = recommender.rank_indices(**history)
        agreement += _overlap(expected[expected >= features.FIRST_INDEX], answered[:cut])
        # As the Evaluator ranks: nothing of the whole timeline counts, older items than the history's included.
        ids, _ = recommender.rank_indices(**history, exclude=timeline)
        listed.update(ids[:cut].tolist())
        for rank in np.flatnonzero(ids == target).tolist():
            for k in RECALL_AT:
                hits[k] += rank < k
            gain += 1 / math.log2(rank + 2) if rank < CUT else 0.0
            reciprocal += 1 / (rank + 1)
    if not examples:
        raise PushError("the test split is empty, so that the file cannot be checked")
    metrics = {f"recall_at_{k}": hits[k] / examples for k in RECALL_AT}
    metrics |= {f"ndcg_at_{CUT}": gain / examples, "mrr": reciprocal / examples}
    metrics |= {f"coverage_at_{CUT}": len(listed) / len(recommender.items)}
    longest = max(k for k in RECALL_AT if k <= cut)
    return Check(metrics, agreement / examples, examples, f"recall_at_{longest}")


def complain(check: Check, evaluation: dict[str, float], settings: PusherSettings) -> None:
    """Refuse a file that does not do what its SavedModel does.

    Args:
        check: of the file.
        evaluation: the Evaluator's metrics of the SavedModel.
        settings: what is asked for.

    Raises:
        PushError: too little agreement, or too much loss.
    """
    advice = f"nothing is pushed; choose another pusher.precision than {settings.precision}"
    if check.agreement_at_10 < settings.min_agreement:
        raise PushError(
            f"the file returns {check.agreement_at_10:.2%} of the SavedModel's top 10, less than "
            f"pusher.min_agreement {settings.min_agreement:.2%}; {advice}"
        )
    # The Evaluator's number is of all test timelines, and does not compare with a part of them.
    name, recall = check.recall_name, check.metrics[check.recall_name]
    if not settings.check_examples and recall < evaluation[name] * (1 - settings.max_recall_loss):
        raise PushError(
            f"the file has {name} {recall:.4f} and the SavedModel {evaluation[name]:.4f}, a loss of more than "
            f"pusher.max_recall_loss {settings.max_recall_loss:.2%}; {advice}"
        )


def _overlap(expected: np.ndarray, answered: np.ndarray) -> float:
    """Share of `expected` that is in `answered`; of nothing expected, whether nothing is answered."""
    if not len(expected):
        return float(not len(answered))
    return len(np.intersect1d(expected, answered)) / len(expected)


def _rows(loaded: Any, files: list[str], limit: int) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray, int]]:
    """History (inputs of `recommend`, each [N]), timeline int32 [T] without padding, and target of each example."""
    inputs = loaded.signatures["recommend"].structured_input_signature[1]
    records = tf.data.TFRecordDataset(sorted(files), compression_type="GZIP")
    if limit:
        records = records.take(limit)
    for batch in records.batch(BATCH):
        encoded = {name: value.numpy() for name, value in loaded.signatures["encode_examples"](examples=batch).items()}
        for row, (timeline, target) in enumerate(zip(encoded["timeline"], encoded["target"], strict=True)):
            history = {name: encoded[name][row] for name in inputs}
            yield history, timeline[timeline != features.PADDING], int(target)
