"""Settings of ExampleGen."""

from typing import Literal

from pydantic import Field

from components.settings import Settings


class ExampleGenSettings(Settings):
    """How ratings become timelines, and timelines become splits.

    Attributes:
        split: `leave_one_out` (test = each user's last item, eval = the one before) or `temporal` (one cut in time for
            everyone, so that nothing from the future leaks into training).
        eval_fraction: share of all ratings, by time, between training and test; `temporal` alone.
        test_fraction: share of all ratings, by time, after which the test period starts; `temporal` alone.
        temporal_targets: `first` predicts each user's first item of a period, `all` each of them.
        min_ratings: users with fewer ratings are left out of every split.
        max_bad_rows: rows that cannot be read are skipped and counted up to this number; one more stops the run.
    """

    split: Literal["leave_one_out", "temporal"] = "leave_one_out"
    eval_fraction: float = Field(0.1, gt=0, lt=0.5)
    test_fraction: float = Field(0.1, gt=0, lt=0.5)
    temporal_targets: Literal["first", "all"] = "first"
    min_ratings: int = Field(3, ge=3)
    max_bad_rows: int = Field(0, ge=0)
