"""Settings of ExampleGen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.settings import Settings


class ExampleGenSettings(Settings):
    """How interactions become timelines, and timelines become splits.

    Attributes:
        split: `leave_one_out` (test = each user's last item, eval = the one before), `temporal` (one cut in time for
            everyone, so that nothing from the future leaks into training), or `sessions` (the same cut; a user is a
            session, which belongs to one split by the time of its last interaction, and each interaction after its
            first is a target).
        eval_fraction: share of all interactions, by time, between training and test; not for `leave_one_out`.
        test_fraction: share of all interactions, by time, in the test period; not for `leave_one_out`.
        temporal_targets: `first` predicts each user's first item of a period, `all` each of them.
        max_targets_per_user: most targets of a user in a split, drawn with a seed from all of them; None takes all, and
            then the size of the eval and test splits grows with the square of the length of timelines.
        events: the kinds of interactions that count, and the weight of each as a target, such as `{view: 0.2, purchase:
            1.0}`; interactions of other kinds are left out. Empty takes all, with a weight of 1.
        targets: the kinds that are targets, in training and in the tests, such as `[purchase]`; the others stand in
            histories only. Empty takes all.
        min_interactions: users with fewer interactions are left out. An interaction after the end of a split's period
            does not count for that split. Two train the model; `leave_one_out` tests users with three or more.
        max_bad_rows: rows that cannot be read are skipped and counted up to this number; one more stops the run.
    """

    split: Literal["leave_one_out", "temporal", "sessions"] = "leave_one_out"
    eval_fraction: float = Field(0.1, gt=0, lt=0.5)
    test_fraction: float = Field(0.1, gt=0, lt=0.5)
    temporal_targets: Literal["first", "all"] = "all"
    max_targets_per_user: int | None = Field(20, ge=1)
    events: dict[str, Annotated[float, Field(gt=0)]] = {}
    targets: tuple[str, ...] = ()
    min_interactions: int = Field(2, ge=2)
    max_bad_rows: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _targets_are_events(self) -> ExampleGenSettings:
        if self.events and (unknown := [kind for kind in self.targets if kind not in self.events]):
            raise ValueError(
                f"targets names {', '.join(map(repr, unknown))}, which events leaves out; it has "
                f"{', '.join(map(repr, self.events))}"
            )
        return self
