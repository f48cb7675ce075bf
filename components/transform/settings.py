"""Settings of Transform."""

from typing import Literal

from pydantic import Field

from components.settings import Settings


class TransformSettings(Settings):
    """How items get indices and timelines become histories.

    Attributes:
        history_length: number of activities, N, that the model reads on the device.
        catalog: which items the vocabulary contains, so that they can be recommended: `rated`, items with train events;
            or `all`, also items without train events that have a value of the Trainer's item features. The vocabulary
            of the refitted model always contains all of them.
        min_item_count: minimum number of train events of an item in the vocabulary. Items with fewer share the index of
            unknown items, unless `catalog: all` includes them for their features.
    """

    history_length: int = Field(200, ge=1, le=1000)
    min_item_count: int = Field(1, ge=1)
    catalog: Literal["rated", "all"] = "rated"
