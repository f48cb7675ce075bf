"""The schemas of `items.json` and `model_info.json` are valid and complete, and require what the client needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from on_device import artifact

SCHEMAS = Path(artifact.__file__).parent / "schemas"
NAMES = ("items", "model_info")


def read(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return schema


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Returns the schema and its subschemas that describe objects."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from objects(part)


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_is_valid(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = read(name)
    assert schema["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", NAMES)
def test_every_property_is_described_and_others_are_allowed(name: str) -> None:
    schemas = list(objects(read(name)))
    assert schemas
    for schema in schemas:
        assert schema.get("additionalProperties", True) is True
        properties = schema.get("properties", {})
        assert set(schema.get("required", [])) <= set(properties)
        assert all(value.get("description") for value in properties.values())


def test_properties_that_the_client_needs_are_required() -> None:
    info, items = read("model_info"), read("items")
    assert {"format", "history_length", "top_k", "num_items", "sha256"} <= set(info["required"])
    assert set(info["properties"]["sha256"]["required"]) == {artifact.MODEL, artifact.ITEMS}
    assert info["properties"]["format"]["const"] == items["properties"]["format"]["const"] == artifact.FORMAT
    item = items["$defs"]["item"]
    assert {*item["required"], "count"} == set(artifact.Item.__dataclass_fields__)
    assert item["properties"]["index"]["minimum"] == artifact.FIRST_INDEX


def test_catalogue_matches_its_schema(pushed_once: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    items = json.loads((pushed_once / "2" / "items.json").read_text(encoding="utf-8"))
    jsonschema.validate(items, read("items"))
