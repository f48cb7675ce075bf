"""Settings of the Evaluator's gate."""

from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from components.settings import Settings


class GateSettings(Settings):
    """The conditions on the test split for blessing a model, and the baseline that it is compared with.

    Attributes:
        max_users: number of users of the test split to evaluate on, the same sample for all models; 0 uses all. Fewer
            users give larger standard errors: 20,000 users give 0.003 for a Recall@10 of 0.3.
        min_targets: minimum number of targets. With fewer, the result depends more on chance than on the model.
        min_recall_at_10: minimum Recall@10.
        min_lift_over_popularity: minimum ratio of the model's Recall@10 to the popularity list's.
        min_lift_over_markov: minimum ratio of the model's Recall@10 to that of first-order Markov, which recommends the
            items that most often followed the last item in the train split.
        baseline_runs: the baseline is the best of this many models, the last ones that were blessed. The model's
            Recall@10 must not be below the baseline's by more than two standard errors. 0 compares with no baseline.
        baseline_model: a model to use as the baseline instead: its URI, or its id in ML Metadata.
        damaged_baseline: reaction to a damaged or missing baseline: `stop` fails the run, `skip` compares with the next
            best.
        fail_run: whether the Pusher fails the run if the model is not blessed; otherwise the run succeeds without a
            push.
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
    def _max_regression_was_removed(cls, values: Any) -> Any:
        if isinstance(values, dict) and "max_regression" in values:
            raise PydanticCustomError(
                "removed",
                "max_regression was removed: the gate now allows a loss of two standard errors; remove it, or set "
                "baseline_runs to 0 to compare with no earlier model",
            )
        return values
