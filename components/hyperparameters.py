"""Encodes hyperparameters for KerasTuner, and decodes them for the Trainer."""

from __future__ import annotations

import json
from typing import Any

from components.errors import StepError

# KerasTuner supports only text and numbers. Other values, such as lists, are JSON after this prefix.
JSON = "json:"


def encode(choices: list[Any]) -> list[Any]:
    """Returns choices that KerasTuner accepts: all text, all int or all float."""
    kinds = {type(choice) for choice in choices}
    if len(kinds) == 1 and kinds <= {str, int, float}:
        return choices
    return [JSON + json.dumps(choice) for choice in choices]


def decode(value: Any) -> Any:
    """Returns the choice that `encode` encoded."""
    return json.loads(value.removeprefix(JSON)) if isinstance(value, str) and value.startswith(JSON) else value


def best_values(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """Returns the best settings of a search.

    Args:
        hyperparameters: content of a HyperParameters artifact, which TFX passes to the Trainer as
            `fn_args.hyperparameters`: the `get_config()` of KerasTuner's `HyperParameters`, where `values` has the best
            values by name.

    Returns:
        The values of the searched settings, by the name of their field in `TrainerSettings`.

    Raises:
        StepError: the content has no `values`.
    """
    values = hyperparameters.get("values")
    if not isinstance(values, dict):
        raise StepError("the best hyperparameters hold no `values`; run again from the Tuner (--from-node Tuner)")
    return {name: decode(value) for name, value in values.items()}


def in_words(values: dict[str, Any]) -> str:
    """Returns settings as text, such as `learning_rate 0.00318, dropout 0.2`."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )
