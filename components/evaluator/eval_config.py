"""What the Evaluator computes, for which slices, and what blesses a model."""

from __future__ import annotations

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components import features
from components.evaluator.settings import GateSettings

SLICES = (features.HISTORY_BUCKET, features.POPULARITY_BUCKET)


def make_eval_config(settings: GateSettings) -> tfma.EvalConfig:
    """The evaluation and its three-part gate.

    A model is blessed when its Recall@10 on the test split is above a floor, above the popularity list's by a factor,
    and not much worse than the last blessed model's. TFX leaves the last part out where no model was blessed before.
    """
    recall = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound={"value": settings.min_recall_at_10}),
        change_threshold=tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.HIGHER_IS_BETTER, relative={"value": -settings.max_regression}
        ),
    )
    lift = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound={"value": settings.min_lift_over_popularity})
    )
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name="rank", label_key=features.TARGET_ID)],
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[key]) for key in SLICES)],
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[tfma.MetricConfig(class_name="RankingMetrics", module="components.evaluator.metrics")],
                per_slice_thresholds={"recall_at_10": _overall(recall), "recall_at_10_lift": _overall(lift)},
            )
        ],
    )


def _overall(threshold: tfma.MetricThreshold) -> config_pb2.PerSliceMetricThresholds:
    """The threshold for the whole test split; slices are looked at by people."""
    return config_pb2.PerSliceMetricThresholds(
        thresholds=[config_pb2.PerSliceMetricThreshold(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)]
    )
