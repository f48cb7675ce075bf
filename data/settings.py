"""The `data` section of the configuration, which declares how to read a log. Everything else is recognised."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)


class LogColumns(_Section):
    """Column names in the header of the log; column numbers from 1 if it has no header.

    Attributes:
        user: the user or the session.
        item: the item.
        timestamp: the time of the interaction.
        rating: the rating, a number; without this column, each rating is 1.
        event: the kind of the interaction, such as `view` or `purchase`.
    """

    user: str | None = None
    item: str | None = None
    timestamp: str | None = None
    rating: str | None = None
    event: str | None = None


class ItemColumns(_Section):
    """Column names in the header of the items file.

    Attributes:
        item: the id in the log.
        title: the title that users see.
        genres: words that describe the item.
        year: the year of release.
    """

    item: str | None = None
    title: str | None = None
    genres: str | None = None
    year: str | None = None


class ItemsFile(_Section):
    """The items file.

    Attributes:
        path: path or URI; a relative path starts at the folder of the log or at the folder that `--data` names. The
            default is `items.csv`, `movies.csv` or `products.csv` (or `.tsv`) in one of these folders.
        columns: the columns of the items file.
    """

    path: str | None = None
    columns: ItemColumns = ItemColumns()


class Timestamps(_Section):
    """The notation of the timestamps.

    Attributes:
        unit: unit of numbers since 1970-01-01 UTC; `order` for numbers that only order the interactions; `rows` for a
            log without timestamps, whose rows are in order.
        format: `strptime` format of text, such as `%d/%m/%Y %H:%M`.
        zone: time zone of timestamps without one, such as `Europe/Berlin`.
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
            raise ValueError(f"{zone!r} is not a time zone, such as UTC or Europe/Berlin") from None
        return zone

    @model_validator(mode="after")
    def _unit_or_format(self) -> Timestamps:
        if self.unit and self.format:
            raise ValueError("set either unit or format, not both")
        return self


class DataSettings(_Section):
    """Declarations for reading a log. Everything else is recognised from the header and the first rows.

    Attributes:
        columns: columns of the log.
        items: the items file.
        timestamp: the notation of timestamps.
        separator: between the fields of a text file: one or two ASCII characters; `\\t` for a tab.
        header: whether the first row of a text file names the columns.
        missing: words that stand for a missing value, in upper or lower case.
        activity: whether a column named in `trainer.activity_features` holds `words` or `numbers`. By default, a column
            whose first values are all numbers holds numbers. Declare numbers that stand for categories as `words`.
    """

    columns: LogColumns = LogColumns()
    items: ItemsFile = ItemsFile()
    timestamp: Timestamps = Timestamps()
    separator: str | None = None
    header: bool = True
    # Exports write these words for an unknown user or item. As ids they would all be the same user.
    missing: tuple[str, ...] = ("na", "n/a", "<na>", "nan", "none", "null", "(null)", "-")
    activity: dict[str, Literal["words", "numbers", "auto"]] = {}

    @field_validator("separator")
    @classmethod
    def _separator_is_one_character(cls, separator: str | None) -> str | None:
        if separator == "\\t":
            return "\t"
        if separator is not None and not re.fullmatch(r'(?!.*["\r\n])[\x01-\x7f]{1,2}', separator):
            raise ValueError("expected one or two ASCII characters, but no quotation mark or line end; \\t for a tab")
        return separator

    def with_activity(self, names: Sequence[str]) -> DataSettings:
        """Returns the settings for reading these columns, and no others, as activity features."""
        return self.model_copy(update={"activity": {name: self.activity.get(name, "auto") for name in names}})

    @property
    def missing_words(self) -> frozenset[str]:
        """Returns the words for a missing value in lower case, with the empty text."""
        return frozenset({"", *(word.strip().lower() for word in self.missing)})
