"""Settings of the ExampleValidator: how far data may drift from the last run's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from components.settings import Settings


class Limit(Settings):
    """How much of a measure is too much.

    Attributes:
        warn: above it the run goes on and says so; None never warns.
        stop: above it the run stops; None never stops.
    """

    warn: float | None = Field(None, ge=0)
    stop: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _warning_comes_first(self) -> Limit:
        if self.warn is not None and self.stop is not None and self.warn > self.stop:
            raise ValueError(f"warn {self.warn:g} is over stop {self.stop:g}; a warning comes first")
        return self


class ValidationSettings(Settings):
    """Limits on what differs from the data of the last run; `drift.py` says how each is measured.

    The defaults let MovieLens in growing or rolling windows pass with a warning at most, and stop at an export of which
    half is missing or a column is garbled. Where items come and go faster, raise what is about items.

    Attributes:
        stop: whether anything stops the run; false makes warnings of all stops, for a run whose data is known to be
            right.
        interactions_lost: share of the interactions by which there are fewer now.
        users_lost: the same of the users.
        new_items: share of the interactions that are of items which the last run had none of.
        vanished_items: share of the last run's interactions that were of items which have none now.
        item_popularity: Jensen-Shannon divergence of the interactions by item, in bits, less what chance explains:
            0 (the same) to 1 (nothing shared).
        item_features: the same of the interactions by genre, brand or another column of words of the items file; the
            column that changed most counts.
        rating: how far the values of the ratings moved, in standard deviations.
        timeline_length: how much longer or shorter timelines are, in doublings: 1 is twice as long, or half.
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
    def _what_is_not_given_is_the_default(cls, value: Any, info: ValidationInfo) -> Any:
        """`{stop: 0.5}` leaves the warning of a limit as it is."""
        default = cls.model_fields[str(info.field_name)].default
        if isinstance(value, Mapping) and isinstance(default, Limit):
            return {**default.model_dump(), **value}
        return value
