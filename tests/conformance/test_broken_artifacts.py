"""The Python and the browser client refuse the same broken artifacts, each with one line for people."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from on_device import ArtifactError, Recommender
from tests.conformance.generate import FOLDER

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

READ = """async () => {
    const { readArtifact, Recommender } = await import("on-device-recommender-client");
    try {
        await Recommender.open(await readArtifact("model/"), "runtime/@litertjs/core/wasm/");
        return null;
    } catch ({ name, message }) {
        return { name, message };
    }
}"""
Change = Callable[[dict[str, Any]], Any]


def info(**values: Any) -> tuple[str, Change]:
    """Changes entries of `model_info.json`."""
    return "model_info.json", lambda content: {**content, **values}


def items(change: Change) -> tuple[str, Change]:
    """Changes `items.json`, whose checksum follows."""
    return "items.json", change


def without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != key}


BROKEN = {
    "another format": info(format=3),
    "no format": ("model_info.json", lambda content: without(content, "format")),
    "no checksums": ("model_info.json", lambda content: without(content, "sha256")),
    "a length that is a text": info(history_length="6"),
    "another length": info(history_length=7),
    "another number of answers": info(top_k=19),
    "another number of items": info(num_items=59),
    "no object": ("model_info.json", lambda content: [content]),
    "items of another format": items(lambda content: {**content, "format": 1}),
    "items that are no list": items(lambda content: {**content, "items": {}}),
    "an item less": items(lambda content: {**content, "items": content["items"][:-1]}),
    "an item without a title": items(
        lambda content: {**content, "items": [without(content["items"][0], "title"), *content["items"][1:]]}
    ),
    "items in another order": items(lambda content: {**content, "items": content["items"][::-1]}),
}


def rewrite(folder: Path, name: str, change: Change) -> None:
    """Changes a file of a good version; a changed catalogue gets its checksum."""
    for good in FOLDER.iterdir():
        shutil.copy(good, folder / good.name)
    content = json.dumps(change(json.loads((folder / name).read_text(encoding="utf-8"))))
    (folder / name).write_text(content, encoding="utf-8")
    if name == "items.json":
        about = json.loads((folder / "model_info.json").read_text(encoding="utf-8"))
        about["sha256"][name] = hashlib.sha256(content.encode()).hexdigest()
        (folder / "model_info.json").write_text(json.dumps(about), encoding="utf-8")


def test_a_good_one_is_taken(folder: Path, page: Any) -> None:
    rewrite(folder, *info())
    assert Recommender.load(folder) and page.evaluate(READ) is None


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_refused(name: str, folder: Path, page: Any) -> None:
    rewrite(folder, *BROKEN[name])
    with pytest.raises(ArtifactError):
        Recommender.load(folder)
    refused = page.evaluate(READ)
    assert refused["name"] == "Problem" and "\n" not in refused["message"]
