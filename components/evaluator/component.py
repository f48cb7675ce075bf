"""TFX's Evaluator, which also records its metrics in ML Metadata and, on clusters, the blessed model in a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from tfx.components.evaluator import executor as stock
from tfx.components.evaluator.component import Evaluator
from tfx.components.util import model_utils
from tfx.dsl.components.base import executor_spec
from tfx.types import Artifact, artifact_utils
from tfx.types.standard_component_specs import (
    BASELINE_MODEL_KEY,
    BLESSING_KEY,
    EVAL_CONFIG_KEY,
    EVALUATION_KEY,
    EXAMPLES_KEY,
    MODEL_KEY,
)
from tfx.utils.typing_utils import ArtifactMultiDict

from components.addresses import address
from components.code_version import step_version
from components.evaluation import read_metrics
from components.evaluator.baseline import CHANGE
from components.evaluator.blessed import Blessed, holds_model
from components.evaluator.eval_config import with_floor
from components.evaluator.last_blessed import SOURCE, add_to_record
from components.evaluator.user_sample import sampled_users

RECORD = "blessed_record"
FLOOR = "min_recall_at_10"
MAX_USERS = "max_users"
DIFFERENCE = "_diff"  # suffix of TFMA's differences to the baseline's metrics


class Executor(stock.Executor):
    """Evaluates as the stock executor does, then records the metrics of the entire test split."""

    def Do(
        self, input_dict: ArtifactMultiDict, output_dict: ArtifactMultiDict, exec_properties: dict[str, Any]
    ) -> None:
        """See the base class. With a record, ignores a baseline without a SavedModel, and adds a blessed model."""
        if FLOOR in exec_properties:
            floored = with_floor(exec_properties[EVAL_CONFIG_KEY], exec_properties[FLOOR])
            exec_properties = {**exec_properties, EVAL_CONFIG_KEY: floored}
        record = exec_properties.get(RECORD)
        if record and not any(holds_model(baseline.uri) for baseline in input_dict[BASELINE_MODEL_KEY]):
            input_dict = {name: artifacts for name, artifacts in input_dict.items() if name != BASELINE_MODEL_KEY}
        evaluation = artifact_utils.get_single_instance(output_dict[EVALUATION_KEY])
        with contextlib.ExitStack() as stack:
            if count := exec_properties.get(MAX_USERS):
                examples = artifact_utils.get_single_instance(input_dict[EXAMPLES_KEY])
                sample = stack.enter_context(sampled_users(examples, count, os.path.join(evaluation.uri, "drawn")))
                input_dict = {**input_dict, EXAMPLES_KEY: [sample]}
            super().Do(input_dict, output_dict, exec_properties)
        metrics = record_metrics(evaluation)
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])
        if CHANGE in metrics:
            blessing.set_float_custom_property(CHANGE, metrics[CHANGE])
        if record and model_utils.is_model_blessed(blessing):
            baselines = input_dict.get(BASELINE_MODEL_KEY, [])
            baseline = baselines[0].get_string_custom_property(SOURCE) if baselines else ""
            uri = address(artifact_utils.get_single_uri(input_dict[MODEL_KEY]))
            add_to_record(record, Blessed(uri, baseline, metrics.get(CHANGE, 0.0)))


def record_metrics(evaluation: Artifact) -> dict[str, float]:
    """Returns the metrics of the entire test split; stores them as float custom properties of their artifact."""
    metrics = {name: float(value) for name, value in read_metrics(evaluation.uri)["overall"].items()}
    for name, value in metrics.items():
        if not name.endswith(DIFFERENCE):
            evaluation.set_float_custom_property(name, value)
    return metrics


class GatingEvaluator(Evaluator):
    """Ranks the entire catalogue for each example of the test split, and decides whether to bless the model.

    Args:
        parameters: all optional: `blessed_record`, the file that receives the URI of a blessed model;
            `min_recall_at_10`, which overrides the floor in `eval_config`; `max_users`, how many users to sample; and
            `settings`, the settings of the baseline as JSON, which are only recorded.
        arguments: arguments of TFX's Evaluator.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, *, parameters: Mapping[str, Any], **arguments: Any):
        super().__init__(**arguments)
        # The specification of the stock component has no such parameters.
        self.spec.exec_properties.update({**parameters, "code": step_version("evaluator")})
