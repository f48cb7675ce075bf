"""The Trainer reads the hyperparameters that the Tuner writes."""

from __future__ import annotations

import json

import pytest

from components.errors import StepError
from components.hyperparameters import best_values, decode, encode, in_words
from components.trainer.settings import TrainerSettings
from components.tuner.settings import TunerSettings
from components.tuner.space import make_space, position


@pytest.mark.parametrize(
    "choices", [[1, 2], [0.1], ["a", "b"], [True, False], [None, 1.5], [1, 0.5], [["genres"], []]], ids=str
)
def test_decoded_choices_equal_the_original_choices(choices):
    encoded = encode(choices)
    assert len({type(value) for value in encoded}) == 1
    decoded = [decode(value) for value in json.loads(json.dumps(encoded))]
    assert decoded == choices and [type(value) for value in decoded] == [type(value) for value in choices]


def test_best_values_of_an_artifact_are_settings_of_the_trainer():
    space = make_space(TunerSettings(search_space={"item_features": [["year"], []], "blocks": [1, 3]}).search_space)
    content = json.loads(json.dumps(space.get_config()))
    assert best_values(content) == {"item_features": ["year"], "blocks": 1}
    settings = TrainerSettings(**{**TrainerSettings().model_dump(), **best_values(content)})
    assert settings.item_features == ("year",) and settings.blocks == 1
    with pytest.raises(StepError, match="hold no `values`"):
        best_values({"space": []})


def test_the_search_space_matches_the_configuration():
    settings = TunerSettings(
        search_space={
            "blocks": {"min": 1, "max": 3},
            "dimension": {"min": 32, "max": 128, "step": 32},
            "learning_rate": {"min": 0.001, "max": 0.1, "log": True},
            "encoder": ["lstm", "cnn"],
        }
    )
    space = {entry["config"]["name"]: entry for entry in make_space(settings.search_space).get_config()["space"]}
    assert {name: entry["class_name"] for name, entry in space.items()} == {
        **{"blocks": "Int", "dimension": "Int", "learning_rate": "Float", "encoder": "Choice"}
    }
    assert space["dimension"]["config"]["step"] == 32 and space["learning_rate"]["config"]["sampling"] == "log"
    samples = [make_space(settings.search_space).space[1].random_sample(seed) for seed in range(50)]
    assert set(samples) == set(settings.whole_values("dimension", 0)) == {32, 64, 96, 128}


def test_position_locates_a_configuration_in_the_search_space():
    space = TunerSettings(search_space={"blocks": {"min": 1, "max": 3}, "item_features": [["year"], []]}).search_space
    values = {"blocks": 2, "item_features": [], "dropout": 0.5}
    encoded = position(space, values)
    assert encoded is not None and {name: decode(value) for name, value in encoded.items()} == {
        **{"blocks": 2, "item_features": []}
    }
    assert position(space, {**values, "blocks": 4}) is None
    assert position(space, {**values, "item_features": ["genres"]}) is None


def test_in_words_lists_names_with_rounded_values():
    assert in_words({"learning_rate": 0.0031827, "blocks": 2}) == "learning_rate 0.00318, blocks 2"
