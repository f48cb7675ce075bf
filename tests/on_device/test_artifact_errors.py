"""An error of a pushed model is one line that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from on_device import ArtifactError, Recommender


def _load_error(path: Path) -> str:
    with pytest.raises(ArtifactError) as raised:
        Recommender.load(path)
    message = str(raised.value)
    assert "\n" not in message
    return message


def _write(path: Path, content: Any) -> None:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def test_load_opens_a_version_or_the_newest_version(pushed: Path) -> None:
    assert Recommender.load(pushed / "1").recommend([], k=1)[0].index == 7
    assert Recommender.load(pushed).recommend([], k=1)[0].index == 2
    assert Recommender.load(str(pushed)).artifact.info["version"] == "2"


def test_a_missing_folder_is_an_error(pushed: Path) -> None:
    assert _load_error(pushed / "3").endswith(
        "films/3: no such folder; it should hold model.tflite, items.json and model_info.json"
    )
    assert "no such folder" in _load_error(pushed / "1" / "model.tflite")


def test_the_folder_above_the_pipelines_is_an_error(pushed: Path) -> None:
    assert _load_error(pushed.parent).endswith(f"holds no pushed model; there are {pushed}")


def test_a_pipeline_without_latest_is_an_error(pushed: Path) -> None:
    (pushed / "latest").unlink()
    assert _load_error(pushed).endswith(f"holds no pushed model; there are {pushed / '1'}, {pushed / '2'}")


@pytest.mark.parametrize("name", ["3", "", "../films/2", "."])
def test_a_missing_version_in_latest_is_an_error(pushed: Path, name: str) -> None:
    _write(pushed / "latest", name)
    assert _load_error(pushed).endswith(f"latest: no version {name!r} in the folder; versions: 1, 2")


@pytest.mark.parametrize("name", ["model.tflite", "items.json"])
def test_a_missing_file_is_an_error(pushed: Path, name: str) -> None:
    (pushed / "2" / name).unlink()
    assert _load_error(pushed).endswith(f"2/{name}: missing; push or copy it again")


def test_an_unreadable_file_is_an_error(pushed: Path) -> None:
    (pushed / "2" / "items.json").unlink()
    (pushed / "2" / "items.json").mkdir()
    assert "items.json: cannot be read (Is a directory)" in _load_error(pushed)


def test_a_folder_that_cannot_be_read_is_an_error(pushed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _load_error(pushed / ("x" * 300)).endswith("x: cannot be read (File name too long)")

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refuse)
    assert _load_error(pushed) == f"{pushed}: cannot be read (Permission denied)"


def test_a_truncated_model_is_an_error(pushed: Path) -> None:
    model = pushed / "2" / "model.tflite"
    model.write_bytes(model.read_bytes()[:100])
    assert "2/model.tflite: not the file that was pushed, or incomplete (100 bytes)" in _load_error(pushed)


def test_items_of_another_version_are_an_error(pushed: Path) -> None:
    _write(pushed / "2" / "items.json", {"format": 2, "items": []})
    assert "2/items.json: not the file that was pushed" in _load_error(pushed)


def test_a_model_with_other_signatures_is_an_error(
    pushed: Path, sign: Callable[..., None], convert: Callable[..., bytes]
) -> None:
    (pushed / "2" / "model.tflite").write_bytes(convert(name="serve"))
    sign()
    assert "not a model file that this client can run (" in _load_error(pushed)


def test_a_model_with_other_tensors_is_an_error(
    pushed: Path, sign: Callable[..., None], convert: Callable[..., bytes]
) -> None:
    (pushed / "2" / "model.tflite").write_bytes(convert(bias="exclude"))
    sign()
    assert "has no tensor 'bias'" in _load_error(pushed)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"history_length": 5}, "model.tflite: history_length is 4, but model_info.json says 5"),
        ({"top_k": 5}, "model.tflite: top_k is 10, but model_info.json says 5"),
        ({"num_items": 13}, "items.json: 12 items, but model_info.json says 13"),
        ({"top_k": "10"}, "model.tflite: top_k is 10, but model_info.json says '10'"),
        ({"num_items": None}, "items.json: 12 items, but model_info.json says None"),
        ({"format": 3}, "model_info.json: format 3, this client reads 2; update the client"),
    ],
)
def test_info_that_contradicts_the_model_is_an_error(
    pushed: Path, sign: Callable[..., None], changes: dict[str, Any], expected: str
) -> None:
    sign(**changes)
    assert expected in _load_error(pushed)


@pytest.mark.parametrize(
    ("content", "expected"),
    [("{", "not JSON (Expecting"), ("[]", "expected a JSON object, found list"), ("{}", "format None")],
)
def test_broken_info_is_an_error(pushed: Path, content: str, expected: str) -> None:
    _write(pushed / "2" / "model_info.json", content)
    assert f"model_info.json: {expected}" in _load_error(pushed)


def test_info_without_checksums_is_an_error(pushed: Path) -> None:
    info = json.loads((pushed / "2" / "model_info.json").read_text(encoding="utf-8"))
    _write(pushed / "2" / "model_info.json", {**info, "sha256": {}})
    assert "model.tflite: not the file that was pushed" in _load_error(pushed)


ITEM = {"index": 2, "id": "a", "title": "A", "genres": [], "year": None, "count": 1}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\udcff", "not JSON"),
        ({"items": [ITEM]}, 'expected {"format": 2, "items": [...]}'),
        ({"format": 2, "items": "A"}, 'expected {"format": 2, "items": [...]}'),
        ({"format": 2, "items": [ITEM, "B"]}, "the entry for index 3 is not an item"),
        ({"format": 2, "items": [{**ITEM, "count": "many"}]}, "the entry for index 2 is not an item"),
        ({"format": 2, "items": [ITEM, ITEM]}, "index 2 where 3 is expected"),
    ],
)
def test_broken_items_are_an_error(pushed: Path, sign: Callable[..., None], content: Any, expected: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (pushed / "2" / "items.json").write_bytes(text.encode(errors="surrogateescape"))
    sign()
    assert f"2/items.json: {expected}" in _load_error(pushed)


def test_a_copied_version_loads_without_its_pipeline(pushed: Path, tmp_path: Path) -> None:
    phone = Path(shutil.copytree(pushed / "2", tmp_path / "phone"))
    shutil.rmtree(pushed)
    assert Recommender.load(phone).recommend([], k=1)[0].title == "Toy Story (1995)"
