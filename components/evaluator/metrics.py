"""Ranking metrics as a TFMA metric, computed from the rank of each target among the items unseen by its user."""

from __future__ import annotations

import math
from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from components import features
from components.chance import SURE, UserSums
from components.errors import StepError
from components.evaluation import ERROR, MARKOV, POPULARITY
from components.ranking_metrics import CUT, MISS, NAMES, values_of

RECALL = f"recall_at_{CUT}"
LIFT = {POPULARITY: f"{RECALL}_lift", MARKOV: f"{RECALL}_lift_over_markov"}
MAX_LIFT = 1e6  # the lift over a list without hits: large, but finite for JSON
TARGETS = "example_count"
UNREACHABLE = "unreachable"
BASELINE = f"baseline_{RECALL}"
CHANGE = f"{RECALL}_change"
# The gate compares the two values of this metric: the candidate's Recall@10 plus two standard errors of the change, and
# the baseline's Recall@10.
AT_MOST = f"{RECALL}_at_most"

# Outputs of the `rank` signature by the prefix of the metrics.
_SOURCES = {
    "": ("target_rank", "top_ids"),
    POPULARITY: ("popularity_rank", "popularity_top_ids"),
    MARKOV: ("markov_rank", "markov_top_ids"),
}
_COLUMNS = (*(f"{prefix}{name}" for prefix in _SOURCES for name in NAMES), UNREACHABLE, BASELINE)


class RankingMetrics(tfma.metrics.Metric):
    """All ranking metrics, computed in one pass over the outputs of the `rank` signature.

    Every example has one target, so Recall@K is the hit rate. Metrics without a prefix are the model's. The prefix
    `popularity_` stands for the list of items by their number of train events, and `markov_` for the list of items by
    how often they followed the last item in the train split. Each of the three has:

    - the means of `components.ranking_metrics.values_of`;
    - their standard errors over users, with the suffix `_standard_error`;
    - `coverage_at_10`: share of the catalogue that is in the top 10 of at least one example.

    Other metrics:

    - `example_count`: number of targets;
    - `unreachable`: share of targets that cannot be recommended, because the vocabulary lacks the item or the user has
      seen it;
    - `recall_at_10_lift` and `recall_at_10_lift_over_markov`: the model's Recall@10 as a multiple of each list's;
    - with a baseline model: `baseline_recall_at_10`; `recall_at_10_change`, the model's Recall@10 minus the baseline's
      on the same targets; and `recall_at_10_change_standard_error`, paired by target.
    """

    def __init__(self, name: str = "ranking"):
        super().__init__(_computations, name=name)


metric_types.register_metric(RankingMetrics)


def _computations(
    name: str = "ranking", model_names: list[str] | None = None, **unused: object
) -> list[metric_types.MetricComputation]:
    names = model_names or [""]
    baseline = tfma.BASELINE_KEY if tfma.BASELINE_KEY in names else ""
    (candidate,) = (model for model in names if not baseline or model != baseline)
    return [
        metric_types.MetricComputation(
            keys=[metric_types.MetricKey(f"_{name}", model_name=candidate)],
            preprocessors=[metric_types.FeaturePreprocessor([features.USER_ID])],
            combiner=RankingCombiner(candidate, baseline),
        )
    ]


