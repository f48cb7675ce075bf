"""Settings of the ExampleValidator: the limits on drift from the last run's data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from components.settings import Settings


class Limit(Settings):
    """The limits of one measure.

    Attributes:
        warn: limit above which the run warns and continues; None for no limit.
        stop: limit above which the run stops; None for no limit.
    """

    warn: float | None = Field(None, ge=0)
    stop: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _warn_is_at_most_stop(self) -> Limit:
        if self.warn is not None and self.stop is not None and self.warn > self.stop:
            raise ValueError(f"warn {self.warn:g} is over stop {self.stop:g}; set warn no higher than stop")
        return self


class ValidationSettings(Settings):
    """Limits on the drift from the last run's data; `drift.py` defines the measures.

    With the defaults, MovieLens in growing or rolling windows causes at most a warning, and an export in which half of
    the data is missing or a column is garbled stops the run. If your items change faster, raise the limits on items.

    Attributes:
        stop: whether drift can stop the run; false turns all stops into warnings, for data that is known to be right.
        interactions_lost: relative decrease of the number of interactions.
        users_lost: relative decrease of the number of users.
        new_items: share of the interactions with items that had no interactions in the last run.
        vanished_items: share of the last run's interactions with items that have no interactions now.
        item_popularity: Jensen-Shannon divergence of the interactions by item, in bits, minus its expected value by
            chance: 0 (equal) to 1 (disjoint).
        item_features: the same divergence by genre, brand or another text column of the items file, for the column that
            changed most.
        rating: change of the mean and the standard deviation of the ratings, in earlier standard deviations.
        timeline_length: change of the length of timelines, in doublings: 1 is twice or half as long.
    """

    stop: bool = True
    interactions_lost: Limit = Limit(warn=0.1, stop=0.4)
    users_lost: Limit = Limit(warn=0.1, stop=0.4)
    new_items: Limit = Limit(warn=0.05, stop=0.3)
    vanished_items: Limit = Limit(warn=0.05, stop=0.3)
    item_popularity: Limit = Limit(warn=0.05, stop=0.1)
    item_features: Limit = Limit(warn=0.01, stop=0.1)
    rating: Limit = Limit(warn=0.1, stop=0.3)
    timeline_length: Limit = Limit(warn=0.4, stop=1.0)

    @field_validator("*", mode="before")
    @classmethod
    def _fill_in_defaults(cls, value: Any, info: ValidationInfo) -> Any:
        """Completes a limit with its defaults: `{stop: 0.5}` keeps the default of `warn`."""
        default = cls.model_fields[str(info.field_name)].default
        if isinstance(value, Mapping) and isinstance(default, Limit):
            return {**default.model_dump(), **value}
        return value
