"""Refit: trains the model to push on all interactions, including those that were held out from the evaluated model."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing, TransformGraph

from components.component import StepComponent
from components.refit.executor import Executor


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

    PARAMETERS = {"checkpoints": str}
    INPUTS = {
        "candidate": Model,
        "model_blessing": ModelBlessing,
        "examples": Examples,
        "transform_graph": TransformGraph,
        "teacher": Model,
    }
    OPTIONAL = ("teacher",)
    OUTPUTS = {"model": Model}
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    STEP = "refit"
