"""Compares a converted file, run by the client that apps use, with its SavedModel on a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from components import features
from components.chance import SURE, UserSums
from components.errors import StepError
from components.pusher.settings import PusherSettings
from components.ranking_metrics import CUT, MISS, NAMES, RECALL_AT, values_of
from on_device.recommender import Recommender

BATCH = 128


@dataclass(frozen=True)
class Row:
    """An example of a split, with the SavedModel's recommendations for it.

    Attributes:
        user: id of the user.
        history: the inputs of `recommend` except `bias`, each [N].
        left_out: indices of items that must not be recommended, int32 [T].
        target: index of the target.
        best: indices of the SavedModel's top items, int32 [K].
    """

    user: bytes
    history: dict[str, np.ndarray]
    left_out: np.ndarray
    target: int
    best: np.ndarray


@dataclass(frozen=True)
class Check:
    """The results of a file on a split.

    Attributes:
        metrics: values by the Evaluator's names; targets outside the file's top K count as misses.
        agreement_at_10: mean share of the SavedModel's top 10 that is in the file's top 10 for the same timeline.
        examples: number of timelines.
        recall_name: name of the metric `recall_at_k` with the largest k up to 10 for which the file returns enough
            items.
        recall_error: standard error of `recall_loss`, over users.
        recall_loss: the SavedModel's recall minus the file's, paired by timeline.
    """

    metrics: dict[str, float]
    agreement_at_10: float
    examples: int
    recall_name: str
    recall_error: float = 0.0
    recall_loss: float = 0.0

    @property
    def recall(self) -> float:
        """Returns the value of the metric `recall_name`."""
        return self.metrics[self.recall_name]


def check_files(loaded: Any, recommenders: Sequence[Recommender], files: list[str], limit: int = 0) -> list[Check]:
    """Runs converted files on raw examples.

    Args:
        loaded: the SavedModel.
        recommenders: a client for each file.
        files: gzipped TFRecords of raw examples of one split.
        limit: maximum number of examples; 0 uses all.

    Returns:
        A check for each file.

    Raises:
        StepError: there are no examples.
    """
    examples = 0
    sums = [_CheckSums(recommender) for recommender in recommenders]
    for row in read_rows(loaded, files, limit):
        examples += 1
        for file_sums in sums:
            file_sums.add(row)
    if not examples:
        raise StepError(
            f"{', '.join(files) or 'a split'}: has no examples to check the file with; add data, or change the split"
        )
    return [file_sums.check() for file_sums in sums]


class _CheckSums:
    """Sums over examples for one file."""

    def __init__(self, recommender: Recommender):
        self._recommender = recommender
        self._cut = min(CUT, recommender.top_k)
        self._recall_cut = max(k for k in RECALL_AT if k <= self._cut)
        # The metrics of the file, its agreement with the SavedModel, and whether the SavedModel's top k has the target.
        self._sums = UserSums(len(NAMES) + 2)
        self._listed: set[int] = set()

    def add(self, row: Row) -> None:
        """Adds one example."""
        # The file leaves out the history itself; an app must exclude older items, and so does this check.
        older = np.setdiff1d(row.left_out, row.history[features.HISTORY])
        ids, _ = self._recommender.rank_indices(**row.history, **({"exclude": older} if len(older) else {}))
        best = row.best[: self._cut]
        agreement = _overlap(best[best >= features.FIRST_INDEX], ids[: self._cut])
        ranks = np.flatnonzero(ids == row.target)
        metrics = values_of(ranks[0] if len(ranks) else MISS)
        self._sums.add(row.user, np.array([*metrics, agreement, row.target in row.best[: self._recall_cut]]))
        self._listed.update(ids[: self._cut].tolist())

    def check(self) -> Check:
        """Returns the check over all added examples."""
        *values, agreement, _ = self._sums.means().tolist()
        metrics = dict(zip(NAMES, values, strict=True))
        metrics |= {f"coverage_at_{CUT}": len(self._listed) / len(self._recommender.items)}
        name = f"recall_at_{self._recall_cut}"
        change, error = self._sums.difference(NAMES.index(name), len(NAMES) + 1)
        return Check(metrics, agreement, self._sums.targets, name, error, -change)


def require_agreement(check: Check, settings: PusherSettings, evaluation: dict[str, float] | None = None) -> None:
    """Checks that a file agrees with its SavedModel.

    Args:
        check: the check of the file.
        settings: the limits.
        evaluation: the Evaluator's metrics of the SavedModel, if there are any. They are used if all timelines were
            checked; otherwise the SavedModel's recall on the checked timelines is used.

    Raises:
        StepError: the agreement is too low, or the loss of recall too high.
    """
    advice = "nothing is pushed; choose another pusher.precision"
    if check.agreement_at_10 < settings.min_agreement:
        raise StepError(
            f"the file returns {check.agreement_at_10:.2%} of the SavedModel's top 10, less than "
            f"pusher.min_agreement {settings.min_agreement:.2%}; {advice}"
        )
    name, recall = check.recall_name, check.recall
    expected = recall + check.recall_loss
    if evaluation and round(evaluation["example_count"]) == check.examples:
        expected = evaluation[name]
    if recall + SURE * check.recall_error < expected * (1 - settings.max_recall_loss):
        raise StepError(
            f"the file has {name} {recall:.4f} and the SavedModel {expected:.4f}, a loss of more than "
            f"pusher.max_recall_loss {settings.max_recall_loss:.2%}; {advice}"
        )


def _overlap(expected: np.ndarray, answered: np.ndarray) -> float:
    """Returns the share of `expected` that is in `answered`; if `expected` is empty, whether `answered` is too."""
    if not len(expected):
        return float(not len(answered))
    return len(np.intersect1d(expected, answered)) / len(expected)


def read_rows(loaded: Any, files: list[str], limit: int = 0) -> Iterator[Row]:
    """Yields the examples of a split with the SavedModel's recommendations, computed in batches.

    Args:
        loaded: the SavedModel.
        files: gzipped TFRecords of raw examples.
        limit: maximum number of examples; 0 uses all.
    """
    inputs = set(loaded.signatures["recommend"].structured_input_signature[1]) - {"bias"}
    user_spec = {features.USER_ID: tf.io.FixedLenFeature([], tf.string)}
    records = tf.data.TFRecordDataset(sorted(files), compression_type="GZIP")
    if limit:
        records = records.take(limit)
    for batch in records.batch(BATCH):
        encoded = {name: value.numpy() for name, value in loaded.signatures["encode_examples"](examples=batch).items()}
        users = tf.io.parse_example(batch, user_spec)[features.USER_ID].numpy()
        best = loaded.signatures["serving_default"](examples=batch)["ids"].numpy()
        for index, (left_out, target) in enumerate(zip(encoded["left_out"], encoded["target"], strict=True)):
            history = {name: encoded[name][index] for name in inputs}
            yield Row(users[index], history, left_out[left_out != features.PADDING], int(target), best[index])
