"""The search space is checked against the Trainer's settings; each mistake is a one-line error that names the key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.tuner.settings import Range, TunerSettings
from pipeline.config import ConfigError, load_config


def load(space: Any, **overrides: Any) -> TunerSettings:
    return load_config(None, {"tuner.search_space": space, "tuner.enabled": True, **overrides}).tuner


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"learning_rat": [0.1]}, "tuner.search_space.learning_rat: unknown key; did you mean 'learning_rate'?"),
        ({"zzz": [1]}, "tuner.search_space.zzz: unknown key; known keys: encoder, dimension"),
        ({"top_k": [10]}, "tuner.search_space.top_k: cannot be searched: the app decides it"),
        ({"max_epochs": [4]}, "tuner.search_space.max_epochs: cannot be searched: trials use tuner.max_epochs"),
        ({"dimension": [64, 2]}, "tuner.search_space.dimension: choice 2: input should be greater than or equal to 4"),
        ({"dimension": [64.5]}, "tuner.search_space.dimension: choice 64.5: input should be a valid integer"),
        ({"encoder": ["gru"]}, "tuner.search_space.encoder: choice 'gru': input should be 'bow', 'cnn', 'lstm' or"),
        ({"encoder": {"min": 1, "max": 2}}, "tuner.search_space.encoder: is not a number; give a list of choices"),
        ({"dropout": []}, "tuner.search_space.dropout: the list of choices is empty"),
        ({"dropout": 0.1}, "tuner.search_space.dropout: expected a list of choices or {min, max} with step or log"),
        (
            {"dropout": {"min": 0.1}},
            "tuner.search_space.dropout: max is missing; a range has min, max, and step or log",
        ),
        ({"dropout": {"min": 0, "max": 0.5, "stp": 1}}, "tuner.search_space.dropout: unknown key 'stp'; a range has"),
        ({"dropout": {"min": 0, "max": 1}}, "tuner.search_space.dropout: max 1: input should be less than 1"),
        ({"dropout": {"min": 0.5, "max": 0.1}}, "tuner.search_space.dropout: min 0.5 is not below max 0.1"),
        ({"dropout": {"min": 0, "max": 0.5, "log": True}}, "tuner.search_space.dropout: log needs min above 0"),
        ({"dropout": {"min": 0, "max": 0.5, "step": 0}}, "tuner.search_space.dropout: step: input should be greater"),
        ({"blocks": {"min": 1, "max": 3, "step": 0.5}}, "tuner.search_space.blocks: step 0.5 is not an integer"),
        (
            {"learning_rate": {"min": 0.1, "max": 0.5, "step": 0.1, "log": True}},
            "tuner.search_space.learning_rate: step and log cannot be combined",
        ),
        ({}, "tuner.search_space: expected settings of the Trainer, such as {dropout: [0.1, 0.2]}"),
        ({"heads": [2, 3]}, "tuner.search_space: dimension 64 is not divisible by 3 heads"),
        ({"dimension": {"min": 8, "max": 12}}, "tuner.search_space: dimension 9 is not divisible by 2 heads"),
    ],
    ids=str,
)
def test_a_mistake_in_the_search_space_is_a_one_line_error(space, message):
    with pytest.raises(ConfigError) as error:
        load(space)
    assert str(error.value).startswith(f"configuration: {message}")
    assert "\n" not in str(error.value)


def test_the_error_names_every_mistake():
    with pytest.raises(ConfigError, match=r"search_space\.dropout: .*; tuner\.search_space\.blocks: "):
        load({"dropout": [7], "blocks": [0]})


def test_values_have_the_type_of_the_setting():
    """YAML reads 1e-3 as text."""
    space = load({"learning_rate": {"min": "1e-3", "max": 1, "log": True}, "dropout": ["0.1", 0]}).search_space
    assert space == {"learning_rate": Range(min=0.001, max=1.0, log=True), "dropout": [0.1, 0.0]}


def test_other_encoders_ignore_the_number_of_heads():
    assert load({"heads": [2, 3]}, **{"trainer.encoder": "lstm"}).enabled
    with pytest.raises(ConfigError, match="dimension 64 is not divisible by 3 heads"):
        load({"heads": [2, 3], "encoder": ["lstm", "transformer"]}, **{"trainer.encoder": "lstm"})
    assert not load({"heads": [2, 3]}, **{"tuner.enabled": False}).enabled


def test_settings_are_restored_from_json():
    settings = load({"item_features": [["genres"], []], "blocks": {"min": 1, "max": 3}})
    assert TunerSettings.model_validate(settings.model_dump(mode="json")) == settings
    assert TunerSettings.model_validate(TunerSettings().model_dump(mode="json")) == TunerSettings()


def test_the_configuration_needs_no_tensorflow():
    code = "import sys, pipeline.config; assert not {'tensorflow', 'tfx', 'keras_tuner', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
