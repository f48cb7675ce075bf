"""Settings of the Tuner."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import Field, ValidationError, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from components.settings import Settings
from components.trainer.settings import TrainerSettings

# Settings of the Trainer that cannot be searched, with the reasons.
NOT_SEARCHED = {
    "max_epochs": "trials use tuner.max_epochs",
    "max_minutes": "trials use tuner.minutes_per_trial",
    "top_k": "the app decides it, and Recall@10 does not depend on it",
    "seed": "the best seed would be the best only by chance",
}


class Range(Settings):
    """A range of numbers to search.

    Attributes:
        min: the smallest number, included.
        max: the largest number, included.
        step: distance between neighbouring values; null: 1 for integers, no fixed distance for other numbers.
        log: whether numbers are drawn uniformly on a logarithmic scale.
    """

    min: int | float
    max: int | float
    step: int | float | None = Field(None, gt=0)
    log: bool = False


class TunerSettings(Settings):
    """Settings of the hyperparameter search; without it, the Trainer uses its configured settings.

    Attributes:
        enabled: whether the step is part of the pipeline.
        algorithm: `random`; or `bayesian`, which draws the first half of the trials at random, and proposes the others
            with a Gaussian process (Snoek et al., "Practical Bayesian Optimization", NeurIPS 2012).
        trials: maximum number of models to fit; the search ends earlier if the space has fewer combinations.
        minutes_per_trial: time limit in minutes for the fit of a trial, for safety; 0: no limit.
        max_epochs: maximum number of passes over the train split in a trial, and length of its learning rate schedule.
        seed: seed of the search; initial weights and batches of every trial use the Trainer's seed.
        search_space: the Trainer's settings to search, each with a list of choices or a `Range`. The first trial uses
            the configured settings, if the space contains them.
    """

    enabled: bool = False
    algorithm: Literal["random", "bayesian"] = "random"
    trials: int = Field(8, ge=1, le=1000)
    minutes_per_trial: float = Field(0.0, ge=0)
    max_epochs: int = Field(4, ge=1)
    seed: int = Field(1, ge=1)  # For KerasTuner, 0 means no seed.
    search_space: dict[str, Range | list[Any]] = {
        "learning_rate": Range(min=0.001, max=0.01, log=True),
        "dropout": [0.1, 0.2, 0.3, 0.4],
        "dimension": [32, 64, 128],
        "blocks": [1, 2, 3],
    }

    @field_validator("search_space", mode="before")
    @classmethod
    def _space_is_of_the_trainer(cls, space: Any) -> Any:
        if not isinstance(space, Mapping) or not space:
            raise PydanticCustomError("search_space", "expected settings of the Trainer, such as {dropout: [0.1, 0.2]}")
        checked: dict[str, Any] = {}
        problems: list[InitErrorDetails] = []
        for name, values in space.items():
            try:
                checked[str(name)] = _checked(str(name), values)
            except ValueError as error:
                problem = PydanticCustomError("search_space", str(error))
                problems.append(InitErrorDetails(type=problem, loc=(str(name),), input=values))
        if problems:
            raise ValidationError.from_exception_data("search_space", problems)
        return checked

    def whole_values(self, name: str, otherwise: Any) -> list[Any]:
        """Returns all values that an integer or non-numeric setting can have in the search.

        Args:
            name: name of a setting of the Trainer that is not a float.
            otherwise: the value of a setting that is not searched.
        """
        values = self.search_space.get(name, [otherwise])
        if isinstance(values, Range):
            return list(range(int(values.min), int(values.max) + 1, int(values.step or 1)))
        return values


def number_type(name: str) -> type[int] | type[float] | None:
    """Returns `int` or `float` for a numeric setting of the Trainer; None for others."""
    annotation = TrainerSettings.model_fields[name].annotation
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((kind for kind in (int, float) if kind in kinds), None)


def _checked(name: str, values: Any) -> Range | list[Any]:
    """Returns the values of a setting in the search space, converted to the setting's type.

    Raises:
        ValueError: the setting cannot be searched, or a value is not valid.
    """
    if name not in TrainerSettings.model_fields:
        near = difflib.get_close_matches(name, TrainerSettings.model_fields, n=1)
        known = ", ".join(key for key in TrainerSettings.model_fields if key not in NOT_SEARCHED)
        raise ValueError(f"unknown key; {f'did you mean {near[0]!r}?' if near else f'known keys: {known}'}")
    if name in NOT_SEARCHED:
        raise ValueError(f"cannot be searched: {NOT_SEARCHED[name]}")
    if isinstance(values, Range):
        values = values.model_dump()
    if isinstance(values, Mapping):
        return _checked_range(name, values)
    if not isinstance(values, list | tuple):
        raise ValueError(f"expected a list of choices or {{min, max}} with step or log, not {values!r}")
    if not values:
        raise ValueError("the list of choices is empty")
    return [_value(name, value, "choice") for value in values]


def _checked_range(name: str, values: Mapping[str, Any]) -> Range:
    if number_type(name) is None:
        raise ValueError("is not a number; give a list of choices")
    for key in values:
        if key not in Range.model_fields:
            raise ValueError(f"unknown key {key!r}; a range has min, max, and step or log")
    for key in ("min", "max"):
        if key not in values:
            raise ValueError(f"{key} is missing; a range has min, max, and step or log")
    try:
        checked = Range(
            min=_value(name, values["min"], "min"),
            max=_value(name, values["max"], "max"),
            step=values.get("step"),
            log=values.get("log", False),
        )
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"{problem['loc'][0]}: {_lower(problem['msg'])}, not {problem['input']!r}") from None
    if checked.min >= checked.max:
        raise ValueError(f"min {checked.min} is not below max {checked.max}")
    if checked.log and checked.step:
        raise ValueError("step and log cannot be combined")
    if checked.log and checked.min <= 0:
        raise ValueError(f"log needs min above 0, not {checked.min}")
    if number_type(name) is int and checked.step and checked.step % 1:
        raise ValueError(f"step {checked.step} is not an integer, but the values of the setting are")
    return checked


def _value(name: str, value: Any, role: str) -> Any:
    """Returns a value of a setting, converted to the setting's type, for JSON.

    Raises:
        ValueError: the value is not valid; the message starts with its `role`: `min`, `max` or `choice`.
    """
    try:
        return TrainerSettings.model_validate({name: value}).model_dump(mode="json")[name]
    except ValidationError as error:
        for problem in error.errors():
            if problem["loc"][:1] == (name,):
                raise ValueError(f"{role} {value!r}: {_lower(problem['msg'])}") from None
        return value  # It is invalid only in combination with the defaults of other settings.


def _lower(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]
