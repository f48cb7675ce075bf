"""Checks the signatures besides `recommend` of a converted file against the SavedModel."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from components import features
from components.pusher.check import read_rows
from components.pusher.errors import PushError
from components.ranking_metrics import CUT
from on_device.artifact import FIRST_INDEX
from on_device.recommender import Recommender
from on_device.tflite_model import EXPLAIN, SIMILAR

QUESTIONS = 200  # of each signature
# Of a file that was converted rightly. Rounding to 8 bits reorders items that are about equally similar, as those of
# rare items are: on Amazon Beauty, 0.92 of the ten most similar items stay.
LEAST_AGREEMENT = 0.75
BEST_REASONS = 3  # of the SavedModel, among which the file's best reason counts as the same

# A question's agreement, from 0 to 1, and the seconds that the file took.
Answers = Iterator[tuple[float, float]]


def check_signatures(loaded: Any, recommender: Recommender, files: list[str]) -> dict[str, dict[str, float]]:
    """Compares the answers of a file with those of its SavedModel.

    Args:
        loaded: the SavedModel.
        recommender: the client with the file.
        files: gzipped TFRecords of raw examples of one split, whose histories are explained.

    Returns:
        Of each signature that the file has besides `recommend`: `agreement` and `latency_us`, the median. The agreement
        of `similar` is the mean share of the ten most similar items; that of `explain` the share of histories in which
        the file's best reason is among the SavedModel's three best.

    Raises:
        PushError: an agreement is below LEAST_AGREEMENT.
    """
    checks: dict[str, Callable[[], Answers]] = {
        SIMILAR: lambda: _similar(loaded, recommender),
        EXPLAIN: lambda: _explain(loaded, recommender, files),
    }
    found = {}
    for name in (name for name in checks if name in recommender.signatures):
        agreements, seconds = zip(*checks[name](), strict=True)
        agreement = float(np.mean(agreements))
        if agreement < LEAST_AGREEMENT:
            raise PushError(
                f"{name} of the file agrees with the SavedModel in {agreement:.2%}, less than {LEAST_AGREEMENT:.0%}; "
                f"nothing is pushed; choose another pusher.precision, or leave {name} out of pusher.signatures"
            )
        found[name] = {"agreement": agreement, "latency_us": round(1e6 * float(np.median(seconds)), 1)}
    return found


def _similar(loaded: Any, recommender: Recommender) -> Answers:
    size = len(recommender.items) + FIRST_INDEX
    no_bias = tf.zeros([1, size])
    for item in np.unique(np.linspace(FIRST_INDEX, size - 1, QUESTIONS).astype(int)).tolist():
        expected = loaded.signatures[SIMILAR](item=tf.constant([[item]]), bias=no_bias)["ids"].numpy()[0, :CUT]
        started = time.perf_counter()
        ids, _ = recommender.similar_indices(item)
        seconds = time.perf_counter() - started
        expected = expected[expected >= FIRST_INDEX]
        yield (len(np.intersect1d(expected, ids[:CUT])) / len(expected) if len(expected) else 1.0), seconds


def _explain(loaded: Any, recommender: Recommender, files: list[str]) -> Answers:
    for row in itertools.islice(read_rows(loaded, files), QUESTIONS):
        item = next((int(item) for item in row.best if item >= FIRST_INDEX), FIRST_INDEX)
        inputs = {name: tf.constant(values[None]) for name, values in row.history.items()}
        expected = loaded.signatures[EXPLAIN](**inputs, item=tf.constant([[item]]))["contributions"].numpy()[0]
        started = time.perf_counter()
        contributions = recommender.explain_indices(item=item, **row.history)
        seconds = time.perf_counter() - started
        is_known = row.history[features.HISTORY] >= FIRST_INDEX
        reasons = np.argsort(-np.where(is_known, expected, -np.inf))[:BEST_REASONS]
        yield (
            float(not is_known.any() or int(np.argmax(np.where(is_known, contributions, -np.inf))) in reasons),
            seconds,
        )
