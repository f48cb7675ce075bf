"""The EvalConfig: the metrics of the Evaluator, the slices, and the thresholds that a blessed model must reach."""

from __future__ import annotations

from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2

from components import features
from components.evaluation import MARKOV, POPULARITY
from components.evaluator.metrics import AT_MOST, LIFT, RECALL, TARGETS
from components.evaluator.settings import GateSettings

SLICES = (features.HISTORY_BUCKET, features.POPULARITY_BUCKET)


def make_eval_config(settings: GateSettings) -> config_pb2.EvalConfig:
    """Returns the configuration of the evaluation and its gate.

    A model is blessed if the test split has enough targets, and the model's Recall@10 there is

    - at least a floor,
    - at least a multiple of the Recall@10 of the popularity list, and of first-order Markov, and
    - not significantly below the Recall@10 of the baseline, if there is one.
    """
    not_below = config_pb2.GenericChangeThreshold(
        direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute={"value": 0.0}
    )
    thresholds = {
        TARGETS: _at_least(settings.min_targets),
        RECALL: _at_least(settings.min_recall_at_10),
        LIFT[POPULARITY]: _at_least(settings.min_lift_over_popularity),
        LIFT[MARKOV]: _at_least(settings.min_lift_over_markov),
        AT_MOST: config_pb2.MetricThreshold(change_threshold=not_below),
    }
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(signature_name="rank", label_key=features.TARGET_ID)],
        slicing_specs=[config_pb2.SlicingSpec(), *(config_pb2.SlicingSpec(feature_keys=[key]) for key in SLICES)],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[config_pb2.MetricConfig(class_name="RankingMetrics", module="components.evaluator.metrics")],
                per_slice_thresholds={name: _overall(threshold) for name, threshold in thresholds.items()},
            )
        ],
    )


def with_floor(eval_config: str, min_recall_at_10: float) -> str:
    """Returns an EvalConfig, given as JSON, with another floor of Recall@10."""
    config = json_format.Parse(eval_config, config_pb2.EvalConfig())
    for specs in config.metrics_specs:
        for slice_threshold in specs.per_slice_thresholds[RECALL].thresholds:
            slice_threshold.threshold.value_threshold.lower_bound.value = min_recall_at_10
    return json_format.MessageToJson(config)


def _at_least(bound: float) -> config_pb2.MetricThreshold:
    return config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": bound}))


def _overall(threshold: config_pb2.MetricThreshold) -> config_pb2.PerSliceMetricThresholds:
    """Returns a threshold for the entire test split. Slices have no thresholds; they are for people to read."""
    return config_pb2.PerSliceMetricThresholds(
        thresholds=[config_pb2.PerSliceMetricThreshold(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)]
    )
