"""A model starts with the weights of another model, whose vocabulary differs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components import features
from components.trainer.activity import ActivityFeature
from components.trainer.item_tower import FeatureValues
from components.trainer.model import RecommenderModel
from components.trainer.settings import MemberSettings, TrainerSettings
from components.trainer.warm_start import save_weights, take_over

SETTINGS = TrainerSettings(
    encoder="cnn",
    members=(MemberSettings(joint=True, encoder="bow"),),
    dimension=4,
    blocks=1,
    item_features=("genres",),
)
OLD, NEW = ["a", "b", "c"], ["c", "new", "a"]
OLD_TOKENS, NEW_TOKENS = ["genres=Drama", "year=1994", "genres=War"], ["genres=War", "genres=Ünlü", "genres=Drama"]


@pytest.fixture
def make() -> Callable[..., RecommenderModel]:
    """Returns a function that creates a model of three items with random weights."""

    def make_model(seed: int, settings: TrainerSettings = SETTINGS, values: int = 2) -> RecommenderModel:
        no_features = FeatureValues(np.zeros(0, np.int32), np.zeros(6, np.int64), values)
        counts = np.array([0, 0, 3, 2, 1])
        vectors = np.ones((5, 3), np.float32)
        model = RecommenderModel(settings, 4, counts, {"genres": no_features, "text": vectors})
        random = np.random.default_rng(seed)
        model.set_weights([random.random(weight.shape).astype(weight.dtype) for weight in model.get_weights()])
        return model

    return make_model


def test_rows_of_the_weights_are_copied_by_item_and_token(make, tmp_path: Path):
    old, new, fresh = make(1), make(2, values=3), make(2, values=3)
    save_weights(str(tmp_path), old, OLD, OLD_TOKENS)
    assert take_over(str(tmp_path), new, NEW, NEW_TOKENS) == pytest.approx(2 / 3)
    for number in range(2):
        towers = [model.members[number].item_tower for model in (old, new, fresh)]
        for name in towers[0].item_tables:
            before, after, initial = (tower.item_tables[name].numpy()[features.FIRST_INDEX :] for tower in towers)
            np.testing.assert_array_equal(after, [before[2], initial[1], before[0]])
        before, after, initial = (tower.feature_tables["genres"][0].numpy() for tower in towers)
        np.testing.assert_array_equal(after, [before[1], initial[1], before[0]])
        before, after, _ = (tower.feature_tables["text"][0].numpy() for tower in towers)
        np.testing.assert_array_equal(after, before)
    for before, after in zip(old.context_weights, new.context_weights, strict=True):
        np.testing.assert_array_equal(after.numpy(), before.numpy())


def test_rows_of_an_activity_feature_are_copied_by_word(tmp_path: Path):
    def make_model(seed: int, *words: str) -> RecommenderModel:
        settings = SETTINGS.model_copy(update={"activity_features": ("device",), "item_features": ()})
        known = [ActivityFeature("device", words=words)]
        model = RecommenderModel(settings, 4, np.array([0, 0, 3, 2, 1]), activity_features=known)
        random = np.random.default_rng(seed)
        model.set_weights([random.random(weight.shape).astype(weight.dtype) for weight in model.get_weights()])
        return model

    old, new, fresh = (
        make_model(1, "phone", "tablet"),
        make_model(2, "watch", "phone", "tv"),
        make_model(2, "watch", "phone", "tv"),
    )
    save_weights(str(tmp_path), old, OLD, [])
    assert take_over(str(tmp_path), new, NEW, []) == pytest.approx(2 / 3)
    before, after, initial = (model.members[0].activity_tower.tables["device"].numpy() for model in (old, new, fresh))
    np.testing.assert_array_equal(after, [before[0], before[1], initial[2], before[2], initial[4]])


@pytest.mark.parametrize("changes", [{"dimension": 8}, {"encoder": "lstm"}, {"members": ()}, {"transition": False}])
def test_weights_of_another_shape_are_not_copied(make, tmp_path: Path, changes: dict):
    save_weights(str(tmp_path), make(1, SETTINGS.model_copy(update=changes)), OLD, OLD_TOKENS)
    model = make(2)
    before = model.get_weights()
    assert take_over(str(tmp_path), model, OLD, OLD_TOKENS) is None
    for weight, weight_after in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, weight_after)


def test_a_model_of_an_earlier_version_has_no_weights_file(make, tmp_path: Path):
    assert take_over(str(tmp_path), make(1), OLD, OLD_TOKENS) is None
