"""Pusher: publishes a blessed model as a checked TFLite file."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import ItemCatalog
from components.component import StepComponent
from components.pusher.executor import Executor


class TFLitePusherSpec(ComponentSpec):
    """Parameters, inputs and outputs of `TFLitePusher`."""

    PARAMETERS = {
        "pipeline_name": ExecutionParameter(type=str),
        "push_root": ExecutionParameter(type=str),
        "settings": ExecutionParameter(type=str),
        "code_version": ExecutionParameter(type=str),
        "fail_unblessed": ExecutionParameter(type=int),
        "code": ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "refitted_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "model_blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "catalog": ChannelParameter(type=ItemCatalog),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"pushed_model": ChannelParameter(type=standard_artifacts.PushedModel)}


class TFLitePusher(StepComponent):
    """Converts a blessed model, checks the file on the test split, and publishes it.

    Args:
        model: a SavedModel of this pipeline's Trainer.
        refitted_model: the model to publish instead, fitted on all interactions; None if there is none.
        model_blessing: the Evaluator's blessing of `model`; without it nothing is pushed.
        evaluation: the Evaluator's metrics.
        catalog: the items.
        examples: raw examples with the eval and test splits.
        pipeline_name: name of the folder below `push_root`.
        push_root: the serving folder.
        settings: `PusherSettings`.
        code_version: version of the project, for `model_info.json`.
        fail_unblessed: whether a model without a blessing is an error.

    Outputs:
        pushed_model: custom properties `pushed` (0 or 1), `pushed_destination`, `pushed_version` and `sha256`.
    """

    SPEC_CLASS = TFLitePusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    STEP = "pusher"
