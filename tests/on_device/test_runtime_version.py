"""The client refuses a file that the installed runtime is too old for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from on_device import runtime
from on_device.errors import ArtifactError
from on_device.recommender import Recommender


def ask_for(folder: Path, min_runtime: object) -> None:
    path = folder / "model_info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "min_runtime": min_runtime}), encoding="utf-8")


@pytest.mark.parametrize("min_runtime", [None, "2.5.0", "2.17.0"])
def test_file_for_this_runtime_or_an_older_one_loads(pushed: Path, min_runtime: str | None) -> None:
    ask_for(pushed / "2", min_runtime)
    assert len(Recommender.load(pushed).recommend([], 3)) == 3


def test_file_for_a_newer_runtime_is_refused(pushed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_for(pushed / "2", "2.10.0")
    monkeypatch.setattr(runtime, "runtime_version", lambda: "2.9.1")
    with pytest.raises(ArtifactError, match=r"model\.tflite: needs TensorFlow Lite 2\.10\.0 or newer") as raised:
        Recommender.load(pushed)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("min_runtime", ["new", 2.5, "2.x", ""])
def test_what_is_no_version_is_refused(pushed: Path, min_runtime: object) -> None:
    ask_for(pushed / "2", min_runtime)
    with pytest.raises(ArtifactError, match=r"min_runtime is .*not a version"):
        Recommender.load(pushed)


def test_catalogue_without_counts_works(pushed: Path) -> None:
    import hashlib

    items, info = pushed / "2" / "items.json", pushed / "2" / "model_info.json"
    catalogue = json.loads(items.read_text(encoding="utf-8"))
    for item in catalogue["items"]:
        del item["count"]
    items.write_text(json.dumps(catalogue), encoding="utf-8")
    facts = json.loads(info.read_text(encoding="utf-8"))
    facts["sha256"]["items.json"] = hashlib.sha256(items.read_bytes()).hexdigest()
    info.write_text(json.dumps(facts), encoding="utf-8")

    recommender = Recommender.load(pushed)
    assert len(recommender.recommend([], 3)) == 3
    assert recommender.catalogue.suggest(recommender.items[0].title)[0] == recommender.items[0]
