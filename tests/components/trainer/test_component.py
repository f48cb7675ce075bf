"""Settings that are given when a compiled pipeline is started."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.errors import StepError
from components.trainer.component import with_overrides
from components.trainer.settings import TrainerSettings


def properties(**parameters: Any) -> dict[str, Any]:
    config = {"settings": TrainerSettings().model_dump(mode="json"), "code": "c0de"}
    return {"run_fn": "components.trainer.run.run_fn", "custom_config": json.dumps(config), **parameters}


def test_parameters_override_the_settings_of_the_same_name():
    changed = with_overrides(properties(encoder="lstm", max_epochs=3, max_minutes=1.5))
    config = json.loads(changed["custom_config"])
    assert config["code"] == "c0de"
    expected = TrainerSettings(encoder="lstm", max_epochs=3, max_minutes=1.5)
    assert TrainerSettings(**config["settings"]) == expected


def test_without_parameters_nothing_changes():
    assert with_overrides(properties()) == properties()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"encoder": "gru"}, "parameter encoder: input should be 'bow', 'cnn', 'lstm' or 'transformer', not 'gru'"),
        ({"max_epochs": -1}, "parameter max_epochs: input should be greater than or equal to 0, not -1"),
    ],
)
def test_an_invalid_value_of_a_parameter_is_an_error(parameters, message):
    with pytest.raises(StepError, match=message):
        with_overrides(properties(**parameters))
