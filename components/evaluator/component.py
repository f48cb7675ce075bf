"""Evaluator that leaves its metrics in ML Metadata too: TFX's own leaves them in files that TFMA alone reads."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components import Evaluator
from tfx.components.evaluator import executor as stock
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs

from components.evaluation import read_metrics

DIFFERENCE = "_diff"  # ends the names of TFMA's differences to the baseline's metrics


class Executor(stock.Executor):
    """Evaluates as the stock executor does, then records the metrics of the whole test split."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See the base class."""
        super().Do(input_dict, output_dict, exec_properties)
        record_metrics(artifact_utils.get_single_instance(output_dict[standard_component_specs.EVALUATION_KEY]))


def record_metrics(evaluation: types.Artifact) -> None:
    """Leave the metrics of the whole test split as custom properties (float) of their ModelEvaluation artifact."""
    for name, value in read_metrics(evaluation.uri)["overall"].items():
        if not name.endswith(DIFFERENCE):
            evaluation.set_float_custom_property(name, float(value))


class RecordingEvaluator(Evaluator):
    """Computes the metrics and blesses the model or not; the metrics are properties of the evaluation."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
