"""Artifact types of this pipeline's own."""

from tfx.types.artifact import Artifact, Property, PropertyType


class ItemCatalog(Artifact):
    """The items: `items.jsonl`, one object a line (id, title, genres, year), and `dataset.json` about the data."""

    TYPE_NAME = "components.ItemCatalog"
    PROPERTIES = {
        "data_name": Property(type=PropertyType.STRING),
        "data_fingerprint": Property(type=PropertyType.STRING),
        "ratings": Property(type=PropertyType.INT),
        "users": Property(type=PropertyType.INT),
        "items": Property(type=PropertyType.INT),
    }
