"""Checks a converted file with the client that users get, on the test split, against the SavedModel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from components import features
from components.chance import SURE, UserSums
from components.pusher.errors import PushError
from components.pusher.settings import PusherSettings
from components.ranking_metrics import CUT, MISS, NAMES, RECALL_AT, values_of
from on_device.recommender import Recommender

BATCH = 128


@dataclass(frozen=True)
class Row:
    """An example of a split, and the SavedModel's answer to it.

    Attributes:
        user: id of the user.
        history: the inputs of `recommend` but `bias`, each [N].
        left_out: items that are not recommended, int32 [T].
        target: index of the target.
        best: indices of the SavedModel's best items, int32 [K].
    """

    user: bytes
    history: dict[str, np.ndarray]
    left_out: np.ndarray
    target: int
    best: np.ndarray


@dataclass(frozen=True)
class Check:
    """What a file does on a split.

    Attributes:
        metrics: by the names of the Evaluator's; targets beyond the file's best K count as misses.
        agreement_at_10: mean share of the SavedModel's best 10 that are among the file's best 10 for the same timeline.
        examples: number of timelines.
        recall_name: the Recall@K nearest to K = 10 that the file's list is long enough for.
        recall_error: standard error, over users, of the difference of that recall to the SavedModel's, paired by
            timeline.
        recall_loss: that difference: the SavedModel's recall for the same histories less the file's.
    """

    metrics: dict[str, float]
    agreement_at_10: float
    examples: int
    recall_name: str
    recall_error: float = 0.0
    recall_loss: float = 0.0

    @property
    def recall(self) -> float:
        """The Recall@K that `recall_name` names."""
        return self.metrics[self.recall_name]


def check_files(loaded: Any, recommenders: Sequence[Recommender], files: list[str], limit: int = 0) -> list[Check]:
    """Run converted files on raw examples.

    Args:
        loaded: the SavedModel.
        recommenders: clients, each with a file.
        files: gzipped TFRecords of raw examples of one split.
        limit: how many examples; 0 takes all.

    Returns:
        A check of each file.

    Raises:
        PushError: there are no examples.
    """
    examples = 0
    tallies = [_Tally(recommender) for recommender in recommenders]
    for row in read_rows(loaded, files, limit):
        examples += 1
        for tally in tallies:
            tally.add(row)
    if not examples:
        raise PushError(f"{', '.join(files) or 'a split'}: no examples, so that the file cannot be checked")
    return [tally.check() for tally in tallies]


class _Tally:
    """Counts what one file does."""

    def __init__(self, recommender: Recommender):
        self._recommender = recommender
        self._cut = min(CUT, recommender.top_k)
        self._sums = np.zeros(len(NAMES))
        self._agreement = 0.0
        self._hits_of_both = UserSums(2)  # the file's, the SavedModel's
        self._listed: set[int] = set()
        self._examples = 0

    def add(self, row: Row) -> None:
        """Adds one example."""
        self._examples += 1
        # The file leaves out its history by itself: what is older must be excluded, as an app does it.
        older = np.setdiff1d(row.left_out, row.history[features.HISTORY])
        ids, _ = self._recommender.rank_indices(**row.history, **({"exclude": older} if len(older) else {}))
        best = row.best[: self._cut]
        self._agreement += _overlap(best[best >= features.FIRST_INDEX], ids[: self._cut])
        longest = _longest(self._cut)
        hits = [row.target in ranked[:longest] for ranked in (ids, row.best)]
        self._hits_of_both.add(row.user, np.array(hits, np.float64))
        self._listed.update(ids[: self._cut].tolist())
        places = np.flatnonzero(ids == row.target)
        self._sums += values_of(places[0] if len(places) else MISS)

    def check(self) -> Check:
        """All of it."""
        metrics = dict(zip(NAMES, (self._sums / self._examples).tolist(), strict=True))
        metrics |= {f"coverage_at_{CUT}": len(self._listed) / len(self._recommender.items)}
        name = f"recall_at_{_longest(self._cut)}"
        change, error = self._hits_of_both.difference(0, 1)
        return Check(metrics, self._agreement / self._examples, self._examples, name, error, -change)


def complain(check: Check, settings: PusherSettings, evaluation: dict[str, float] | None = None) -> None:
    """Refuses a file that does not do what its SavedModel does.

    Args:
        check: of the file.
        settings: what is asked for.
        evaluation: the Evaluator's metrics of the SavedModel, where there are any. They count where all timelines were
            checked; otherwise the SavedModel's answers to those that were.

    Raises:
        PushError: too little agreement, or too much loss.
    """
    advice = "nothing is pushed; choose another pusher.precision"
    if check.agreement_at_10 < settings.min_agreement:
        raise PushError(
            f"the file returns {check.agreement_at_10:.2%} of the SavedModel's top 10, less than "
            f"pusher.min_agreement {settings.min_agreement:.2%}; {advice}"
        )
    name, recall = check.recall_name, check.recall
    expected = recall + check.recall_loss
    if evaluation and round(evaluation["example_count"]) == check.examples:
        expected = evaluation[name]
    if recall + SURE * check.recall_error < expected * (1 - settings.max_recall_loss):
        raise PushError(
            f"the file has {name} {recall:.4f} and the SavedModel {expected:.4f}, a loss of more than "
            f"pusher.max_recall_loss {settings.max_recall_loss:.2%}; {advice}"
        )


def _longest(cut: int) -> int:
    return max(k for k in RECALL_AT if k <= cut)


def _overlap(expected: np.ndarray, answered: np.ndarray) -> float:
    """Share of `expected` that is in `answered`; of nothing expected, whether nothing is answered."""
    if not len(expected):
        return float(not len(answered))
    return len(np.intersect1d(expected, answered)) / len(expected)


def read_rows(loaded: Any, files: list[str], limit: int = 0) -> Iterator[Row]:
    """Yields the examples of a split with the SavedModel's answers, which it gives to many at a time.

    Args:
        loaded: the SavedModel.
        files: gzipped TFRecords of raw examples.
        limit: how many examples; 0 takes all.
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
        for at, (left_out, target) in enumerate(zip(encoded["left_out"], encoded["target"], strict=True)):
            history = {name: encoded[name][at] for name in inputs}
            yield Row(users[at], history, left_out[left_out != features.PADDING], int(target), best[at])
