"""An extension of TFX's Trainer that accepts a teacher model, and settings as runtime parameters of a pipeline."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from tfx.components.trainer.component import Trainer
from tfx.components.trainer.executor import GenericExecutor
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.dsl.components.base import executor_spec
from tfx.types import Artifact, BaseChannel, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter
from tfx.utils import path_utils

from components.errors import StepError
from components.trainer.devices import is_chief
from components.trainer.settings import TrainerSettings

TEACHER = "teacher"


class Executor(GenericExecutor):
    """The executor of `RecommenderTrainer`, which can run as one of several workers.

    An execution property with the name of a setting overrides this setting.
    """

    def _GetFnArgs(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> FnArgs:
        """Returns the arguments of the base class, with the overridden settings and the teacher's folder.

        The base class requires that a model folder exists after training. Workers that write none get an empty folder.

        Raises:
            StepError: a parameter is not a valid value of its setting.
        """
        fn_args = super()._GetFnArgs(input_dict, output_dict, exec_properties)
        settings = override(fn_args.custom_config["settings"], exec_properties)
        fn_args.custom_config = {**fn_args.custom_config, "settings": settings}
        if teachers := input_dict.get(TEACHER):
            fn_args.custom_config[TEACHER] = path_utils.serving_model_path(artifact_utils.get_single_uri(teachers))
        if not is_chief():
            fn_args.serving_model_dir = tempfile.mkdtemp(prefix="no-model-")
        return fn_args


class RecommenderTrainer(Trainer):
    """The component that fits the recommender.

    Args:
        teacher: a fitted model to learn from; None learns from the data only.
        overrides: runtime parameters by the name of a field of `TrainerSettings`.
        arguments: further arguments of TFX's Trainer.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self, *, teacher: BaseChannel | None = None, overrides: Mapping[str, Any] | None = None, **arguments: Any
    ):
        super().__init__(**arguments)
        # TFX's constructor builds a specification without overrides and teacher: add them to it.
        self.spec.exec_properties.update(overrides or {})
        if teacher is not None:
            self.spec.INPUTS = {**self.spec.INPUTS, TEACHER: ChannelParameter(type=standard_artifacts.Model)}
            self.spec.inputs[TEACHER] = teacher


def override(settings: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `TrainerSettings` as a dict, in which parameters with the name of a setting replace its value.

    Raises:
        StepError: a parameter is not a valid value of its setting.
    """
    overrides = {name: value for name, value in parameters.items() if name in TrainerSettings.model_fields}
    try:
        return TrainerSettings.model_validate({**settings, **overrides}).model_dump(mode="json")
    except ValidationError as error:
        problem = error.errors()[0]
        raise StepError(
            f"parameter {problem['loc'][0]}: {problem['msg'].lower()}, not {problem['input']!r}; correct it and start "
            "a new run"
        ) from None
