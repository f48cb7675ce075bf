"""Settings of the Pusher."""

from typing import Literal

from pydantic import Field, field_validator

from components.settings import Settings

Precision = Literal["float32", "float16", "int8_tables", "dynamic_int8"]
Signature = Literal["recommend", "similar", "explain"]


class PusherSettings(Settings):
    """How the file is made, and what it must prove before it is pushed.

    Attributes:
        precision: how the weights are stored in the file: `float32`; `float16`; `int8_tables`, the item tables in 8
            bits; `dynamic_int8`, all weights in 8 bits; or `auto`, the smallest file of these that is good enough.
        max_recall_loss: how much of the SavedModel's Recall@10 on the test split the file may lose, as a share of it;
            and of the float32 file's on the eval split, for `auto` to choose it. On the test split the loss must also
            be beyond chance, two standard errors: in a small split one timeline is more than a hundredth.
        min_agreement: the least mean share of the SavedModel's top 10 that the file returns as well.
        check_examples: most timelines of each split that files are checked with; 0 takes all of them. The file's recall
            is compared with the SavedModel's for the same timelines.
        signatures: names of what the file computes: `recommend`, which every file has, and `similar` items and
            `explain`, the items of a history that led to a recommendation. An app that uses fewer has a smaller file.
        item_counts: whether `items.json` says how often each item was chosen in training. The model file does not: it
            knows the order of popularity, no counts.
    """

    precision: Precision | Literal["auto"] = "auto"
    max_recall_loss: float = Field(0.01, ge=0, le=1)
    min_agreement: float = Field(0.95, ge=0, le=1)
    check_examples: int = Field(10_000, ge=0)
    signatures: tuple[Signature, ...] = ("recommend", "similar", "explain")
    item_counts: bool = True

    @field_validator("signatures")
    @classmethod
    def _with_recommend(cls, names: tuple[Signature, ...]) -> tuple[Signature, ...]:
        if "recommend" not in names:
            raise ValueError("every file has the signature recommend; add it to the list")
        return tuple(dict.fromkeys(names))
