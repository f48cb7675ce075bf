"""Computes the metrics of a run that a cluster shows, and renders the report that a local run also writes."""

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
from report.page import render
from report.run_facts import RunFacts, recommendations

QUALITY = ("recall_at_10", "ndcg_at_10", "mrr", "coverage_at_10", "recall_at_10_lift", "recall_at_10_lift_over_markov")
FILE_METRICS = ("size_bytes", "latency_us", "agreement_at_10")


def metrics_of_evaluation(evaluation: str, blessed: bool) -> dict[str, float]:
    """Returns the metrics of an evaluation by name, and `blessed`, 1 or 0; `evaluation` is its folder."""
    metrics = read_metrics(evaluation)["overall"]
    names = (*QUALITY, f"{QUALITY[0]}{ERROR}")
    return {**{name: metrics[name] for name in names if name in metrics}, "blessed": float(blessed)}


def report_of_push(name: str, inputs: Mapping[str, str], pushed: Mapping[str, Any]) -> tuple[dict[str, float], str]:
    """Returns the metrics of a pushed file, and the report of its run as HTML.

    Args:
        name: of the pipeline.
        inputs: folders of the Pusher's inputs `model`, `evaluation`, `catalog` and `examples`.
        pushed: the properties `pushed` and `pushed_destination` of the Pusher's output.
    """
    outputs = {
        steps.EXAMPLE_GEN: {"catalog": Artifact(uri=inputs["catalog"])},
        steps.TRAINER: {"model": Artifact(uri=inputs["model"])},
        steps.EVALUATOR: {"evaluation": Artifact(uri=inputs["evaluation"])},
        steps.PUSHER: {"pushed_model": _pushed_model(pushed)},
    }
    results = [
        StepResult(step, False, 0.0, {name: [artifact] for name, artifact in artifacts.items()})
        for step, artifacts in outputs.items()
    ]
    summary = summarise(results, 0.0)
    examples, errors = recommendations(summary, inputs["examples"])
    artifact = summary.get("artifact", {})
    metrics = {key: float(artifact[key]) for key in FILE_METRICS if key in artifact}
    return metrics, render(RunFacts(summary, {"name": name}, examples=examples, errors=errors), Path(os.curdir))


def _pushed_model(properties: Mapping[str, Any]) -> Artifact:
    artifact = Artifact()
    artifact.custom_properties["pushed"].int_value = int(properties.get("pushed", 0))
    artifact.custom_properties["pushed_destination"].string_value = properties.get("pushed_destination", "")
    return artifact
