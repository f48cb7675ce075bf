"""The form in which hyperparameters travel from the Tuner to the Trainer."""

from __future__ import annotations

import json
from typing import Any

from components.errors import StepError

# KerasTuner knows text and numbers alone: what is neither, such as a list, travels as JSON behind this.
JSON = "json:"


def encode(choices: list[Any]) -> list[Any]:
    """Choices as KerasTuner takes them: all text, all int or all float."""
    kinds = {type(choice) for choice in choices}
    if len(kinds) == 1 and kinds <= {str, int, float}:
        return choices
    return [JSON + json.dumps(choice) for choice in choices]


def decode(value: Any) -> Any:
    """The choice behind one of `encode`'s values."""
    return json.loads(value.removeprefix(JSON)) if isinstance(value, str) and value.startswith(JSON) else value


def best_values(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The Trainer's settings that the search found best.

    Args:
        hyperparameters: content of a HyperParameters artifact, which TFX hands the Trainer as
            `fn_args.hyperparameters`: the `get_config()` of KerasTuner's `HyperParameters`, where `space` lists what
            was searched and `values` is what was chosen, by name.

    Returns:
        Values by name of a field of `TrainerSettings`; those that were searched alone.

    Raises:
        StepError: the content has no `values`.
    """
    values = hyperparameters.get("values")
    if not isinstance(values, dict):
        raise StepError("the best hyperparameters hold no `values`; run again from the Tuner (--from-node Tuner)")
    return {name: decode(value) for name, value in values.items()}


def in_words(values: dict[str, Any]) -> str:
    """Settings for a person: `learning_rate 0.00318, dropout 0.2`."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )
