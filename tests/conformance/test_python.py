"""The Python client answers every question of the conformance suite."""

from __future__ import annotations

from typing import Any

from on_device import ArtifactError, Recommender
from tests.conformance.answers import compare, read_vectors
from tests.conformance.generate import FOLDER


def ask(recommender: Recommender, vector: dict[str, Any]) -> Any:
    """Returns the answer to a question in the format of the suite."""
    options = dict(vector.get("options", {}))
    activity = options.pop("activity", {})
    match vector["kind"]:
        case "recommend":
            answer = recommender.recommend(vector["history"], **options, **activity)
        case "similar":
            answer = recommender.similar(vector["item"], **options)
        case "because":
            reasons = recommender.because(vector["history"], vector["item"], **activity)
            return [[reason.item.id, reason.contribution] for reason in reasons]
        case "search":
            return [item.id for item in recommender.catalogue.search(vector["text"])]
        case "titled":
            item = recommender.catalogue.titled(vector["text"])
            return item and item.id
    return [[item.id, item.score] for item in answer]


def test_every_question_has_the_expected_answer() -> None:
    recommender, vectors, answers = Recommender.load(FOLDER), read_vectors(), []
    for vector in vectors:
        try:
            answers.append(ask(recommender, vector))
        except ArtifactError as error:
            answers.append({"name": "Problem", "message": str(error)})
    compare(vectors, answers)
