"""Collects the results of a run's steps into a summary, which the console, the report and JSON show."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from tfx.dsl.io import fileio
from tfx.utils import path_utils

from components.evaluation import ERROR, MARKOV, METRICS, POPULARITY, read_metrics
from components.evaluator.gate import read_conditions, read_verdict
from components.example_validator.results import read_drift
from components.pusher.rollback import open_store
from components.tuner.results import read_results
from on_device.artifact import INFO
from pipeline import steps
from pipeline.console import duration
from pipeline.local_execution import Interrupted, StepFailed, StepResult

RANKERS = {"model": "", "popularity": POPULARITY, "markov": MARKOV}  # prefixes of their metrics
PUSHED, NOT_BLESSED, STOPPED_EARLY = "pushed", "not blessed", "stopped before the push"
FAILED, INTERRUPTED = "failed", "interrupted"
# Keys of `model_facts.json` that the summary includes.
MODEL_FACTS = ("encoder", "parameters", "recommends_seen", "history", "best_epoch", "out_of_time", "device")


def summarise(
    results: list[StepResult], seconds: float, stopped: StepFailed | Interrupted | None = None
) -> dict[str, Any]:
    """Collects the results of the steps of a run.

    Args:
        results: results of the steps that ran.
        seconds: wall time of the run.
        stopped: the error or interruption that ended the run within a step, if any.

    Returns:
        `outcome` (PUSHED, NOT_BLESSED, STOPPED_EARLY, FAILED or INTERRUPTED), `seconds` and `steps`; the failed or
        interrupted `step`, and the `error` of a failed one. The steps that ran add `data`; `drift` (see `read_drift`);
        `tuner` (see `read_results`); `training` and, for the teacher, `teaching` (`history` by epoch, `best_epoch`,
        ...); `metrics` (`model`, `popularity` and `markov`, their `standard_errors`, `unreachable`, the share of
        targets that cannot be returned, and `slices` by `feature:value`); `gate`; `artifact`; `served`, the version
        that `latest` names.
    """
    outputs = {result.name: result.outputs for result in results}
    summary: dict[str, Any] = {
        "outcome": STOPPED_EARLY,
        "seconds": round(seconds, 1),
        "steps": {result.name: {"cached": result.cached, "seconds": round(result.seconds, 1)} for result in results},
    }
    if catalog := _uri(outputs, steps.EXAMPLE_GEN, "catalog"):
        summary["data"] = _read_json(catalog, "dataset.json")
    if anomalies := _uri(outputs, steps.EXAMPLE_VALIDATOR, "anomalies"):
        summary["drift"] = read_drift(anomalies)
    if hyperparameters := _uri(outputs, steps.TUNER, "best_hyperparameters"):
        summary["tuner"] = read_results(hyperparameters, _uri(outputs, steps.TUNER, "tuner_results"))
    for key, step in {"teaching": steps.TEACHER, "training": steps.TRAINER}.items():
        if model := _uri(outputs, step, "model"):
            facts = _read_json(path_utils.serving_model_path(model), "model_facts.json")
            summary[key] = {name: facts[name] for name in MODEL_FACTS if name in facts}
    if evaluation := _uri(outputs, steps.EVALUATOR, "evaluation"):
        summary["metrics"] = _metrics(evaluation)
        verdict = read_verdict(evaluation)
        summary["gate"] = {
            "blessed": verdict.blessed,
            "reasons": list(verdict.reasons),
            "conditions": [dataclasses.asdict(condition) for condition in read_conditions(evaluation)],
        }
        if not verdict.blessed:
            summary["outcome"] = NOT_BLESSED
    if pushed := outputs.get(steps.PUSHER, {}).get("pushed_model"):
        properties = pushed[0].custom_properties
        if properties["pushed"].int_value:
            folder, version = os.path.split(properties["pushed_destination"].string_value)
            store = open_store(*os.path.split(folder), create=False)
            summary["outcome"] = PUSHED
            summary["artifact"] = {"path": f"{folder}/{version}", **json.loads(store.read(version, INFO))}
            summary["served"] = store.latest()
    if isinstance(stopped, StepFailed):
        summary |= {"outcome": FAILED, "step": stopped.step, "error": stopped.message}
    elif stopped:
        summary |= {"outcome": INTERRUPTED, "step": stopped.step}
    return summary


def _metrics(evaluation: str) -> dict[str, Any]:
    content = read_metrics(evaluation)
    overall = content["overall"]
    standard_errors = {
        ranker: {name: overall[f"{prefix}{name}{ERROR}"] for name in METRICS if f"{prefix}{name}{ERROR}" in overall}
        for ranker, prefix in RANKERS.items()
    }
    return {
        **{ranker: {name: overall[f"{prefix}{name}"] for name in METRICS} for ranker, prefix in RANKERS.items()},
        "standard_errors": standard_errors,
        "examples": int(overall["example_count"]),
        "unreachable": overall.get("unreachable"),
        "slices": content["slices"],
    }


def _uri(outputs: dict[str, Any], step: str, name: str) -> str:
    """Returns the URI of an output, on any file system that TFX supports; empty if there is none."""
    artifacts = outputs.get(step, {}).get(name)
    return artifacts[0].uri if artifacts else ""


def _read_json(folder: str, name: str) -> Any:
    with fileio.open(os.path.join(folder, name)) as stream:
        return json.loads(stream.read())


def left_out_of(data: dict[str, Any]) -> list[str]:
    """Returns the counts of interactions, users and rows that were left out, each in words."""
    counts = {
        "duplicates dropped": data["duplicates"],
        "repeats dropped": data.get("dropped_repeats", 0),
        "interactions of other kinds left out": data.get("other_events", 0),
        "bad rows skipped": len(data["bad_rows"]),
        "users with too few interactions left out": data["short_users"],
        "items without a title": data["unknown_items"],
    }
    return [f"{count:,} {words}" for words, count in counts.items() if count]


def repeated(summary: dict[str, Any]) -> str:
    """Returns the share of targets that repeat an item of the user, after a comma; empty if there are none."""
    count = summary.get("data", {}).get("repeated_targets", 0)
    return f", {count / summary['metrics']['examples']:.1%} of them repeats" if count else ""


def unreachable(summary: dict[str, Any]) -> str:
    """Returns how many targets cannot be returned, and why, after a semicolon; empty if there are none."""
    metrics, data = summary["metrics"], summary.get("data", {})
    count = round((metrics.get("unreachable") or 0) * metrics["examples"])
    if not count:
        return ""
    recommends_seen = summary.get("training", {}).get("recommends_seen")
    repeats = 0 if recommends_seen else min(data.get("repeated_targets", 0), count)
    reasons = {"repeat an item of their history": repeats, "are of items that training did not see": count - repeats}
    words = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items() if number)
    return f"; {count:,} of them ({count / metrics['examples']:.1%}) are out of reach: {words}"


def refit_in_words(artifact: dict[str, Any]) -> str:
    """Returns what the refit added to the pushed model, and which model the metrics describe."""
    refit = artifact["refit"]
    items = artifact["num_items"] - refit["evaluated_num_items"]
    return (
        f"after the gate, the model was fitted on all {refit['trained_on']:,} interactions, "
        f"{refit['trained_on'] - refit['evaluated_trained_on']:,} more than before, and knows {items:,} more items; "
        f"{duration(refit['seconds'])}. The metrics are of the model before the refit"
    )
