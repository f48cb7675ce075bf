"""Artifact types of this pipeline's own."""

from __future__ import annotations

from typing import Any

from tfx.types.artifact import Artifact


def _text(name: str) -> Any:
    """A property of an artifact that is kept as a custom property."""
    return property(
        lambda artifact: artifact.get_string_custom_property(name),
        lambda artifact, value: artifact.set_string_custom_property(name, value),
    )


def _number(name: str) -> Any:
    """The same for a whole number."""
    return property(
        lambda artifact: artifact.get_int_custom_property(name),
        lambda artifact, value: artifact.set_int_custom_property(name, value),
    )


class ItemCatalog(Artifact):
    """The items and the data: `items.jsonl`, one object a line (id, title, genres, year, features, and the number of
    its interactions in all splits, `ratings`), and `dataset.json` about the data.

    TFX on Kubeflow Pipelines imports the class of a custom artifact by its type name, which it lets have one dot, and
    knows no properties of custom artifacts but custom ones.
    """

    TYPE_NAME = "components.ItemCatalog"

    data_name = _text("data_name")
    data_fingerprint = _text("data_fingerprint")
    ratings = _number("ratings")
    users = _number("users")
    items = _number("items")