class RankingSums:
    """Sums over examples for the model, the two lists and, if there is one, the baseline."""

    def __init__(self) -> None:
        self._users = UserSums(len(_COLUMNS))
        self._listed: dict[str, set[int]] = {prefix: set() for prefix in _SOURCES}
        self._num_items = 0
        self._has_baseline = False

    def add(self, user: bytes, outputs: dict[str, np.ndarray], baseline: dict[str, np.ndarray] | None = None) -> None:
        """Adds one example.

        Args:
            user: id of the user.
            outputs: outputs of the model's `rank` signature for the example.
            baseline: outputs of the baseline's `rank` signature for the example; None without a baseline.

        Raises:
            StepError: the outputs lack a list, because an older version saved the model.
        """
        self._num_items = int(np.ravel(outputs["num_items"])[0])
        values: list[float] = []
        for prefix, (rank_key, ids_key) in _SOURCES.items():
            if rank_key not in outputs:
                raise StepError(
                    f"the model has no {rank_key}: an older version saved it; run again from the Trainer on"
                )
            values += values_of(_rank(outputs, rank_key)).tolist()
            ids = np.ravel(outputs[ids_key])[:CUT]
            # With fewer items than the list is long, the rest of it is padding.
            self._listed[prefix].update(ids[ids >= features.FIRST_INDEX].tolist())
        self._has_baseline |= baseline is not None
        values.append(float(math.isinf(_rank(outputs, "target_rank"))))
        values.append(float(baseline is not None and _rank(baseline, "target_rank") < CUT))
        self._users.add(user, np.array(values))

    def merge(self, other: RankingSums) -> None:
        """Adds the sums of other examples."""
        self._users.merge(other._users)
        self._num_items = max(self._num_items, other._num_items)
        self._has_baseline |= other._has_baseline
        for prefix in _SOURCES:
            self._listed[prefix] |= other._listed[prefix]

    def metrics(self) -> dict[str, float]:
        """Returns the metrics by name."""
        means = dict(zip(_COLUMNS, self._users.means().tolist(), strict=True))
        errors = dict(zip(_COLUMNS, self._users.standard_errors().tolist(), strict=True))
        values = {TARGETS: float(self._users.targets), UNREACHABLE: means[UNREACHABLE]}
        for prefix in _SOURCES:
            for name in (f"{prefix}{name}" for name in NAMES):
                values |= {name: means[name], f"{name}{ERROR}": errors[name]}
            values[f"{prefix}coverage_at_{CUT}"] = len(self._listed[prefix]) / max(self._num_items, 1)
        recall = means[RECALL]
        for prefix, lift in LIFT.items():
            other = means[f"{prefix}{RECALL}"]
            values[lift] = recall / other if other else MAX_LIFT * (recall > 0)
        if self._has_baseline:
            change, error = self._users.difference(_COLUMNS.index(RECALL), _COLUMNS.index(BASELINE))
            values |= {BASELINE: means[BASELINE], CHANGE: change, f"{CHANGE}{ERROR}": error}
        return values


def _rank(outputs: dict[str, np.ndarray], key: str) -> float:
    """Returns the rank of the target, from 0; `MISS` if the target is unknown or seen."""
    rank = float(np.ravel(outputs[key])[0])
    return rank if rank < int(np.ravel(outputs["num_items"])[0]) else MISS


class RankingCombiner(beam.CombineFn):
    """Sums over the examples of a slice.

    Args:
        candidate: name of the model; empty if there is no baseline.
        baseline: name of the baseline; empty if there is none.
    """

    def __init__(self, candidate: str = "", baseline: str = ""):
        self._candidate = candidate
        self._baseline = baseline

    def create_accumulator(self) -> RankingSums:
        """Returns sums over no examples."""
        return RankingSums()

    def add_input(self, accumulator: RankingSums, element: metric_types.StandardMetricInputs) -> RankingSums:
        """Adds an example."""
        user = np.ravel(element.features[features.USER_ID])[0]
        outputs = element.predictions
        if self._candidate in outputs:
            accumulator.add(user, outputs[self._candidate], outputs.get(self._baseline))
        else:
            accumulator.add(user, outputs)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[RankingSums]) -> RankingSums:
        """Returns the total of several sums."""
        total = RankingSums()
        for accumulator in accumulators:
            total.merge(accumulator)
        return total

    def extract_output(self, accumulator: RankingSums) -> dict[metric_types.MetricKey, float]:
        """Returns the metrics by key."""
        values = accumulator.metrics()
        keys = {self._key(name, self._candidate): value for name, value in values.items()}
        if self._baseline:
            at_most = values[RECALL] + SURE * values[f"{CHANGE}{ERROR}"]
            keys[self._key(AT_MOST, self._candidate)] = at_most
            keys[self._key(AT_MOST, self._baseline)] = values[BASELINE]
        return keys

    @staticmethod
    def _key(name: str, model: str) -> metric_types.MetricKey:
        # TFMA finds the metric of a threshold only if `example_weighted` matches.
        return metric_types.MetricKey(name, model_name=model, example_weighted=None)
