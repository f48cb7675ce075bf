"""A new model is compared with the latest model that was blessed, is whole, and is not itself."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components import checksums
from components.evaluator.baseline import CANDIDATE, LatestOtherBlessedModel


@pytest.fixture
def model(tmp_path: Path) -> Callable[[int], standard_artifacts.Model]:
    """Makes a model's artifact, with a file and its checksum."""

    def make(number: int) -> standard_artifacts.Model:
        artifact = standard_artifacts.Model()
        artifact.id, artifact.uri = number, str(tmp_path / str(number))
        Path(artifact.uri).mkdir(exist_ok=True)
        (Path(artifact.uri) / "saved_model.pb").write_text("weights")
        checksums.record(Path(artifact.uri))
        return artifact

    return make


def blessing(of_model: int, blessed: bool) -> standard_artifacts.ModelBlessing:
    artifact = standard_artifacts.ModelBlessing()
    artifact.id = 100 + of_model
    artifact.set_int_custom_property("current_model_id", of_model)
    artifact.set_int_custom_property("blessed", int(blessed))
    return artifact


@pytest.mark.parametrize(
    ("verdicts", "candidate", "expected"),
    [
        ({1: True, 2: True}, 3, [2]),  # The latest.
        ({1: True, 2: False}, 3, [1]),  # Not one that failed.
        ({1: True, 2: True, 3: True}, 3, [2]),  # Not the candidate, as in an unchanged second run.
        ({3: True}, 3, []),
        ({1: False}, 3, []),
        ({}, 3, []),
    ],
)
def test_latest_other_blessed_model(model, verdicts, candidate, expected):
    known = {
        "model": [model(number) for number in {*verdicts, candidate}],
        "model_blessing": [blessing(number, blessed) for number, blessed in verdicts.items()],
        CANDIDATE: [model(candidate)],
    }
    resolved = LatestOtherBlessedModel().resolve_artifacts(None, known)
    assert [artifact.id for artifact in resolved["model"]] == expected
    assert [artifact.get_int_custom_property("current_model_id") for artifact in resolved["model_blessing"]] == expected
    assert [artifact.id for artifact in resolved[CANDIDATE]] == [candidate]


def test_a_damaged_model_is_passed_over(model, tmp_path, caplog):
    known = {
        "model": [model(number) for number in range(1, 6)],
        "model_blessing": [blessing(number, True) for number in range(1, 5)],
        CANDIDATE: [model(5)],
    }
    (tmp_path / "4" / "saved_model.pb").write_text("weight")
    shutil.rmtree(tmp_path / "3")
    (tmp_path / "3.sha256").unlink()
    with caplog.at_level(logging.INFO, "recommender.progress"):
        resolved = LatestOtherBlessedModel().resolve_artifacts(None, known)
    assert [artifact.id for artifact in resolved["model"]] == [2]
    assert caplog.messages == [
        f"{tmp_path}/4/saved_model.pb is not what the step wrote: the last blessed model, which is passed over",
        f"{tmp_path}/3 is missing: the last blessed model, which is passed over",
    ]
    for number in (1, 2):
        shutil.rmtree(tmp_path / str(number))
    assert LatestOtherBlessedModel().resolve_artifacts(None, known)["model"] == []
