"""Converts timestamps in any usual notation to nanoseconds since 1970-01-01 UTC.

A log has one notation for the entire column, which is declared or recognised from the first rows.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.arrays import as_text, convert_each
from data.errors import DataError
from data.settings import Timestamps

SECOND, DAY = 10**9, 86_400 * 10**9  # ns
# Decimal places from each unit down to 1 ns.
PLACES = {"s": 9, "ms": 6, "us": 3, "ns": 0}
UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "order": "order numbers"}
MAX_NS = 2**63 - 1  # in the year 2262
EXCEL_EPOCH_DAYS = 25_569  # from 1899-12-30, day 0 of Excel, to 1970-01-01
EXCEL_DAYS = (EXCEL_EPOCH_DAYS, 80_000)  # 1970 to 2119
YEARS = (1900, 2100)
# Formats of digits that are a calendar time, by the number of digits.
CALENDARS = {6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}

_ZONED = r"\d[T ]\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)$"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Clock:
    """The notation of the timestamps in a log.

    Attributes:
        kind: a unit of numbers; `order` for numbers that only order the interactions; `rows` for the order of the rows;
            `excel` for days since 1899-12-30; `iso` for ISO 8601; `format` for any other text.
        format: `strptime` format of the kind `format`.
        zone: time zone of timestamps without one.
    """

    kind: Literal["s", "ms", "us", "ns", "order", "rows", "excel", "iso", "format"]
    format: str = ""
    zone: str = "UTC"

    def read(self, column: pa.Array) -> tuple[np.ndarray, dict[int, str]]:
        """Converts timestamps.

        Args:
            column: text, numbers, dates or timestamps [R].

        Returns:
            int64 [R], ns since 1970-01-01 UTC, 0 for bad timestamps; and the reason for each bad timestamp, by row.
            Order numbers count as seconds.
        """
        bad: list[int] = []
        if not len(column):
            return np.empty(0, np.int64), {}
        if pa.types.is_temporal(column.type):
            values = convert_each(column, self._from_times, np.int64, bad)
        elif self.kind in ("iso", "format"):
            column = pc.utf8_trim_whitespace(as_text(column))
            convert = self._from_iso if self.kind == "iso" else self._from_format
            values = convert_each(column, convert, np.int64, bad)
        else:
            values = convert_each(column, self._from_numbers, np.int64, bad)
        reasons = {row: self._reason(str(column[row].as_py() if column[row].is_valid else "").strip()) for row in bad}
        for row in np.flatnonzero(values < 0).tolist():
            reasons[row] = f"timestamp {str(column[row]).strip()!r} is negative, or before 1970"
        return np.where(values < 0, 0, values), reasons

    def _reason(self, text: str) -> str:
        if self.kind == "iso":
            return f"timestamp {text!r} is not an ISO 8601 time"
        if self.kind == "format":
            return f"timestamp {text!r} does not have the format {self.format!r}"
        if not _NUMBER.fullmatch(text):
            return f"timestamp {text!r} is not a number"
        return f"timestamp {text!r} is out of range for {UNITS.get(self.kind, 'days')}"

    def _from_numbers(self, column: pa.Array) -> np.ndarray:
        if self.kind == "excel":
            days = pc.cast(_trimmed(column), pa.float64()).to_numpy(zero_copy_only=False)
            if not ((days >= 0) & (days < MAX_NS // DAY)).all():
                raise pa.ArrowInvalid("out of range")
            # Excel stores milliseconds.
            times = np.rint((days - EXCEL_EPOCH_DAYS) * 86_400_000).astype(np.int64) * 10**6
            return self._in_zone(pa.array(times, pa.timestamp("ns")))
        places = PLACES.get(self.kind, PLACES["s"])
        if column.null_count:
            raise pa.ArrowInvalid("a missing value")
        if pa.types.is_floating(column.type):
            values = column.to_numpy(zero_copy_only=False) * 10.0 ** min(places, 6)
            if not (np.abs(values) < float(MAX_NS) / 10 ** max(0, places - 6)).all():
                raise pa.ArrowInvalid("out of range")
            return np.rint(values).astype(np.int64) * 10 ** max(0, places - 6)
        column = _trimmed(column)
        try:
            return pc.multiply_checked(column.cast(pa.int64()), 10**places).to_numpy()
        except pa.ArrowInvalid:
            if not pa.types.is_string(column.type):
                raise
        # Digits below 1 ns are dropped.
        cut = pc.replace_substring_regex(column, rf"(\.\d{{{places}}})\d+$", r"\1") if places else column
        exact = pc.multiply(cut.cast(pa.decimal128(27, places)), pa.scalar(Decimal(10**places)))
        return exact.cast(pa.int64()).to_numpy()

    def _from_times(self, column: pa.Array) -> np.ndarray:
        if column.null_count:
            raise pa.ArrowInvalid("a missing value")
        if not pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ms")) if pa.types.is_date(column.type) else column
            if not pa.types.is_timestamp(column.type):
                raise pa.ArrowInvalid(f"{column.type} is not a time")
        return self._in_zone(column.cast(pa.timestamp("ns", column.type.tz)))

    def _in_zone(self, column: pa.Array) -> np.ndarray:
        if column.type.tz is None and self.zone != "UTC":
            column = pc.assume_timezone(column, self.zone, ambiguous="earliest", nonexistent="latest")
        return column.cast(pa.int64()).to_numpy()

    def _from_iso(self, column: pa.Array) -> np.ndarray:
        for zone in ("UTC", None):  # PyArrow reads most columns unchanged, which is faster.
            with contextlib.suppress(pa.ArrowInvalid):
                column[:1].cast(pa.timestamp("ns", zone))  # For a long column, an error takes long.
                return self._in_zone(column.cast(pa.timestamp("ns", zone)))
        column = pc.replace_substring_regex(column, r" *(UTC|GMT|[zZ])$", "Z")
        column = pc.replace_substring_regex(column, r"(:\d\S*) +([+-]\d\d(:?\d\d)?)$", r"\1\2")
        column = pc.replace_substring_regex(column, r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3")
        # Digits below 1 ns are dropped; a comma may replace the decimal point.
        column = pc.replace_substring_regex(column, r"(:\d\d)[.,](\d{1,9})\d*", r"\1.\2")
        zoned = pc.match_substring_regex(column, _ZONED)
        if pc.all(zoned).as_py():
            return column.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()
        if not pc.any(zoned).as_py():
            return self._in_zone(column.cast(pa.timestamp("ns")))
        values, mask = np.empty(len(column), np.int64), zoned.to_numpy(zero_copy_only=False)
        values[mask] = self._from_iso(column.filter(zoned))
        values[~mask] = self._from_iso(column.filter(pc.invert(zoned)))
        return values

    def _from_format(self, column: pa.Array) -> np.ndarray:
        if "%f" not in self.format and "%z" not in self.format:
            parsed = pc.strptime(column, self.format, "s", error_is_null=True)
            # `pc.strptime` accepts 30 February, and text after the time.
            if not parsed.null_count and pc.all(pc.equal(pc.strftime(parsed, self.format), column)).as_py():
                return self._in_zone(parsed.cast(pa.timestamp("ns")))
        return np.array([self._from_text(text) for text in column.to_pylist()], np.int64)

    def _from_text(self, text: str) -> int:
        try:
            moment = datetime.strptime(text, self.format)
        except ValueError as error:
            raise pa.ArrowInvalid(str(error)) from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(self.zone))
        since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
        return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1000


def choose_clock(column: pa.Array | None, declared: Timestamps) -> tuple[Clock, list[str]]:
    """Returns the notation of timestamps, and notes about it for the user.

    Args:
        column: the timestamps of the first rows; None if the log has none.
        declared: the setting `data.timestamp`; if it has neither a unit nor a format, the column decides.

    Raises:
        DataError: nothing in the column can be read as a time, or the notation is ambiguous.
    """
    if declared.unit:
        return Clock(declared.unit, zone=declared.zone), []
    if declared.format:
        return Clock("format", declared.format, declared.zone), []
    if column is None or not len(column) or pa.types.is_temporal(column.type):
        return Clock("s" if column is None or not len(column) else "iso", zone=declared.zone), []
    texts = [text.strip() for text in as_text(column).to_pylist()]
    numbers = [text for text in texts if _NUMBER.fullmatch(text)]
    if 2 * len(numbers) <= len([text for text in texts if text]):
        _, bad = Clock("iso", zone=declared.zone).read(pa.array(texts))
        if len(bad) == len(texts) and not numbers:
            raise DataError(
                f"timestamps such as {texts[0]!r} are neither numbers nor ISO 8601 times; declare their format, as in "
                "--set data.timestamp.format='%d/%m/%Y %H:%M'"
            )
        if len(bad) < len(texts) - len(numbers) or not numbers:
            return Clock("iso", zone=declared.zone), []
    return _numeric_clock(numbers, declared.zone)


def _numeric_clock(numbers: list[str], zone: str) -> tuple[Clock, list[str]]:
    values = np.array(numbers, np.float64)
    low, high = values.min(), values.max()
    digits = {len(text) if text.isdecimal() else 0 for text in numbers}
    if len(digits) == 1 and (format_ := CALENDARS.get(digits.pop())):
        bad = Clock("format", format_).read(pa.array(numbers))[1]
        years = {int(text[:4]) for text in numbers}
        if not bad and YEARS[0] <= min(years) and max(years) <= YEARS[1]:
            return Clock("format", format_, zone), [f"timestamps such as {numbers[0]} are read as calendar times"]
    if YEARS[0] <= low and high <= YEARS[1] and all(text.isdecimal() for text in numbers):
        raise DataError(
            f"timestamps {low:.0f} to {high:.0f} look like years, which do not order the interactions within a year; "
            "declare another column with data.columns.timestamp, or data.timestamp.unit=order if they are order numbers"
        )
    if EXCEL_DAYS[0] <= low and high < EXCEL_DAYS[1]:
        return Clock("excel", zone=zone), [f"timestamps such as {numbers[0]} are read as Excel's days since 1899-12-30"]
    if low >= 0 and high < 86_400:
        return Clock("order"), [
            f"timestamps such as {numbers[0]} are within one day of 1970: they are read as order numbers; if they are "
            "times, declare them with data.timestamp"
        ]
    typical = float(np.median(values))
    unit: Literal["s", "ms", "us", "ns"]
    unit = "s" if typical < 1e11 else "ms" if typical < 1e14 else "us" if typical < 1e17 else "ns"
    return Clock(unit, zone=zone), []


def _trimmed(column: pa.Array) -> pa.Array:
    if pa.types.is_large_string(column.type) or pa.types.is_dictionary(column.type):
        column = as_text(column)
    return pc.utf8_trim_whitespace(column) if pa.types.is_string(column.type) else column
