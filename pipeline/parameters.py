"""What may be changed when a compiled pipeline is started, without compiling it again.

This module imports neither TensorFlow nor TFX, so that mistakes are answered at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipeline.config import ConfigError, PipelineConfig

DATA = "data"


@dataclass(frozen=True)
class Parameter:
    """A runtime parameter.

    Attributes:
        key: of the configuration, whose value is the default.
        type: of its values.
        about: for a person.
    """

    key: str
    type: type
    about: str


PARAMETERS = {
    DATA: Parameter("deployment.data", str, "ratings as the containers see them"),
    "encoder": Parameter("trainer.encoder", str, "bow, cnn, lstm or transformer"),
    "max_epochs": Parameter("trainer.max_epochs", int, "most passes over the train split"),
    "max_minutes": Parameter("trainer.max_minutes", float, "a safety limit of fitting; 0 sets none"),
    "min_recall_at_10": Parameter("gate.min_recall_at_10", float, "the gate's floor"),
}


def defaults(config: PipelineConfig) -> dict[str, Any]:
    """The parameters that a pipeline has, and what they are where nothing else is given.

    A Tuner searches for one encoder's settings: with it, the encoder is fixed.
    """
    values = config.model_dump()
    found = {}
    for name, parameter in PARAMETERS.items():
        section, key = parameter.key.split(".")
        if name != "encoder" or not config.tuner.enabled:
            found[name] = parameter.type(values[section][key])
    return found


def parse(assignments: Iterable[str], config: PipelineConfig) -> dict[str, Any]:
    """Values of parameters from `NAME=VALUE`.

    Raises:
        ConfigError: there is no such parameter, or it does not take the value.
    """
    known = defaults(config)
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in known:
            raise ConfigError(f"--param {assignment}: expected NAME=VALUE, and NAME one of {', '.join(known)}")
        section, key = PARAMETERS[name].key.split(".")
        try:
            value = PARAMETERS[name].type(text)
            whole = config.model_dump()
            PipelineConfig.model_validate({**whole, section: {**whole[section], key: value}})
        except ValidationError as error:
            raise ConfigError(
                f"--param {assignment}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
            ) from None
        except ValueError:
            raise ConfigError(f"--param {assignment}: expected {PARAMETERS[name].type.__name__}") from None
        values[name] = value
    return values
