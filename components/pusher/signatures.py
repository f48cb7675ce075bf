"""Compares the signatures `similar` and `explain` of a converted file with those of the SavedModel."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from components import features
from components.errors import StepError
from components.pusher.check import read_rows
from components.ranking_metrics import CUT
from on_device.artifact import FIRST_INDEX
from on_device.recommender import Recommender
from on_device.tflite_model import EXPLAIN, SIMILAR

QUERIES = 200  # for each signature
# A correctly converted file agrees more. Rounding to 8 bits reorders items that are about equally similar, as those of
# rare items are: on Amazon Beauty, 0.92 of the ten most similar items stay.
MIN_AGREEMENT = 0.75
TOP_REASONS = 3  # The file's top reason agrees if it is one of the SavedModel's top three.

# For each query, the agreement, from 0 to 1, and the seconds that the file took.
Agreements = Iterator[tuple[float, float]]


def check_signatures(loaded: Any, recommender: Recommender, files: list[str]) -> dict[str, dict[str, float]]:
    """Compares the results of a file with those of its SavedModel.

    Args:
        loaded: the SavedModel.
        recommender: the client with the file.
        files: gzipped TFRecords of raw examples of one split, whose histories are used for `explain`.

    Returns:
        By name of each signature of the file except `recommend`: `agreement`, and `latency_us`, the median. The
        agreement of `similar` is the mean share of the ten most similar items that are the same; that of `explain` is
        the share of histories for which the file's top reason is one of the SavedModel's top three.

    Raises:
        StepError: an agreement is below `MIN_AGREEMENT`.
    """
    checks: dict[str, Callable[[], Agreements]] = {
        SIMILAR: lambda: _similar(loaded, recommender),
        EXPLAIN: lambda: _explain(loaded, recommender, files),
    }
    results = {}
    for name, check in checks.items():
        if name not in recommender.signatures:
            continue
        agreements, seconds = zip(*check(), strict=True)
        agreement = float(np.mean(agreements))
        if agreement < MIN_AGREEMENT:
            raise StepError(
                f"{name} of the file agrees with the SavedModel in {agreement:.2%}, less than {MIN_AGREEMENT:.0%}; "
                f"nothing is pushed; choose another pusher.precision, or remove {name} from pusher.signatures"
            )
        results[name] = {"agreement": agreement, "latency_us": round(1e6 * float(np.median(seconds)), 1)}
    return results


def _similar(loaded: Any, recommender: Recommender) -> Agreements:
    size = len(recommender.items) + FIRST_INDEX
    no_bias = tf.zeros([1, size])
    for item in np.unique(np.linspace(FIRST_INDEX, size - 1, QUERIES).astype(int)).tolist():
        expected = loaded.signatures[SIMILAR](item=tf.constant([[item]]), bias=no_bias)["ids"].numpy()[0, :CUT]
        started = time.perf_counter()
        ids, _ = recommender.similar_indices(item)
        seconds = time.perf_counter() - started
        expected = expected[expected >= FIRST_INDEX]
        agreement = len(np.intersect1d(expected, ids[:CUT])) / len(expected) if len(expected) else 1.0
        yield agreement, seconds


def _explain(loaded: Any, recommender: Recommender, files: list[str]) -> Agreements:
    for row in itertools.islice(read_rows(loaded, files), QUERIES):
        item = next((int(item) for item in row.best if item >= FIRST_INDEX), FIRST_INDEX)
        inputs = {name: tf.constant(values[None]) for name, values in row.history.items()}
        expected = loaded.signatures[EXPLAIN](**inputs, item=tf.constant([[item]]))["contributions"].numpy()[0]
        started = time.perf_counter()
        contributions = recommender.explain_indices(item=item, **row.history)
        seconds = time.perf_counter() - started
        is_known = row.history[features.HISTORY] >= FIRST_INDEX
        reasons = np.argsort(-np.where(is_known, expected, -np.inf))[:TOP_REASONS]
        top_reason = int(np.argmax(np.where(is_known, contributions, -np.inf)))
        yield float(not is_known.any() or top_reason in reasons), seconds
