"""Runtime parameters, which can be changed when a compiled pipeline is started.

This module imports neither TensorFlow nor TFX, so that errors appear immediately.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from pipeline.config import ConfigError, PipelineConfig
from pipeline.options import OPTIONS, Option

DATA = "data"
PARAMETERS = {
    DATA: Option("deployment.data", "the log as the containers see it"),
    "encoder": OPTIONS["encoder"],
    "max_epochs": OPTIONS["max-epochs"],
    "max_minutes": OPTIONS["max-minutes"],
    "min_recall_at_10": OPTIONS["min-recall"],
}


def defaults(config: PipelineConfig) -> dict[str, Any]:
    """Returns the default values of a pipeline's parameters.

    With the Tuner, the encoder is not a parameter, because the search is for the settings of one encoder.
    """
    values = config.model_dump()
    parameters = {}
    for name, parameter in PARAMETERS.items():
        section, key = parameter.key.split(".")
        if name != "encoder" or not config.tuner.enabled:
            parameters[name] = parameter.type(values[section][key])
    return parameters


def parse(assignments: Iterable[str], config: PipelineConfig) -> dict[str, Any]:
    """Returns the values of parameters from `NAME=VALUE` arguments.

    Raises:
        ConfigError: the parameter does not exist, or the value is invalid.
    """
    known = defaults(config)
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in known:
            raise ConfigError(f"--param {assignment}: expected NAME=VALUE; the names are {', '.join(known)}")
        section, key = PARAMETERS[name].key.split(".")
        try:
            value = PARAMETERS[name].type(text)
            content = config.model_dump()
            PipelineConfig.model_validate({**content, section: {**content[section], key: value}})
        except ValidationError as error:
            raise ConfigError(
                f"--param {assignment}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
            ) from None
        except ValueError:
            raise ConfigError(f"--param {assignment}: expected {PARAMETERS[name].type.__name__}") from None
        values[name] = value
    return values
