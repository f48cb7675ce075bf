"""Settings of ExampleGen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.settings import Settings


class ExampleGenSettings(Settings):
    """How interactions become timelines, and timelines become splits.

    Attributes:
        split: `leave_one_out` (the test target is each user's last item, the eval target the one before), `temporal`
            (the same cuts in time for all users, so that training sees nothing from the future), or `sessions` (the
            same cuts; each user is a session, which belongs to the split of its last interaction, and each interaction
            after the first is a target).
        eval_fraction: share of all interactions in the period between training and test; not for `leave_one_out`.
        test_fraction: share of all interactions in the test period; not for `leave_one_out`.
        temporal_targets: the targets of a user in a period: `first`, the first item, or `all` items.
        max_targets_per_user: maximum number of targets of a user in a split, sampled with a fixed seed. None uses all
            targets; the size of the eval and test splits then grows with the square of the length of timelines.
        events: the kinds of interactions to use, with the weight of each as a target, such as `{view: 0.2, purchase:
            1.0}`. If empty, all kinds are used with a weight of 1.
        targets: the kinds of interactions that can be targets, in training and evaluation, such as `[purchase]`; other
            kinds only occur in histories. If empty, all kinds can be targets.
        min_interactions: minimum number of a user's interactions up to the end of a split's period; the split leaves
            out other users. Training needs two; evaluation with `leave_one_out` needs three.
        max_bad_rows: maximum number of unreadable rows. They are skipped and counted; if there are more, the run stops.
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
                f"targets names {', '.join(map(repr, unknown))}, which events does not contain; it contains "
                f"{', '.join(map(repr, self.events))}"
            )
        return self
