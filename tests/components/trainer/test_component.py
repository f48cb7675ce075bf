"""Settings that are given when a compiled pipeline is started."""

from __future__ import annotations

import pytest

from components.errors import StepError
from components.trainer.component import override
from components.trainer.settings import TrainerSettings

PROPERTIES = {"run_fn": "components.trainer.run.run_fn", "train_args": "{}"}  # those that override no setting


def test_parameters_override_the_settings_of_the_same_name():
    settings = TrainerSettings(encoder="cnn", blocks=3).model_dump(mode="json")
    changed = override(settings, {**PROPERTIES, "encoder": "lstm", "max_epochs": 3, "max_minutes": 1.5})
    expected = TrainerSettings(encoder="lstm", blocks=3, max_epochs=3, max_minutes=1.5)
    assert TrainerSettings(**changed) == expected
    assert changed == expected.model_dump(mode="json")


def test_without_parameters_nothing_changes():
    settings = TrainerSettings(members=({"encoder": "cnn"},)).model_dump(mode="json")
    assert override(settings, PROPERTIES) == settings


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"encoder": "gru"}, "parameter encoder: input should be 'bow', 'cnn', 'lstm' or 'transformer', not 'gru'"),
        ({"max_epochs": -1}, "parameter max_epochs: input should be greater than or equal to 0, not -1"),
    ],
)
def test_an_invalid_value_of_a_parameter_is_an_error(parameters, message):
    with pytest.raises(StepError, match=message):
        override(TrainerSettings().model_dump(mode="json"), parameters)
