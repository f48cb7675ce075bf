"""Settings of the Pusher."""

from typing import Literal

from pydantic import Field

from components.settings import Settings

Precision = Literal["float32", "float16", "dynamic_int8"]


class PusherSettings(Settings):
    """How the file is made, and what it must prove before it is pushed.

    Attributes:
        precision: how the weights are stored in the file.
        min_agreement: the least mean share of the SavedModel's top 10 that the file returns as well.
        max_recall_loss: how much of the SavedModel's Recall@10 the file may lose, as a share of it.
        check_examples: how many test timelines the file is checked with; 0 takes all of them. A part
            of them tests the agreement alone: the Evaluator's Recall@10 is of all.
    """

    precision: Precision = "float16"
    min_agreement: float = Field(0.99, ge=0, le=1)
    max_recall_loss: float = Field(0.01, ge=0, le=1)
    check_examples: int = Field(0, ge=0)
