"""Pusher: publishes a blessed model as a checked TFLite file."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel_utils, component_spec, standard_artifacts

from components.artifacts import ItemCatalog
from components.code_version import step_version
from components.pusher.executor import Executor


class TFLitePusherSpec(component_spec.ComponentSpec):
    """Parameters, inputs and outputs of `TFLitePusher`."""

    PARAMETERS = {
        "pipeline_name": component_spec.ExecutionParameter(type=str),
        "push_root": component_spec.ExecutionParameter(type=str),
        "settings": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
        "fail_unblessed": component_spec.ExecutionParameter(type=int),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "refitted_model": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "catalog": component_spec.ChannelParameter(type=ItemCatalog),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"pushed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel)}


class TFLitePusher(base_component.BaseComponent):
    """Converts a blessed model, checks the file on the test split, and publishes it.

    Args:
        model: a SavedModel of this pipeline's Trainer.
        model_blessing: the Evaluator's verdict; without a blessing nothing is pushed.
        evaluation: the Evaluator's metrics.
        catalog: the items.
        examples: raw examples, of which the test split is used.
        pipeline_name: names the folder among the serving models.
        push_root: the serving folder.
        settings: `PusherSettings` as JSON.
        code_version: of the project, for `model_info.json`.
        fail_unblessed: whether a model without a blessing is an error.

    Outputs:
        pushed_model: custom properties `pushed` (0 or 1), `pushed_destination`, `pushed_version` and `sha256`.
    """

    SPEC_CLASS = TFLitePusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        evaluation: types.BaseChannel,
        catalog: types.BaseChannel,
        examples: types.BaseChannel,
        pipeline_name: str,
        push_root: str,
        settings: str,
        code_version: str,
        fail_unblessed: bool = False,
        refitted_model: types.BaseChannel | None = None,
    ):
        super().__init__(
            spec=TFLitePusherSpec(
                model=model,
                refitted_model=refitted_model,
                model_blessing=model_blessing,
                evaluation=evaluation,
                catalog=catalog,
                examples=examples,
                pipeline_name=pipeline_name,
                push_root=push_root,
                settings=settings,
                code_version=code_version,
                fail_unblessed=int(fail_unblessed),
                code=step_version("pusher"),
                pushed_model=channel_utils.as_channel([standard_artifacts.PushedModel()]),
            )
        )
