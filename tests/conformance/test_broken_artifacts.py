"""The Python client and the browser client refuse the same broken artifacts with a one-line error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from on_device import ArtifactError, Recommender
from tests.conformance.generate import FOLDER
from tests.on_device.artifacts import change_info

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
    """Returns a change of properties of `model_info.json`."""
    return "model_info.json", lambda content: {**content, **values}


def items(change: Change) -> tuple[str, Change]:
    """Returns a change of `items.json`; the checksum is updated later."""
    return "items.json", change


def without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != key}


BROKEN = {
    "another format": info(format=3),
    "no format": ("model_info.json", lambda content: without(content, "format")),
    "no checksums": ("model_info.json", lambda content: without(content, "sha256")),
    "a length of another type": info(history_length="6"),
    "another length": info(history_length=7),
    "another number of answers": info(top_k=19),
    "another number of items": info(num_items=59),
    "not an object": ("model_info.json", lambda content: [content]),
    "items of another format": items(lambda content: {**content, "format": 1}),
    "items that are not a list": items(lambda content: {**content, "items": {}}),
    "a missing item": items(lambda content: {**content, "items": content["items"][:-1]}),
    "an item without a title": items(
        lambda content: {**content, "items": [without(content["items"][0], "title"), *content["items"][1:]]}
    ),
    "items in another order": items(lambda content: {**content, "items": content["items"][::-1]}),
}


def rewrite(folder: Path, name: str, change: Change) -> None:
    """Copies a valid version and changes one of its files."""
    for file in FOLDER.iterdir():
        shutil.copy(file, folder / file.name)
    content = json.dumps(change(json.loads((folder / name).read_text(encoding="utf-8"))))
    (folder / name).write_text(content, encoding="utf-8")
    if name == "items.json":
        change_info(folder)


def test_a_valid_artifact_is_read(folder: Path, page: Any) -> None:
    rewrite(folder, *info())
    assert Recommender.load(folder) and page.evaluate(READ) is None


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_artifact_is_refused(name: str, folder: Path, page: Any) -> None:
    rewrite(folder, *BROKEN[name])
    with pytest.raises(ArtifactError):
        Recommender.load(folder)
    error = page.evaluate(READ)
    assert error["name"] == "Problem" and "\n" not in error["message"]
