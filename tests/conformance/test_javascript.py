"""The browser client answers every question of the conformance suite, in Chromium."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from on_device.artifact import open_artifact
from on_device.demo.runtime import find_runtime
from on_device.demo.server import DemoServer, make_site
from on_device.errors import ArtifactError
from tests.conformance.answers import compare, read_vectors
from tests.conformance.generate import FOLDER

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
    // All at once: calls wait for each other.
    return Promise.all(vectors.map((vector) => ask(vector).catch(failed)));
}"""


@pytest.fixture
def address() -> Iterator[str]:
    try:
        server = DemoServer(make_site(open_artifact(FOLDER), find_runtime()))
    except ArtifactError as error:
        pytest.skip(f"no LiteRT.js: {error}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.url
    server.shutdown()
    server.server_close()
    thread.join()


def test_every_answer(address: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("#demo[aria-busy=false]")
    vectors = read_vectors()
    answers = page.evaluate(ASK, vectors)
    page.close()
    compare(vectors, answers)
