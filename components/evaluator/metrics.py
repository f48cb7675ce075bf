"""Ranking metrics as a TFMA metric: from where each user's target stands among the items not seen."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from components import features

RECALL_AT = (1, 5, 10, 50)
CUT = 10  # of NDCG, coverage and the lift over the popularity list
POPULARITY = "popularity_"
# Lift where the popularity list has no hit: large, and finite as JSON needs it.
ENDLESS_LIFT = 1e6

_SOURCES = {"": ("target_rank", "top_ids"), POPULARITY: ("popularity_rank", "popularity_top_ids")}


class RankingMetrics(tfma.metrics.Metric):
    """All ranking metrics, in one pass.

    It reads the outputs of the `rank` signature. Every example has one target, so that Recall@K is the hit rate. For
    the model, and with the prefix `popularity_` for the list of items by their number of train events:

    - `recall_at_1`, `_5`, `_10`, `_50`: share of targets among the best K.
    - `ndcg_at_10`: mean of 1 / log2(rank + 2) among the best 10 (Jarvelin and Kekalainen, TOIS 2002).
    - `mrr`: mean of 1 / (rank + 1).
    - `coverage_at_10`: share of the catalogue that is among anybody's best 10.

    And `recall_at_10_lift`, the model's Recall@10 over the popularity list's, `recall_at_10_standard_error` and
    `example_count`.
    """

    def __init__(self, name: str = "ranking"):
        super().__init__(_computations, name=name)


metric_types.register_metric(RankingMetrics)


def _computations(
    name: str = "ranking", model_names: list[str] | None = None, **unused: object
) -> list[metric_types.MetricComputation]:
    return [
        metric_types.MetricComputation(
            keys=[metric_types.MetricKey(f"_{name}", model_name=model)],
            preprocessors=[],
            combiner=RankingCombiner(model),
        )
        for model in model_names or [""]
    ]


@dataclass
class RankingSums:
    """Sums over examples, for the model ("") and the popularity list."""

    examples: int = 0
    hits: dict[str, np.ndarray] = field(default_factory=lambda: {name: np.zeros(len(RECALL_AT)) for name in _SOURCES})
    gains: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SOURCES, 0.0))
    reciprocals: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SOURCES, 0.0))
    listed: dict[str, set[int]] = field(default_factory=lambda: {name: set() for name in _SOURCES})
    num_items: int = 0

    def add(self, outputs: dict[str, np.ndarray]) -> None:
        """Add one example's outputs of the `rank` signature."""
        self.examples += 1
        self.num_items = int(np.ravel(outputs["num_items"])[0])
        for name, (rank_key, ids_key) in _SOURCES.items():
            rank = float(np.ravel(outputs[rank_key])[0])
            if rank < self.num_items:
                self.hits[name] += [rank < k for k in RECALL_AT]
                self.gains[name] += 1 / math.log2(rank + 2) if rank < CUT else 0.0
                self.reciprocals[name] += 1 / (rank + 1)
            ids = np.ravel(outputs[ids_key])[:CUT]
            # A catalogue of fewer items than the list has fills it with what is no item.
            self.listed[name].update(ids[ids >= features.FIRST_INDEX].tolist())

    def merge(self, other: RankingSums) -> None:
        """Add the sums of other examples."""
        self.examples += other.examples
        self.num_items = max(self.num_items, other.num_items)
        for name in _SOURCES:
            self.hits[name] = self.hits[name] + other.hits[name]
            self.gains[name] += other.gains[name]
            self.reciprocals[name] += other.reciprocals[name]
            self.listed[name] |= other.listed[name]

    def metrics(self) -> dict[str, float]:
        """The metrics by name."""
        count = max(self.examples, 1)
        values: dict[str, float] = {"example_count": float(self.examples)}
        for name in _SOURCES:
            for k, hits in zip(RECALL_AT, self.hits[name].tolist(), strict=True):
                values[f"{name}recall_at_{k}"] = hits / count
            values[f"{name}ndcg_at_{CUT}"] = self.gains[name] / count
            values[f"{name}mrr"] = self.reciprocals[name] / count
            values[f"{name}coverage_at_{CUT}"] = len(self.listed[name]) / max(self.num_items, 1)
        recall, popularity = values[f"recall_at_{CUT}"], values[f"{POPULARITY}recall_at_{CUT}"]
        values[f"recall_at_{CUT}_lift"] = recall / popularity if popularity else ENDLESS_LIFT * (recall > 0)
        values[f"recall_at_{CUT}_standard_error"] = math.sqrt(recall * (1 - recall) / count)
        return values


class RankingCombiner(beam.CombineFn):
    """Sums over the examples of a slice, for one model."""

    def __init__(self, model_name: str):
        self._model_name = model_name

    def create_accumulator(self) -> RankingSums:
        """No examples yet."""
        return RankingSums()

    def add_input(self, accumulator: RankingSums, element: metric_types.StandardMetricInputs) -> RankingSums:
        """Add an example."""
        outputs = element.prediction
        if self._model_name and self._model_name in outputs:
            outputs = outputs[self._model_name]
        accumulator.add(outputs)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[RankingSums]) -> RankingSums:
        """Add sums up."""
        total = RankingSums()
        for accumulator in accumulators:
            total.merge(accumulator)
        return total

    def extract_output(self, accumulator: RankingSums) -> dict[metric_types.MetricKey, float]:
        """The metrics by key; `example_weighted` is as in the keys of thresholds."""
        values = accumulator.metrics()
        if self._model_name:  # Named where two models are compared: TFMA fails any change from exactly zero, gains too.
            values[f"recall_at_{CUT}"] = max(values[f"recall_at_{CUT}"], sys.float_info.min)
        return {
            metric_types.MetricKey(name, model_name=self._model_name, example_weighted=None): value
            for name, value in values.items()
        }
