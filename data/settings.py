"""The `data` section of the configuration: how a log is to be read. What is not declared is recognised."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)


class LogColumns(_Section):
    """Names of the columns of the log, as its header spells them; numbers from 1 where it has no header.

    Attributes:
        user: the user, or the session.
        item: the item.
        timestamp: when it happened.
        rating: a value of the interaction.
        event: the kind of the interaction, such as `view` or `purchase`.
    """

    user: str | None = None
    item: str | None = None
    timestamp: str | None = None
    rating: str | None = None
    event: str | None = None


class ItemColumns(_Section):
    """Names of the columns of the items file.

    Attributes:
        item: the id, as the log has it.
        title: for people.
        genres: words that describe the item.
        year: of its release.
    """

    item: str | None = None
    title: str | None = None
    genres: str | None = None
    year: str | None = None


class ItemsFile(_Section):
    """The items file.

    Attributes:
        path: path or URI; relative to the folder of the log. By default the file beside the log that is named so.
        columns: its columns.
    """

    path: str | None = None
    columns: ItemColumns = ItemColumns()


class Timestamps(_Section):
    """How the timestamps are written.

    Attributes:
        unit: of numbers since 1970-01-01 UTC; `order` where numbers only order the interactions; `rows` where the log
            has no timestamps, and the order of its rows is the order.
        format: of text, as `strptime` takes it, such as `%d/%m/%Y %H:%M`.
        zone: of times that name none, such as `Europe/Berlin`.
    """

    unit: Literal["s", "ms", "us", "ns", "order", "rows"] | None = None
    format: str | None = None
    zone: str = "UTC"

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        try:
            zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{zone!r} is no time zone, such as UTC or Europe/Berlin") from None
        return zone

    @model_validator(mode="after")
    def _unit_or_format(self) -> Timestamps:
        if self.unit and self.format:
            raise ValueError("takes a unit of numbers or a format of text, not both")
        return self


class DataSettings(_Section):
    """How a log is to be read. What is not declared is recognised from the header and the first rows.

    Attributes:
        columns: of the log.
        items: the items file.
        timestamp: how timestamps are written.
        separator: between the fields of a text file.
        header: whether the first row of a text file names the columns.
        missing: words that stand for a missing value, in any case.
        activity: whether a column that `trainer.activity_features` names holds `words` or `numbers`. A column whose
            first values are all numbers holds numbers; numbers that stand for categories are declared as `words`.
    """

    columns: LogColumns = LogColumns()
    items: ItemsFile = ItemsFile()
    timestamp: Timestamps = Timestamps()
    separator: str | None = Field(None, min_length=1, max_length=2)
    header: bool = True
    # Words that exports write where there is no user or item. As ids they would all be one user.
    missing: tuple[str, ...] = ("na", "n/a", "<na>", "nan", "none", "null", "(null)", "-")
    activity: dict[str, Literal["words", "numbers", "auto"]] = {}

    def with_activity(self, names: Sequence[str]) -> DataSettings:
        """Returns the settings for reading these columns, and no others, as features of activities."""
        return self.model_copy(update={"activity": {name: self.activity.get(name, "auto") for name in names}})

    @property
    def missing_words(self) -> frozenset[str]:
        """Returns the words for a missing value in lower case, with the empty one."""
        return frozenset({"", *(word.strip().lower() for word in self.missing)})
