"""Interactions as columns: checks the values of a log, converts them, and gives the reason for each bad row."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.arrays import as_text, convert_each
from data.dataset import ACTIVITY, EVENT, ITEM, RATING, TIMESTAMP, USER, WORDS, Log
from data.errors import DataError

MIN_RATING, MAX_RATING = 0.5, 5.0  # in every published MovieLens dataset
DEFAULT_RATING = 1.0  # for a log without ratings
MAX_ID_BYTES = 1000
_DIGITS = re.compile("[0-9]+")


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read.

    Attributes:
        file: name of the file.
        row: line number in a text file or row number in a Parquet file, from 1.
        text: the text of the row.
        reason: why the row cannot be read.
        is_line: whether `row` counts lines.
    """

    file: str
    row: int
    text: str
    reason: str
    is_line: bool = True

    def describe(self) -> str:
        """Returns one line with the place, the reason and the start of the text."""
        return f"{self.file}, {'line' if self.is_line else 'row'} {self.row}: {self.reason}: {self.text[:80]!r}"


@dataclass(frozen=True)
class Interactions:
    """Interactions in the order of the log.

    Attributes:
        table: the columns of `R` interactions: `user` and `item`, dictionaries of `pa.string()`; `rating`, float32;
            `timestamp`, int64, nanoseconds since 1970-01-01 UTC; `position`, int64, which increases through the log,
            also from one chunk to the next; `event`, `pa.string()`, if the log has such a column; and the activity
            features, with the prefix `ACTIVITY`: `pa.string()`, empty if missing, or `pa.float32()`, NaN if missing.
        bad_rows: rows that were left out.
    """

    table: pa.Table
    bad_rows: tuple[BadRow, ...] = ()

    def __len__(self) -> int:
        return len(self.table)


@dataclass(frozen=True)
class RawColumns:
    """Columns of a block of a file, not yet converted.

    Attributes:
        columns: arrays [R] by the project's column names.
        lines: int64 [R], the place of each row in the block, from 0.
        bad: place and reason of each row that could not be split into columns.
    """

    columns: dict[str, pa.Array]
    lines: np.ndarray
    bad: list[tuple[int, str]]


def convert(log: Log, raw: RawColumns, first_position: int) -> tuple[pa.Table, list[tuple[int, str]]]:
    """Converts raw columns to interactions.

    Args:
        log: the log.
        raw: columns of a block.
        first_position: position of the block's first row.

    Returns:
        The table of the interactions, and the sorted places and reasons of all bad rows of the block.

    Raises:
        DataError: a column holds neither text nor numbers nor times.
    """
    rows = len(raw.lines)
    reasons: dict[int, str] = {}  # by row
    path = log.files[first_position >> 40].path  # see `data.readers._position`
    values = plain_columns(log, raw.columns, path)
    columns = {name: _ids(log, values[name], name, reasons) for name in (USER, ITEM)}
    columns[RATING] = np.full(rows, DEFAULT_RATING, np.float32)
    if RATING in values:
        columns[RATING] = _ratings(log, values[RATING], reasons)
    columns[TIMESTAMP] = np.zeros(rows, np.int64)
    if TIMESTAMP in values:
        columns[TIMESTAMP], timestamp_reasons = log.clock.read(values[TIMESTAMP])
        reasons = {**timestamp_reasons, **reasons}
    columns["position"] = first_position + raw.lines
    if EVENT in values:
        columns[EVENT] = pc.utf8_trim_whitespace(as_text(values[EVENT]))
    for name in log.activity:
        columns[ACTIVITY + name] = _feature(log, values[ACTIVITY + name], name, reasons)
    bad = sorted([*raw.bad, *((int(raw.lines[row]), reason) for row, reason in reasons.items())])
    kept = np.ones(rows, bool)
    kept[list(reasons)] = False
    table = pa.table(columns)
    return table.filter(pa.array(kept)) if reasons else table, bad


