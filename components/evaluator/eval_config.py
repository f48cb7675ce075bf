"""What the Evaluator computes, for which slices, and what blesses a model."""

from __future__ import annotations

from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2

from components import features
from components.evaluation import MARKOV, POPULARITY
from components.evaluator.metrics import AT_MOST, LIFT, RECALL, TARGETS
from components.evaluator.settings import GateSettings

SLICES = (features.HISTORY_BUCKET, features.POPULARITY_BUCKET)


def make_eval_config(settings: GateSettings) -> config_pb2.EvalConfig:
    """The evaluation and its gate.

    A model is blessed when the test split has enough targets, its Recall@10 there is above a floor and above that of
    the popularity list and of first-order Markov, each by a factor, and it is not below the baseline's beyond chance.
    TFX leaves the last part out where there is no baseline.
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
    """An evaluation, as the JSON that TFX hands on, with another floor of the gate."""
    config = json_format.Parse(eval_config, config_pb2.EvalConfig())
    for specs in config.metrics_specs:
        for of_slice in specs.per_slice_thresholds[RECALL].thresholds:
            of_slice.threshold.value_threshold.lower_bound.value = min_recall_at_10
    return json_format.MessageToJson(config)


def _at_least(bound: float) -> config_pb2.MetricThreshold:
    return config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": bound}))


def _overall(threshold: config_pb2.MetricThreshold) -> config_pb2.PerSliceMetricThresholds:
    """The threshold for the whole test split; slices are looked at by people."""
    return config_pb2.PerSliceMetricThresholds(
        thresholds=[config_pb2.PerSliceMetricThreshold(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)]
    )
