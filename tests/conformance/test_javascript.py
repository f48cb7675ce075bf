"""The browser client answers every question of the conformance suite, in Chromium."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.answers import compare, read_vectors

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ASK = """async (vectors) => {
    const { readArtifact, Recommender } = await import("on-device-recommender-client");
    const recommender = await Recommender.open(await readArtifact("model/"), "runtime/@litertjs/core/wasm/");
    const { catalogue } = recommender;
    const pairs = (items) => items.map(({ id, score }) => [id, score]);
    const ask = async ({ kind, history, item, text, options }) => {
        if (kind === "recommend") return pairs(await recommender.recommend(history, options));
        if (kind === "similar") return pairs(await recommender.similar(item, options));
        if (kind === "search") return catalogue.search(text).map(({ id }) => id);
        if (kind === "titled") return catalogue.titled(text)?.id ?? null;
        const reasons = await recommender.because(history, item, options);
        return reasons.map((reason) => [reason.item.id, reason.contribution]);
    };
    const failed = ({ name, message }) => ({ name, message });
    // All at once: the client runs one call at a time.
    return Promise.all(vectors.map((vector) => ask(vector).catch(failed)));
}"""


def test_every_question_has_the_expected_answer(page: Any) -> None:
    vectors = read_vectors()
    compare(vectors, page.evaluate(ASK, vectors))
