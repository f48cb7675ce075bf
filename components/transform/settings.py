"""Settings of Transform."""

from pydantic import Field

from components.settings import Settings


class TransformSettings(Settings):
    """How timelines become indices.

    Attributes:
        history_length: number of items, N, that the model sees on the device.
        min_item_count: items with fewer train events share the unknown index.
        genres_per_item: how many genres of an item are kept.
    """

    history_length: int = Field(200, ge=1, le=1000)
    min_item_count: int = Field(1, ge=1)
    genres_per_item: int = Field(6, ge=1, le=32)
