"""The base class of this project's own components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel
from tfx.dsl.components.base import base_component
from tfx.types import Artifact, channel_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.code_version import step_version


class StepComponent(base_component.BaseComponent):
    """A component that declares its parameters, inputs and outputs by type.

    It has one more parameter, `code`: the version of the step's code.

    Args:
        arguments: every input and every parameter, by name. Settings are stored as JSON, booleans as 0 or 1.

    Raises:
        ValueError: an argument is missing.
        TypeError: an argument has the wrong type.
    """

    STEP = ""  # name of the step's folder in `components/`
    PARAMETERS: ClassVar[Mapping[str, type]] = {}
    INPUTS: ClassVar[Mapping[str, type[Artifact]]] = {}
    OPTIONAL: ClassVar[tuple[str, ...]] = ()  # names of optional inputs
    OUTPUTS: ClassVar[Mapping[str, type[Artifact]]] = {}

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        parameters = {**cls.PARAMETERS, "code": str}
        inputs = {name: ChannelParameter(type=kind, optional=name in cls.OPTIONAL) for name, kind in cls.INPUTS.items()}
        declared = {
            "PARAMETERS": {name: ExecutionParameter(type=kind) for name, kind in parameters.items()},
            "INPUTS": inputs,
            "OUTPUTS": {name: ChannelParameter(type=kind) for name, kind in cls.OUTPUTS.items()},
        }
        cls.SPEC_CLASS = type(f"{cls.__name__}Spec", (ComponentSpec,), declared)

    def __init__(self, **arguments: Any):
        arguments = {name: _parameter(value) for name, value in arguments.items()}
        outputs = {name: channel_utils.as_channel([kind()]) for name, kind in self.OUTPUTS.items()}
        super().__init__(spec=self.SPEC_CLASS(**arguments, **outputs, code=step_version(self.STEP)))


def _parameter(value: Any) -> Any:
    """Returns a value as ML Metadata can store it."""
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return int(value) if isinstance(value, bool) else value
