"""Settings of Transform."""

from typing import Literal

from pydantic import Field

from components.settings import Settings


class TransformSettings(Settings):
    """How timelines become indices.

    Attributes:
        history_length: number of activities, N, that the model sees on the device.
        catalog: which items have an index: `rated`, those with a train event; or `all`, also those without one that
            the Trainer's item features describe, so that they can be recommended. The model that is refitted for the
            push always knows all.
        min_item_count: items with fewer train events, and without features that count, share the unknown index.
    """

    history_length: int = Field(200, ge=1, le=1000)
    min_item_count: int = Field(1, ge=1)
    catalog: Literal["rated", "all"] = "rated"
