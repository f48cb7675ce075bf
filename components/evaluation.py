"""Reads the metrics of an evaluation."""

from __future__ import annotations

from typing import Any

import tensorflow_model_analysis as tfma

METRICS = ("recall_at_1", "recall_at_5", "recall_at_10", "recall_at_50", "ndcg_at_10", "mrr", "coverage_at_10")
POPULARITY = "popularity_"  # prefix of the popularity list's metrics
MARKOV = "markov_"  # prefix of the metrics of the first-order Markov chain, `components/trainer/baselines.py`
ERROR = "_standard_error"  # suffix of the standard error of a metric, over users


def read_metrics(evaluation_uri: str) -> dict[str, Any]:
    """Returns the metrics of an evaluation.

    Args:
        evaluation_uri: folder of a ModelEvaluation artifact.

    Returns:
        `overall`, a dict of metrics by name, and `slices`, a dict of such dicts by `feature:value`.
    """
    overall: dict[str, float] = {}
    slices: dict[str, dict[str, float]] = {}
    result = tfma.load_eval_result(evaluation_uri)
    for slice_key, metrics in result.slicing_metrics or []:
        values = {name: value["doubleValue"] for name, value in metrics[""][""].items() if "doubleValue" in value}
        if slice_key:
            ((feature, feature_value),) = slice_key
            slices[f"{feature}:{feature_value}"] = values
        else:
            overall = values
    return {"overall": overall, "slices": slices}
