"""Refit: what is pushed knows the newest interactions, which the evaluated model did not see."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel_utils, component_spec, standard_artifacts

from components.code_version import step_version
from components.refit.executor import Executor


class RefitSpec(component_spec.ComponentSpec):
    """Parameters, inputs and outputs of `Refit`."""

    PARAMETERS = {
        "checkpoints": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "candidate": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "teacher": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class Refit(base_component.BaseComponent):
    """Fits a blessed model anew on all interactions, with all items in its vocabulary.

    Args:
        candidate: the model that was evaluated; its settings and its number of epochs are taken.
        model_blessing: of the candidate.
        examples: transformed examples with the splits `all` and `catalog`.
        transform_graph: what Transform left with them.
        checkpoints: folder for what an interrupted fit leaves.
        teacher: the model that the candidate learned from; None where there is none.

    Outputs:
        model: the refitted model; without a SavedModel where the candidate is not blessed.
    """

    SPEC_CLASS = RefitSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        candidate: types.BaseChannel,
        model_blessing: types.BaseChannel,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        checkpoints: str,
        teacher: types.BaseChannel | None = None,
    ):
        super().__init__(
            spec=RefitSpec(
                candidate=candidate,
                model_blessing=model_blessing,
                examples=examples,
                transform_graph=transform_graph,
                teacher=teacher,
                checkpoints=checkpoints,
                code=step_version("refit"),
                model=channel_utils.as_channel([standard_artifacts.Model()]),
            )
        )
