"""What a cluster's pages show of a run: its metrics, and the report that a local run has too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_metadata.proto.metadata_store_pb2 import Artifact

from components.evaluation import ERROR, read_metrics
from pipeline import steps
from pipeline.local_execution import StepResult
from pipeline.summary import summarise
from report.known import Known, recommendations
from report.page import render

QUALITY = ("recall_at_10", "ndcg_at_10", "mrr", "coverage_at_10", "recall_at_10_lift", "recall_at_10_lift_over_markov")
OF_FILE = ("size_bytes", "latency_us", "agreement_at_10")


def metrics_of_evaluation(evaluation: str, blessed: bool) -> dict[str, float]:
    """Returns the metrics of an Evaluator by name, and `blessed`, 1 or 0."""
    found = read_metrics(evaluation)["overall"]
    names = (*QUALITY, f"{QUALITY[0]}{ERROR}")
    return {**{name: found[name] for name in names if name in found}, "blessed": float(blessed)}


def report_of_push(name: str, inputs: Mapping[str, str], pushed: Mapping[str, Any]) -> tuple[dict[str, float], str]:
    """Returns the metrics of a pushed file, and the report of its run as HTML.

    Args:
        name: of the pipeline.
        inputs: where the Pusher's inputs are: `model`, `evaluation`, `catalog` and `examples`.
        pushed: properties of the Pusher's output: `pushed`, `pushed_destination`.
    """
    outputs = {
        steps.EXAMPLE_GEN: {"catalog": Artifact(uri=inputs["catalog"])},
        steps.TRAINER: {"model": Artifact(uri=inputs["model"])},
        steps.EVALUATOR: {"evaluation": Artifact(uri=inputs["evaluation"])},
        steps.PUSHER: {"pushed_model": _pushed_model(pushed)},
    }
    results = [
        StepResult(step, False, 0.0, {name: [artifact] for name, artifact in made.items()})
        for step, made in outputs.items()
    ]
    summary = summarise(results, 0.0)
    answers, missing = recommendations(summary, inputs["examples"])
    artifact = summary.get("artifact", {})
    metrics = {key: float(artifact[key]) for key in OF_FILE if key in artifact}
    return metrics, render(Known(summary, {"name": name}, examples=answers, missing=missing), Path(os.curdir))


def _pushed_model(properties: Mapping[str, Any]) -> Artifact:
    artifact = Artifact()
    artifact.custom_properties["pushed"].int_value = int(properties.get("pushed", 0))
    artifact.custom_properties["pushed_destination"].string_value = properties.get("pushed_destination", "")
    return artifact
