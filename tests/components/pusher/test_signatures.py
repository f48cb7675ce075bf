"""The Pusher compares `similar` and `explain` of the file with those of the SavedModel."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
from tfx.types import Artifact

from components.errors import StepError
from components.pusher.convert import convert
from components.pusher.signatures import check_signatures
from on_device.recommender import Recommender


@pytest.fixture
def pushed(push: Callable[..., Artifact], evaluated: dict[str, float], tmp_path: Path) -> Recommender:
    push()
    return Recommender.load(tmp_path / "serving" / "rings")


@pytest.fixture
def check(inputs: dict[str, list[Artifact]]) -> Callable[[Recommender], dict[str, dict[str, float]]]:
    loaded = tf.saved_model.load(f"{inputs['model'][0].uri}/Format-Serving")
    files = [str(path) for path in Path(inputs["examples"][0].uri, "Split-test").iterdir()]
    return lambda recommender: check_signatures(loaded, recommender, files)


def test_a_correct_file_agrees_and_its_latency_is_measured(pushed: Recommender, check: Any) -> None:
    results = check(pushed)
    assert {name: result["agreement"] for name, result in results.items()} == {"similar": 1.0, "explain": 1.0}
    assert all(0 < result["latency_us"] < 1e6 for result in results.values())
    info = json.loads((pushed.artifact.folder / "model_info.json").read_text(encoding="utf-8"))
    assert info["signatures"].keys() == {"recommend", "similar", "explain"}
    assert info["signatures"]["recommend"] == {"latency_us": info["latency_us"]}


def test_a_file_of_another_model_is_an_error(
    pushed: Recommender, check: Any, ring: SimpleNamespace, tmp_path: Path
) -> None:
    model = ring.Model()
    model.table.assign(tf.random.stateless_uniform(model.table.shape, [1, 2]))
    model.save(tmp_path / "other")
    content = convert(tf.saved_model.load(str(tmp_path / "other")), "float32")
    other_recommender = Recommender(dataclasses.replace(pushed.artifact, model=content))
    with pytest.raises(StepError, match=r"^similar of the file agrees .*, less than 75%; nothing is pushed; choose"):
        check(other_recommender)


def test_the_settings_choose_the_signatures_of_the_file(
    push: Callable[..., Artifact], evaluated: dict[str, float], tmp_path: Path
) -> None:
    push({"signatures": ["recommend", "explain"]})
    recommender = Recommender.load(tmp_path / "serving" / "rings")
    assert set(recommender.signatures) == {"recommend", "explain"}
    assert recommender.artifact.info["signatures"].keys() == {"recommend", "explain"}
    with pytest.raises(ValueError, match="the signature recommend is required"):
        push({"signatures": ["similar"]})
