"""A new model is compared with the latest model that was blessed and is not itself."""

from __future__ import annotations

import pytest
from tfx.types import standard_artifacts

from components.evaluator.baseline import CANDIDATE, LatestOtherBlessedModel


def model(number: int) -> standard_artifacts.Model:
    artifact = standard_artifacts.Model()
    artifact.id = number
    return artifact


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
def test_latest_other_blessed_model(verdicts, candidate, expected):
    known = {
        "model": [model(number) for number in {*verdicts, candidate}],
        "model_blessing": [blessing(number, blessed) for number, blessed in verdicts.items()],
        CANDIDATE: [model(candidate)],
    }
    resolved = LatestOtherBlessedModel().resolve_artifacts(None, known)
    assert [artifact.id for artifact in resolved["model"]] == expected
    assert [artifact.get_int_custom_property("current_model_id") for artifact in resolved["model_blessing"]] == expected
    assert [artifact.id for artifact in resolved[CANDIDATE]] == [candidate]
