"""Pusher: publishes a blessed model as a checked TFLite file."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing, ModelEvaluation, PushedModel

from components.artifacts import ItemCatalog
from components.component import StepComponent
from components.pusher.executor import Executor


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

    PARAMETERS = {"pipeline_name": str, "push_root": str, "settings": str, "code_version": str, "fail_unblessed": int}
    INPUTS = {
        "model": Model,
        "refitted_model": Model,
        "model_blessing": ModelBlessing,
        "evaluation": ModelEvaluation,
        "catalog": ItemCatalog,
        "examples": Examples,
    }
    OPTIONAL = ("refitted_model",)
    OUTPUTS = {"pushed_model": PushedModel}
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    STEP = "pusher"
