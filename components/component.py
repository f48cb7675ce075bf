"""The base class of this project's own components."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from tfx.dsl.components.base import base_component
from tfx.types import channel_utils

from components.code_version import step_version


class StepComponent(base_component.BaseComponent):
    """A component that builds its specification from keyword arguments.

    It adds the channels of all outputs and, where `SPEC_CLASS` has a parameter `code`, the version of the step's code.

    Args:
        arguments: every input and every other parameter of `SPEC_CLASS`, by name. Settings are stored as JSON, booleans
            as 0 or 1.

    Raises:
        ValueError: an argument is missing.
        TypeError: an argument has the wrong type.
    """

    STEP = ""  # name of the step's folder in `components/`

    def __init__(self, **arguments: Any):
        arguments = {name: _parameter(value) for name, value in arguments.items()}
        if "code" in self.SPEC_CLASS.PARAMETERS:
            arguments["code"] = step_version(self.STEP)
        for name, output in self.SPEC_CLASS.OUTPUTS.items():
            arguments[name] = channel_utils.as_channel([output.type()])
        super().__init__(spec=self.SPEC_CLASS(**arguments))


def _parameter(value: Any) -> Any:
    """Returns a value as ML Metadata can store it."""
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return int(value) if isinstance(value, bool) else value
