"""The type of the catalogue artifact is one that every runner supports."""

from __future__ import annotations

import re

from components.artifacts import ItemCatalog


def test_kubeflow_accepts_the_type_of_the_item_catalogue() -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49}", ItemCatalog.TYPE_NAME)
    assert not ItemCatalog.PROPERTIES
