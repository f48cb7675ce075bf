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


# Each argument is JavaScript, because JSON lacks most of these values.
INVALID = {
    "{ boost: new Map([['1002', 1]]) }": "boost: expected an object with values by name, found [object Map]",
    "{ boost: [['1002', 1]] }": "boost: expected an object with values by name, found 1002,1",
    "{ boost: { 1002: '1' } }": 'boost of 1002 is "1"; expected a number up to 1000',
    "{ diversity: '0.5' }": 'diversity is "0.5"; expected a number from 0 to 1',
    "{ diversity: null }": "diversity is null; expected a number from 0 to 1",
    "{ k: '3' }": 'k is "3"; expected an integer from 1 to 20',
    "5": "options: expected an object with values by name, found 5",
    "{ activity: new Map() }": "activity: expected an object with values by name, found [object Map]",
    "{ activity: { ratings: 3 } }": "ratings: expected a list of values, found 3",
    "{ activity: { ratings: [3, 4] } }": "ratings: 2 values for a history of 1 items",
    "{ activity: { ratings: ['3'] } }": 'ratings: expected numbers, found "3"',
}
VALID = {
    "null": "{}",
    "{ boost: null, activity: null, allow: null, deny: null }": "{}",
    "{ activity: { ratings: Float32Array.of(1) } }": "{ activity: { ratings: [1] } }",
    "{ activity: { ratings: [undefined] } }": "{ activity: { ratings: [null] } }",
}
OPEN = """const { readArtifact, Recommender } = await import("on-device-recommender-client");
    const recommender = await Recommender.open(await readArtifact("model/"), "runtime/@litertjs/core/wasm/");"""


def test_invalid_options_are_an_error(page: Any) -> None:
    calls = ", ".join(f"recommender.recommend(['1002'], {options})" for options in INVALID)
    outcomes = page.evaluate(f"""async () => {{
        {OPEN}
        return (await Promise.allSettled([{calls}])).map(({{ reason }}) => `${{reason?.name}}: ${{reason?.message}}`);
    }}""")
    assert outcomes == [f"Problem: {message}" for message in INVALID.values()]


def test_missing_options_and_typed_arrays_are_accepted(page: Any) -> None:
    answers = page.evaluate(f"""async () => {{
        {OPEN}
        const answer = async (options) => (await recommender.recommend(["1002"], options)).map(({{ id }}) => id);
        return Promise.all([{", ".join(f"answer({options})" for pair in VALID.items() for options in pair)}]);
    }}""")
    assert answers[::2] == answers[1::2] and all(answers)
