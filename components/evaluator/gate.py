"""Reads an evaluation: its metrics, and the gate's verdict in words."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow_model_analysis as tfma

from components.chance import SURE
from components.evaluation import ERROR, MARKOV, POPULARITY, read_metrics
from components.evaluator.metrics import AT_MOST, BASELINE, CHANGE, LIFT, RECALL, TARGETS


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
        value: of the metric; or where `is_change`, the difference to the baseline's.
        bound: the least that passes.
        is_change: whether the baseline is compared with.
        passed: whether it blocked nothing.
    """

    metric: str
    value: float
    bound: float
    is_change: bool
    passed: bool


def read_conditions(evaluation_uri: str) -> list[Condition]:
    """The parts of an evaluation's gate; without a baseline there is none that compares with it."""
    metrics = read_metrics(evaluation_uri)["overall"]
    failed = _failed(evaluation_uri)
    conditions = []
    for spec in tfma.load_eval_result(evaluation_uri).config.metrics_specs:
        for name, slices in sorted(spec.per_slice_thresholds.items()):
            for threshold in (of_slice.threshold for of_slice in slices.thresholds):
                if threshold.HasField("value_threshold") and name in metrics:
                    bound = threshold.value_threshold.lower_bound.value
                    conditions.append(Condition(name, metrics[name], bound, False, name not in failed))
                elif name == AT_MOST and CHANGE in metrics:
                    bound = -SURE * metrics[f"{CHANGE}{ERROR}"]
                    conditions.append(Condition(RECALL, metrics[CHANGE], bound, True, name not in failed))
    return conditions


def read_verdict(evaluation_uri: str) -> Verdict:
    """The verdict of an evaluation's gate."""
    result = tfma.load_validation_result(evaluation_uri)
    metrics = read_metrics(evaluation_uri)["overall"]
    if not metrics:
        return Verdict(False, ("the test split has no targets; give it more data, or another split",))
    if result.validation_ok:
        lists = f"the popularity list has {metrics[POPULARITY + RECALL]:.4f}, Markov {metrics[MARKOV + RECALL]:.4f}"
        return Verdict(True, (f"Recall@10 {metrics[RECALL]:.4f}, {lists}{_baseline(metrics)}",))
    bounds = {part.metric: part.bound for part in read_conditions(evaluation_uri) if not part.is_change}
    return Verdict(False, tuple(_describe(name, metrics, bounds) for name in sorted(_failed(evaluation_uri))))


def _failed(evaluation_uri: str) -> set[str]:
    """Names of the metrics that blocked."""
    result = tfma.load_validation_result(evaluation_uri)
    return {
        failure.metric_key.name for of_slice in result.metric_validations_per_slice for failure in of_slice.failures
    }


def _baseline(metrics: dict[str, float]) -> str:
    if CHANGE not in metrics:
        return ""
    change, error = metrics[CHANGE], metrics[f"{CHANGE}{ERROR}"]
    return f", the best of the last blessed models {metrics[BASELINE]:.4f} ({change:+.4f} ±{error:.4f})"


def _describe(name: str, metrics: dict[str, float], bounds: dict[str, float]) -> str:
    """Why a part of the gate blocked."""
    recall = f"Recall@10 {metrics[RECALL]:.4f}"
    if name == AT_MOST:
        error = metrics[f"{CHANGE}{ERROR}"]
        return (
            f"{recall} is below the {metrics[BASELINE]:.4f} of the best of the last blessed models beyond chance: by "
            f"{-metrics[CHANGE]:.4f}, with a standard error of {error:.4f}"
        )
    bound = bounds[name]
    if name == TARGETS:
        return (
            f"the test split has {metrics[TARGETS]:,.0f} targets, too few to judge a model by: gate.min_targets is "
            f"{bound:,.0f}; give it more data, or set gate.min_targets lower"
        )
    if name == RECALL:
        return f"{recall} is below the floor of {bound:.4f}"
    prefix = next(prefix for prefix, lift in LIFT.items() if lift == name)
    whose = {POPULARITY: "the popularity list's", MARKOV: "first-order Markov's"}[prefix]
    other = metrics[f"{prefix}{RECALL}"]
    return (
        f"{recall} is {metrics[name]:.2f} times {whose} {other:.4f}, below the {bound:.2f} times that the gate asks for"
    )
