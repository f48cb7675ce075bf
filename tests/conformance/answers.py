"""Compares the answers of a client with the conformance suite."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.generate import UPDATES, VECTORS


def read_vectors() -> list[dict[str, Any]]:
    """Returns the questions."""
    vectors: list[dict[str, Any]] = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert len(vectors) >= 500
    return vectors


def compare(vectors: list[dict[str, Any]], answers: list[Any]) -> None:
    """Asserts that the ids are right, the scores are right to a thousandth, and errors have a message."""
    assert len(answers) == len(vectors)
    for vector, answer in zip(vectors, answers, strict=True):
        if vector.get("error"):
            assert answer["name"] == "Problem" and answer["message"], vector
        elif vector["kind"] in ("search", "titled"):
            assert answer == vector["expected"], vector
        else:
            assert [item for item, _ in answer] == [item for item, _ in vector["expected"]], vector
            assert [score for _, score in answer] == pytest.approx([score for _, score in vector["expected"]], abs=1e-3)


def check_updates(outcomes: list[dict[str, Any]]) -> None:
    """Asserts that every broken update was refused, and that the version in use did not change."""
    changes = json.loads(UPDATES.read_text(encoding="utf-8"))
    assert len(outcomes) == len(changes) >= 100
    for change, outcome in zip(changes, outcomes, strict=True):
        assert outcome.pop("error"), change
        assert outcome == {"used": "1", "first": "1002", "files": ["1", "latest"]}, change


def describe_signatures(runners: dict[str, Any]) -> dict[str, Any]:
    """Returns the shapes and types of the inputs and outputs of each signature."""

    def describe(details: dict[str, Any]) -> dict[str, Any]:
        return {
            name: {"shape": tensor["shape"].tolist(), "dtype": tensor["dtype"].__name__}
            for name, tensor in details.items()
        }

    return {
        name: {"inputs": describe(runner.get_input_details()), "outputs": describe(runner.get_output_details())}
        for name, runner in runners.items()
    }
