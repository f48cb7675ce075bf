"""The pushed JSON files match the schemas that the client publishes for authors of apps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from on_device import artifact

jsonschema = pytest.importorskip("jsonschema")

SCHEMAS = Path(artifact.__file__).parent / "schemas"


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def validator(name: str) -> Any:
    schema = read(SCHEMAS / f"{name}.schema.json")
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def test_pushed_files_match_the_schemas(pushed_once: Path) -> None:
    for name in ("items", "model_info"):
        validator(name).validate(read(pushed_once / f"{name}.json"))


def test_the_schemas_require_exactly_the_written_keys(pushed_once: Path) -> None:
    info, schema = read(pushed_once / artifact.INFO), read(SCHEMAS / "model_info.schema.json")
    assert set(schema["required"]) == set(schema["properties"]) == set(info)
    for name in ("mlmd", "data", "sha256", "metrics"):
        assert set(schema["properties"][name]["required"]) == set(info[name])
    for scores in info["metrics"].values():
        assert set(schema["$defs"]["scores"]["required"]) == set(scores)
    (item, *_) = read(pushed_once / artifact.ITEMS)["items"]
    assert set(read(SCHEMAS / "items.schema.json")["$defs"]["item"]["required"]) == set(item) - {"count"}


PRECISION = {
    "precision": "int8_tables",
    "size_bytes": 1000,
    "latency_us": 12.5,
    "latency_without_xnnpack_us": 50.0,
    "recall_at_10": 0.3,
    "agreement_at_10": 0.99,
    "chosen": True,
}


def test_newer_pushers_may_add_keys(pushed_once: Path) -> None:
    info = read(pushed_once / artifact.INFO)
    info["data"]["licence"] = "unknown"
    validator("model_info").validate({**info, "precision": "int8_tables", "precisions": [PRECISION], "colour": "blue"})


@pytest.mark.parametrize(
    ("changed", "location"),
    [
        ({"format": 3}, "format"),
        ({"version": 1}, "version"),
        ({"precision": "int4"}, "precision"),
        ({"history_length": 0}, "history_length"),
        ({"top_k": "10"}, "top_k"),
        ({"activity_features": "rating"}, "activity_features"),
        ({"sha256": {"model.tflite": "0" * 64, "items.json": "0" * 63}}, "sha256/items.json"),
        ({"sha256": {"model.tflite": "0" * 64}}, "sha256"),
        ({"metrics": {}}, "metrics"),
        ({"agreement_at_10": 1.5}, "agreement_at_10"),
        ({"latency_us": 0}, "latency_us"),
        ({"latency_without_xnnpack_us": 0}, "latency_without_xnnpack_us"),
        ({"min_runtime": "2.5"}, "min_runtime"),
        ({"precisions": [{**PRECISION, "chosen": "yes"}]}, "precisions/0/chosen"),
        ({"precisions": [{"precision": "float16"}]}, "precisions/0"),
    ],
)
def test_an_invalid_model_info_does_not_match_the_schema(
    pushed_once: Path, changed: dict[str, Any], location: str
) -> None:
    errors = list(validator("model_info").iter_errors({**read(pushed_once / artifact.INFO), **changed}))
    assert {"/".join(map(str, error.absolute_path)) for error in errors} == {location}


def test_every_key_of_model_info_is_required(pushed_once: Path) -> None:
    info = read(pushed_once / artifact.INFO)
    for name in info:
        assert not validator("model_info").is_valid({key: value for key, value in info.items() if key != name})


@pytest.mark.parametrize(
    "changed", [{"index": 1}, {"id": 7}, {"title": None}, {"genres": "Drama"}, {"year": "1990"}, {"count": -1}]
)
def test_an_invalid_item_does_not_match_the_schema(pushed_once: Path, changed: dict[str, Any]) -> None:
    items = read(pushed_once / artifact.ITEMS)
    items["items"][3].update(changed)
    (error,) = validator("items").iter_errors(items)
    assert list(error.absolute_path) == ["items", 3, *changed]