def plain_columns(log: Log, columns: dict[str, pa.Array], path: str) -> dict[str, pa.Array]:
    """Returns columns of text, numbers or times unchanged, and columns of bytes as text.

    Args:
        log: the log.
        columns: arrays by the project's column names.
        path: path of their file, for the error.

    Raises:
        DataError: a column holds lists, objects, or bytes that are not UTF-8.
    """
    plain = dict(columns)
    for name, column in columns.items():
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_primitive(kind) or pa.types.is_string(kind) or pa.types.is_decimal(kind):
            continue
        try:
            plain[name] = as_text(column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            role = name.removeprefix(ACTIVITY)
            setting = "trainer.activity_features" if name.startswith(ACTIVITY) else f"data.columns.{role}"
            raise DataError(
                f"{path}: the column {log.columns[name]!r}, read as {role}, holds {column.type}, which is neither text "
                f"nor numbers nor times; convert it to text, or name another column in {setting}"
            ) from None
    return plain


def as_words(log: Log, column: pa.Array) -> pa.Array:
    """Returns a column as `pa.string()` without surrounding white space; missing values are empty."""
    encoded = as_text(column).dictionary_encode()
    words = [word.strip() for word in encoded.dictionary.to_pylist()]
    known = ["" if word.lower() in log.missing else word for word in words]
    return pa.array(known, pa.string()).take(encoded.indices)


def _ids(log: Log, column: pa.Array, name: str, reasons: dict[int, str]) -> pa.DictionaryArray:
    encoded = as_text(column).dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    ids = [text.strip() for text in texts]
    problems = {code: problem for code, id_ in enumerate(ids) if (problem := _id_problem(log, id_))}
    if problems:
        codes = encoded.indices.to_numpy()
        for row in np.flatnonzero(np.isin(codes, list(problems))).tolist():
            id_ = ids[codes[row]]
            reasons.setdefault(row, f"{name} id {id_[:80]!r} {problems[codes[row]]}" if id_ else f"no {name} id")
    if ids != texts:
        encoded = pa.array(ids, pa.string()).take(encoded.indices).dictionary_encode()
    return encoded


def _id_problem(log: Log, id_: str) -> str:
    """Returns why a text cannot be an id of a user or an item; empty if it can."""
    if id_.lower() in log.missing:
        return "stands for a missing value"
    if log.movielens and not _DIGITS.fullmatch(id_):
        return "is not a number"
    if len(id_) * 4 > MAX_ID_BYTES and len(id_.encode()) > MAX_ID_BYTES:
        return f"is longer than {MAX_ID_BYTES:,} bytes"
    if "\n" in id_ or "\r" in id_:
        return "has a line break"
    return ""


def _feature(log: Log, column: pa.Array, name: str, reasons: dict[int, str]) -> pa.Array:
    """Returns the values of an activity feature: `pa.string()` [R] or `pa.float32()` [R]."""
    words = as_words(log, column)
    if log.activity[name] == WORDS:
        return words
    numbers = np.full(len(words), np.nan, np.float32)
    known = np.flatnonzero(pc.not_equal(words, "").to_numpy(zero_copy_only=False))
    if len(known):
        bad: list[int] = []
        with np.errstate(over="ignore"):
            numbers[known] = convert_each(words.take(pa.array(known)), _as_floats, np.float64, bad)
        for row in known[bad].tolist():
            reasons.setdefault(row, f"{name} {words[row].as_py()[:80]!r} is not a number")
        for row in np.flatnonzero(np.isinf(numbers)).tolist():
            reasons.setdefault(row, f"{name} {words[row].as_py()[:80]!r} is not a finite number")
    return pa.array(numbers, pa.float32(), from_pandas=False)


def _ratings(log: Log, column: pa.Array, reasons: dict[int, str]) -> np.ndarray:
    bad: list[int] = []
    texts = as_text(column) if pa.types.is_dictionary(column.type) else column
    if pa.types.is_string(texts.type):
        texts = pc.utf8_trim_whitespace(texts)
    values = convert_each(texts, _as_floats, np.float64, bad) if len(texts) else np.empty(0, np.float64)
    with np.errstate(over="ignore"):
        ratings = values.astype(np.float32)
    outside = ~np.isfinite(ratings)
    if log.movielens:
        outside |= (ratings < MIN_RATING) | (ratings > MAX_RATING)
    for row in sorted({*bad, *np.flatnonzero(outside).tolist()}):
        text = repr(str(texts[row].as_py() if texts[row].is_valid else ""))
        if row in bad:
            reason = f"rating {text} is not a number"
        elif not np.isfinite(ratings[row]):
            reason = f"rating {text} is not a finite number"
        else:
            reason = f"rating {text} is outside {MIN_RATING:g} to {MAX_RATING:g}"
        reasons.setdefault(row, reason)
    return ratings


def _as_floats(column: pa.Array) -> np.ndarray:
    if column.null_count:
        raise pa.ArrowInvalid("a missing value")
    values: np.ndarray = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values
