"""The artifact type of this pipeline."""

from __future__ import annotations

from typing import Any

from tfx.types.artifact import Artifact


def _text(name: str) -> Any:
    """Returns a text property that is stored as a custom property of the artifact."""
    return property(
        lambda artifact: artifact.get_string_custom_property(name),
        lambda artifact, value: artifact.set_string_custom_property(name, value),
    )


def _number(name: str) -> Any:
    """Returns an integer property that is stored as a custom property of the artifact."""
    return property(
        lambda artifact: artifact.get_int_custom_property(name),
        lambda artifact, value: artifact.set_int_custom_property(name, value),
    )


class ItemCatalog(Artifact):
    """The catalogue of items, and facts about the data.

    `items.jsonl` has one object per line: `id`, `title`, `genres`, `year`, `features` and `ratings`, the number of its
    interactions in all splits. `dataset.json` describes the data.

    TFX on Kubeflow Pipelines imports the class of a custom artifact by its type name, which may contain only one dot,
    and supports only custom properties for it.
    """

    TYPE_NAME = "components.ItemCatalog"

    data_name = _text("data_name")
    data_fingerprint = _text("data_fingerprint")
    ratings = _number("ratings")
    users = _number("users")
    items = _number("items")
