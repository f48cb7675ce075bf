"""Settings of Transform."""

from typing import Literal

from pydantic import Field

from components.settings import Settings


class TransformSettings(Settings):
    """How timelines become indices.

    Attributes:
        history_length: number of activities, N, that the model sees on the device.
        catalog: which items have an index: `rated`, those with a train event; or `all` that the data knows, so that
            an item which nobody has rated yet can be recommended for its features.
        min_item_count: items with fewer train events share the unknown index; `rated` alone.
    """

    history_length: int = Field(200, ge=1, le=1000)
    min_item_count: int = Field(1, ge=1)
    catalog: Literal["rated", "all"] = "rated"
