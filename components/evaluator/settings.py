"""Settings of the Evaluator's gate."""

from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from components.settings import Settings


class GateSettings(Settings):
    """What a model must reach on the test split to be blessed, and which model it is compared with.

    Attributes:
        max_users: how many users of the test split, drawn once for all models, are ranked; 0 ranks all. Standard errors
            grow as the number falls: that of a Recall@10 of 0.3 is 0.003 with 20,000 users.
        min_targets: the least number of targets. Below it, chance decides more than the model.
        min_recall_at_10: the least Recall@10.
        min_lift_over_popularity: the least ratio of the model's Recall@10 to the popularity list's.
        min_lift_over_markov: the least ratio of the model's Recall@10 to that of first-order Markov, what followed the
            last item in the train split.
        baseline_runs: among how many of the last blessed models the best is looked for, which the model must not be
            below beyond chance; 0 compares with none.
        baseline_model: a model to compare with instead: its URI, or its id in ML Metadata.
        damaged_baseline: with a damaged or missing model to compare with, `stop` fails the run, and `skip` compares
            with the next best.
        fail_run: whether a model that is not blessed fails the run, in the Pusher; otherwise the run ends well, and
            pushes nothing.
    """

    max_users: int = Field(0, ge=0)
    min_targets: int = Field(100, ge=0)
    min_recall_at_10: float = Field(0.05, ge=0, le=1)
    min_lift_over_popularity: float = Field(1.5, ge=0)
    min_lift_over_markov: float = Field(1.0, ge=0)
    baseline_runs: int = Field(5, ge=0, le=50)
    baseline_model: str = Field("", coerce_numbers_to_str=True)
    damaged_baseline: Literal["stop", "skip"] = "stop"
    fail_run: bool = False

    @model_validator(mode="before")
    @classmethod
    def _regression_is_beyond_chance(cls, values: Any) -> Any:
        if isinstance(values, dict) and "max_regression" in values:
            raise PydanticCustomError(
                "removed",
                "max_regression is gone, because the gate now allows what chance explains, two standard errors; "
                "remove it, or set baseline_runs to 0 to compare with no earlier model",
            )
        return values
