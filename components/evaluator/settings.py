"""Settings of the Evaluator's gate."""

from pydantic import Field

from components.settings import Settings


class GateSettings(Settings):
    """What a model must reach on the test split to be blessed.

    Attributes:
        min_recall_at_10: the least Recall@10.
        min_lift_over_popularity: the least ratio of the model's Recall@10 to the popularity list's.
        max_regression: how much of the last blessed model's Recall@10 may be lost, as a share of it.
    """

    min_recall_at_10: float = Field(0.05, ge=0, le=1)
    min_lift_over_popularity: float = Field(1.5, ge=0)
    max_regression: float = Field(0.02, ge=0, le=1)
