"""Reads an evaluation: its metrics, and the gate's verdict in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow_model_analysis as tfma

from components.evaluation import POPULARITY, read_metrics

NAMES = {"recall_at_10": "Recall@10", "recall_at_10_lift": "Recall@10 as a multiple of the popularity list's"}


@dataclass(frozen=True)
class Verdict:
    """Whether a model is good enough.

    Attributes:
        blessed: whether it passed every part of the gate.
        reasons: why, or why not, one line a part.
    """

    blessed: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """One part of the gate, as it was applied.

    Attributes:
        metric: its name.
        value: of the metric; or where `is_change`, the difference to the last blessed model's, as a share of that.
        bound: the least that passes.
        is_change: whether the last blessed model is compared with.
        passed: whether it blocked nothing.
    """

    metric: str
    value: float
    bound: float
    is_change: bool
    passed: bool


def read_conditions(evaluation_uri: str) -> list[Condition]:
    """The parts of an evaluation's gate; without a blessed model before there is none that compares with it."""
    result = tfma.load_validation_result(evaluation_uri)
    failed = {
        (failure.metric_key.name, failure.metric_key.is_diff)
        for of_slice in result.metric_validations_per_slice
        for failure in of_slice.failures
    }
    metrics = read_metrics(evaluation_uri)["overall"]
    conditions = []
    for spec in tfma.load_eval_result(evaluation_uri).config.metrics_specs:
        for name, slices in sorted(spec.per_slice_thresholds.items()):
            for threshold in (of_slice.threshold for of_slice in slices.thresholds):
                passed = (name, False) not in failed
                if threshold.HasField("value_threshold"):
                    bound = threshold.value_threshold.lower_bound.value
                    conditions.append(Condition(name, metrics[name], bound, False, passed))
                if threshold.HasField("change_threshold") and f"{name}_diff" in metrics:
                    bound, change = threshold.change_threshold.relative.value, _change(metrics, name)
                    conditions.append(Condition(name, change, bound, True, (name, True) not in failed))
    return conditions


def read_verdict(evaluation_uri: str) -> Verdict:
    """The verdict of an evaluation's gate."""
    result = tfma.load_validation_result(evaluation_uri)
    metrics = read_metrics(evaluation_uri)["overall"]
    reasons = [
        _describe(failure, metrics) for of_slice in result.metric_validations_per_slice for failure in of_slice.failures
    ]
    if result.missing_slices or result.missing_cross_slices:
        reasons.append("a part of the test split that the gate looks at is empty")
    if result.validation_ok:
        popularity = metrics[f"{POPULARITY}recall_at_10"]
        reasons = [f"Recall@10 {metrics['recall_at_10']:.4f}, the popularity list has {popularity:.4f}"]
    return Verdict(result.validation_ok, tuple(reasons))


def _describe(failure: Any, metrics: dict[str, float]) -> str:
    name = failure.metric_key.name
    title = NAMES.get(name, name)
    threshold = failure.metric_threshold
    if failure.metric_key.is_diff:
        lost = -threshold.change_threshold.relative.value
        difference = failure.metric_value.double_value.value
        now = metrics[name]
        return f"{title} {now:.4f} is below the last blessed model's {now - difference:.4f} by more than {lost:.1%}"
    value, bound = metrics[name], threshold.value_threshold.lower_bound.value
    return f"{title} {value:.4f} is below the floor of {bound:.4f}"


def _change(metrics: dict[str, float], name: str) -> float:
    """The difference to the last blessed model's metric, as a share of that."""
    difference = metrics[f"{name}_diff"]
    return difference / (metrics[name] - difference)
