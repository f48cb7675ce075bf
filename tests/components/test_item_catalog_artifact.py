"""The catalogue artifact stores its properties as custom properties, which every runner supports."""

from __future__ import annotations

import re

import pytest

from components.artifacts import ItemCatalog


def test_properties_are_custom_properties() -> None:
    catalog = ItemCatalog()
    catalog.data_name, catalog.ratings = "ring", 99
    assert catalog.get_string_custom_property("data_name") == "ring"
    assert catalog.get_int_custom_property("ratings") == 99
    assert (catalog.data_name, catalog.ratings) == ("ring", 99)
    assert not ItemCatalog.PROPERTIES


def test_unknown_property() -> None:
    with pytest.raises(AttributeError, match="unknown property 'rating'"):
        ItemCatalog().rating = 1


def test_kubeflow_accepts_the_type_name() -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49}", ItemCatalog.TYPE_NAME)
