"""Settings of the Pusher."""

from typing import Literal

from pydantic import Field, field_validator

from components.settings import Settings

Precision = Literal["float32", "float16", "int8_tables", "dynamic_int8"]
Signature = Literal["recommend", "similar", "explain"]


class PusherSettings(Settings):
    """How the file is made, and the checks that it must pass before it is pushed.

    Attributes:
        precision: how the weights are stored in the file: `float32`; `float16`; `int8_tables`, the item tables in 8
            bits; `dynamic_int8`, all weights in 8 bits; or `auto`, the smallest of these files that passes the checks.
        max_recall_loss: maximum relative loss of Recall@10: of the file compared with the SavedModel on the test split;
            and, for `auto`, compared with the float32 file on the eval split. On the test split, only a loss of more
            than two standard errors fails the check, because a single timeline of a small split can be more than 1 %.
        min_agreement: minimum mean share of the SavedModel's top 10 that the file also returns.
        check_examples: maximum number of timelines of each split to check files with; 0 uses all. The file's recall is
            compared with the SavedModel's on the same timelines.
        signatures: names of the signatures in the file: `recommend`, which is required; `similar`, similar items; and
            `explain`, the items of the history that led to a recommendation. Fewer signatures make a smaller file.
        item_counts: whether `items.json` contains the number of interactions of each item in training. The model file
            does not contain it, only the order by popularity.
    """

    precision: Precision | Literal["auto"] = "auto"
    max_recall_loss: float = Field(0.01, ge=0, le=1)
    min_agreement: float = Field(0.95, ge=0, le=1)
    check_examples: int = Field(10_000, ge=0)
    signatures: tuple[Signature, ...] = ("recommend", "similar", "explain")
    item_counts: bool = True

    @field_validator("signatures")
    @classmethod
    def _require_recommend(cls, names: tuple[Signature, ...]) -> tuple[Signature, ...]:
        if "recommend" not in names:
            raise ValueError("the signature recommend is required; add it to the list")
        return tuple(dict.fromkeys(names))
