"""Reads the gate's conditions and its verdict from an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow_model_analysis as tfma

from components.chance import SURE
from components.evaluation import ERROR, MARKOV, POPULARITY, read_metrics
from components.evaluator.metrics import AT_MOST, BASELINE, CHANGE, LIFT, RECALL, TARGETS


@dataclass(frozen=True)
class Verdict:
    """The decision whether a model is good enough.

    Attributes:
        blessed: whether the model passed every condition of the gate.
        reasons: if blessed, one line with the metrics; otherwise one line for each condition that failed.
    """

    blessed: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """One condition of the gate, as it was applied.

    Attributes:
        metric: name of the metric.
        value: value of the metric; if `is_change`, this value minus the baseline's.
        bound: the lowest value that passes.
        is_change: whether the condition compares with the baseline.
        passed: whether the model passed it.
    """

    metric: str
    value: float
    bound: float
    is_change: bool
    passed: bool


def read_conditions(evaluation_uri: str) -> list[Condition]:
    """Returns the conditions of an evaluation's gate; without a baseline there is no condition about it."""
    metrics = read_metrics(evaluation_uri)["overall"]
    failed = _failed(evaluation_uri)
    conditions = []
    for spec in tfma.load_eval_result(evaluation_uri).config.metrics_specs:
        for name, slices in sorted(spec.per_slice_thresholds.items()):
            for threshold in (slice_threshold.threshold for slice_threshold in slices.thresholds):
                if threshold.HasField("value_threshold") and name in metrics:
                    bound = threshold.value_threshold.lower_bound.value
                    conditions.append(Condition(name, metrics[name], bound, False, name not in failed))
                elif name == AT_MOST and CHANGE in metrics:
                    bound = -SURE * metrics[f"{CHANGE}{ERROR}"]
                    conditions.append(Condition(RECALL, metrics[CHANGE], bound, True, name not in failed))
    return conditions


def read_verdict(evaluation_uri: str) -> Verdict:
    """Returns the verdict of an evaluation's gate."""
    result = tfma.load_validation_result(evaluation_uri)
    metrics = read_metrics(evaluation_uri)["overall"]
    if not metrics:
        return Verdict(False, ("the test split has no targets; add data, or choose another split",))
    if result.validation_ok:
        lists = f"the popularity list has {metrics[POPULARITY + RECALL]:.4f}, Markov {metrics[MARKOV + RECALL]:.4f}"
        return Verdict(True, (f"Recall@10 {metrics[RECALL]:.4f}, {lists}{_baseline(metrics)}",))
    conditions = read_conditions(evaluation_uri)
    bounds = {condition.metric: condition.bound for condition in conditions if not condition.is_change}
    return Verdict(False, tuple(_describe(name, metrics, bounds) for name in sorted(_failed(evaluation_uri))))


def _failed(evaluation_uri: str) -> set[str]:
    """Returns the names of the metrics whose conditions failed."""
    result = tfma.load_validation_result(evaluation_uri)
    return {
        failure.metric_key.name for validation in result.metric_validations_per_slice for failure in validation.failures
    }


def _baseline(metrics: dict[str, float]) -> str:
    if CHANGE not in metrics:
        return ""
    change, error = metrics[CHANGE], metrics[f"{CHANGE}{ERROR}"]
    return f", the best of the last blessed models {metrics[BASELINE]:.4f} ({change:+.4f} ±{error:.4f})"


def _describe(name: str, metrics: dict[str, float], bounds: dict[str, float]) -> str:
    """Returns why a condition failed."""
    recall = f"Recall@10 {metrics[RECALL]:.4f}"
    if name == AT_MOST:
        error = metrics[f"{CHANGE}{ERROR}"]
        return (
            f"{recall} is significantly below the {metrics[BASELINE]:.4f} of the best of the last blessed models: by "
            f"{-metrics[CHANGE]:.4f}, with a standard error of {error:.4f}"
        )
    bound = bounds[name]
    if name == TARGETS:
        return (
            f"the test split has {metrics[TARGETS]:,.0f} targets, fewer than gate.min_targets {bound:,.0f}; add data, "
            "or lower gate.min_targets"
        )
    if name == RECALL:
        return f"{recall} is below the floor of {bound:.4f}"
    prefix = next(prefix for prefix, lift in LIFT.items() if lift == name)
    owner = {POPULARITY: "the popularity list's", MARKOV: "first-order Markov's"}[prefix]
    other = metrics[f"{prefix}{RECALL}"]
    return (
        f"{recall} is {metrics[name]:.2f} times {owner} {other:.4f}, below the {bound:.2f} times that the gate requires"
    )
