"""What the Tuner writes is what the Trainer reads."""

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
def test_choices_come_back_as_they_were(choices):
    encoded = encode(choices)
    assert len({type(value) for value in encoded}) == 1
    back = [decode(value) for value in json.loads(json.dumps(encoded))]
    assert back == choices and [type(value) for value in back] == [type(value) for value in choices]


def test_best_values_of_an_artifact():
    space = make_space(TunerSettings(search_space={"item_features": [["year"], []], "blocks": [1, 3]}).search_space)
    content = json.loads(json.dumps(space.get_config()))
    assert best_values(content) == {"item_features": ["year"], "blocks": 1}
    settings = TrainerSettings(**{**TrainerSettings().model_dump(), **best_values(content)})
    assert settings.item_features == ("year",) and settings.blocks == 1
    with pytest.raises(StepError, match="hold no `values`"):
        best_values({"space": []})


def test_search_space_is_that_of_the_configuration():
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
    drawn = [make_space(settings.search_space).space[1].random_sample(seed) for seed in range(50)]
    assert set(drawn) == set(settings.whole_values("dimension", 0)) == {32, 64, 96, 128}


def test_position_of_the_configuration_in_the_space():
    space = TunerSettings(search_space={"blocks": {"min": 1, "max": 3}, "item_features": [["year"], []]}).search_space
    values = {"blocks": 2, "item_features": [], "dropout": 0.5}
    found = position(space, values)
    assert found is not None and {name: decode(value) for name, value in found.items()} == {
        **{"blocks": 2, "item_features": []}
    }
    assert position(space, {**values, "blocks": 4}) is None
    assert position(space, {**values, "item_features": ["genres"]}) is None


def test_in_words():
    assert in_words({"learning_rate": 0.0031827, "blocks": 2}) == "learning_rate 0.00318, blocks 2"
