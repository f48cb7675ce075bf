"""Converts the configured search space, and settings in it, for KerasTuner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras_tuner

from components.hyperparameters import encode
from components.tuner.settings import Range, number_type


def make_space(search_space: Mapping[str, Range | list[Any]]) -> keras_tuner.HyperParameters:
    """Returns KerasTuner's form of a search space.

    Args:
        search_space: the `search_space` of `TunerSettings`.

    Returns:
        An `Int`, `Float` or `Choice` for each setting; `hyperparameters.decode` converts a choice to its value.
    """
    space = keras_tuner.HyperParameters()
    for name, values in search_space.items():
        if isinstance(values, Range):
            convert, add = (int, space.Int) if number_type(name) is int else (float, space.Float)
            step = None if values.step is None else convert(values.step)
            add(name, convert(values.min), convert(values.max), step=step, sampling="log" if values.log else "linear")
        else:
            space.Choice(name, encode(values))
    return space


def position(search_space: Mapping[str, Range | list[Any]], values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns KerasTuner's form of the values of settings in a search space.

    Args:
        search_space: the `search_space` of `TunerSettings`.
        values: every searched setting by name, as JSON values.

    Returns:
        KerasTuner's values by the name of the setting; None if the search space does not contain the given values.
    """
    encoded = {}
    for name, allowed in search_space.items():
        value = values[name]
        if isinstance(allowed, Range):
            if value is None or not allowed.min <= value <= allowed.max:
                return None
            encoded[name] = value
        elif value not in allowed:
            return None
        else:
            encoded[name] = encode(allowed)[allowed.index(value)]
    return encoded
