"""The Python client answers every question of the conformance suite."""

from __future__ import annotations

import json
from typing import Any

import pytest

from on_device import ArtifactError, Recommender
from tests.conformance.generate import FOLDER, VECTORS


def ask(recommender: Recommender, vector: dict[str, Any]) -> Any:
    """Returns the answer to a question, as the suite writes it."""
    options = dict(vector.get("options", {}))
    activity = options.pop("activity", {})
    match vector["kind"]:
        case "recommend":
            answer = recommender.recommend(vector["history"], **options, **activity)
        case "similar":
            answer = recommender.similar(vector["item"], **options)
        case "because":
            return [
                [r.item.id, r.contribution] for r in recommender.because(vector["history"], vector["item"], **activity)
            ]
        case "search":
            return [item.id for item in recommender.catalogue.search(vector["text"])]
        case "titled":
            item = recommender.catalogue.titled(vector["text"])
            return item and item.id
    return [[item.id, item.score] for item in answer]


def test_every_answer() -> None:
    recommender = Recommender.load(FOLDER)
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert len(vectors) >= 500
    for vector in vectors:
        if vector.get("error"):
            with pytest.raises(ArtifactError):
                ask(recommender, vector)
        elif vector["kind"] in ("search", "titled"):
            assert ask(recommender, vector) == vector["expected"], vector
        else:
            answer = ask(recommender, vector)
            assert [item for item, _ in answer] == [item for item, _ in vector["expected"]], vector
            assert [score for _, score in answer] == pytest.approx([score for _, score in vector["expected"]], abs=1e-3)
