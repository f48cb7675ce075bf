"""Refit: trains the model to push on all interactions, including those that were held out from the evaluated model."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.component import StepComponent
from components.refit.executor import Executor


class RefitSpec(ComponentSpec):
    """Parameters, inputs and outputs of `Refit`."""

    PARAMETERS = {
        "checkpoints": ExecutionParameter(type=str),
        "code": ExecutionParameter(type=str),
    }
    INPUTS = {
        "candidate": ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph),
        "teacher": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {"model": ChannelParameter(type=standard_artifacts.Model)}


class Refit(StepComponent):
    """Refits a blessed model on all interactions, with all items in its vocabulary.

    Args:
        candidate: the evaluated model; the refit uses its settings and its number of epochs.
        model_blessing: the blessing of the candidate.
        examples: transformed examples with the splits `all` and `catalog`.
        transform_graph: the Transform graph of these examples.
        checkpoints: folder for the checkpoints of an interrupted fit.
        teacher: the model that the candidate was distilled from; None if there is none.

    Outputs:
        model: the refitted model; contains no SavedModel if the candidate is not blessed.
    """

    SPEC_CLASS = RefitSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    STEP = "refit"
