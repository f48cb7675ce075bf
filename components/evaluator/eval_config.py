"""What the Evaluator computes, for which slices, and what blesses a model."""

from __future__ import annotations

from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2

from components import features
from components.evaluator.settings import GateSettings

SLICES = (features.HISTORY_BUCKET, features.POPULARITY_BUCKET)


def make_eval_config(settings: GateSettings) -> config_pb2.EvalConfig:
    """The evaluation and its three-part gate.

    A model is blessed when its Recall@10 on the test split is above a floor, above the popularity list's by a factor,
    and not much worse than the last blessed model's. TFX leaves the last part out where no model was blessed before.
    """
    recall = config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": settings.min_recall_at_10}),
        change_threshold=config_pb2.GenericChangeThreshold(
            direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, relative={"value": -settings.max_regression}
        ),
    )
    lift = config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": settings.min_lift_over_popularity})
    )
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(signature_name="rank", label_key=features.TARGET_ID)],
        slicing_specs=[config_pb2.SlicingSpec(), *(config_pb2.SlicingSpec(feature_keys=[key]) for key in SLICES)],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[config_pb2.MetricConfig(class_name="RankingMetrics", module="components.evaluator.metrics")],
                per_slice_thresholds={"recall_at_10": _overall(recall), "recall_at_10_lift": _overall(lift)},
            )
        ],
    )


def with_floor(eval_config: str, min_recall_at_10: float) -> str:
    """An evaluation, as the JSON that TFX hands on, with another floor of the gate."""
    config = json_format.Parse(eval_config, config_pb2.EvalConfig())
    for specs in config.metrics_specs:
        for of_slice in specs.per_slice_thresholds["recall_at_10"].thresholds:
            of_slice.threshold.value_threshold.lower_bound.value = min_recall_at_10
    return json_format.MessageToJson(config)


def _overall(threshold: config_pb2.MetricThreshold) -> config_pb2.PerSliceMetricThresholds:
    """The threshold for the whole test split; slices are looked at by people."""
    return config_pb2.PerSliceMetricThresholds(
        thresholds=[config_pb2.PerSliceMetricThreshold(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)]
    )
