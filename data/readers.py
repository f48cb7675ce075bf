"""Reads the interactions of a log, a bounded number of rows at a time.

PyArrow reads columns. Only where it finds trouble are lines read one by one, to report which are bad and why.
"""

from __future__ import annotations

import csv
import functools
import io
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json
import pyarrow.parquet as pq
from pyarrow import csv as pa_csv

from data.arrays import as_text, convert_each
from data.dataset import ACTIVITY, EVENT, ITEM, RATING, TIMESTAMP, USER, WORDS, Log
from data.errors import DataError
from data.files import DataFile, open_file, open_stream, read_bytes

MIN_RATING, MAX_RATING = 0.5, 5.0  # of every published MovieLens
DEFAULT_RATING = 1.0  # where a log has no ratings
BLOCK_BYTES = 8 << 20
BATCH_ROWS = 1 << 18
HEAD_BYTES, HEAD_ROWS = 1 << 14, 2000
MAX_ID_BYTES = 1000
# PyArrow splits at one byte; this one stands for separators of two.
ONE_BYTE = b"\x01"
SEPARATORS = ("::", "\t", ",", ";", "|")
_NUMBER = re.compile("[0-9]+")


@dataclass(frozen=True)
class Unit:
    """A piece of a file that one worker reads.

    Attributes:
        file: the file.
        number: of the file among those of the log.
        start: first byte of text, or first row group of Parquet.
        stop: where the next unit starts; None for a compressed file, which is read to its end.
        first_row: rows of the file before a row group.
        names: the columns of the file, in its order.
    """

    file: DataFile
    number: int
    start: int
    stop: int | None
    first_row: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read.

    Attributes:
        file: name of the file.
        row: its line in a text file, from 1; its row in a Parquet file, from 1.
        text: its text.
        reason: why it cannot be read.
        is_line: whether `row` counts lines.
    """

    file: str
    row: int
    text: str
    reason: str
    is_line: bool = True

    def describe(self) -> str:
        """Returns the bad row in words."""
        return f"{self.file}, {'line' if self.is_line else 'row'} {self.row}: {self.reason}: {self.text[:80]!r}"


@dataclass(frozen=True)
class Interactions:
    """Columns of `R` interactions in the order of the log.

    Attributes:
        user: dictionary of `pa.string()` [R].
        item: dictionary of `pa.string()` [R].
        rating: float32 [R].
        timestamp: int64 [R], nanoseconds since 1970-01-01 UTC.
        position: int64 [R], rises through the log, also from one chunk to the next.
        bad_rows: rows that were left out.
        event: `pa.string()` [R]; None where the log has no such column.
        activity: the features of activities by name, `pa.string()` [R], empty where missing, or `pa.float32()` [R], NaN
            where missing.
    """

    user: pa.DictionaryArray
    item: pa.DictionaryArray
    rating: np.ndarray
    timestamp: np.ndarray
    position: np.ndarray
    bad_rows: tuple[BadRow, ...] = ()
    event: pa.Array | None = None
    activity: dict[str, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class _Raw:
    """Columns as they stand in a block; `lines` are their places in it, and `bad` those that have no columns."""

    columns: dict[str, pa.Array]
    lines: np.ndarray
    bad: list[tuple[int, str]]


def units_of(log: Log, number: int, block_bytes: int = BLOCK_BYTES) -> list[Unit]:
    """Cuts a file of a log into units; together they hold every row once.

    Args:
        log: the log.
        number: of the file among those of the log.
        block_bytes: of text, about.

    Raises:
        DataError: the file lacks a column.
    """
    file = log.files[number]
    names, start = _names_of(log, file)
    if log.kind == "parquet":
        with open_file(file.path) as source:
            metadata = pq.ParquetFile(source).metadata
            rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        before = list(itertools.accumulate([0, *rows]))
        return [Unit(file, number, group, group + 1, before[group], names) for group in range(len(rows)) if rows[group]]
    if file.compression:
        return [Unit(file, number, start, None, 0, names)]
    edges = [*range(start, file.size, block_bytes), file.size] if file.size > start else []
    return [Unit(file, number, first, last, 0, names) for first, last in itertools.pairwise(edges)]


def read_unit(log: Log, unit: Unit) -> Iterator[Interactions]:
    """Reads the interactions of a unit, in chunks of a bounded size.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        if log.kind == "parquet":
            yield from _read_row_group(log, unit)
            return
        lines_before: int | None = 0 if unit.stop is None else None
        if unit.stop is None and log.header and log.kind == "text":
            lines_before = 1
        for start, content in _blocks(unit):
            raw = _text_columns(log, unit.names, content) if log.kind == "text" else _json_columns(log, content)
            count = functools.partial(_lines_before, unit, start) if lines_before is None else lines_before
            yield _convert(log, raw, unit, start, content, count)
            if lines_before is not None:
                lines_before += content.count(b"\n")
    except (OSError, EOFError) as error:
        raise DataError(f"{unit.file.path}: cannot be read ({next(iter(str(error).splitlines()), error)})") from None


def read_head(log: Log) -> Interactions:
    """Reads the first rows of a log.

    Raises:
        DataError: the first file lacks a column, or cannot be read.
    """
    raw, start, content = _head(log)
    return _convert(log, raw, Unit(log.files[0], 0, 0, None), start, content, int(log.kind == "text" and log.header))


def raw_head(log: Log) -> dict[str, pa.Array]:
    """Returns the columns of the first rows of a log as they stand there, by our names for them.

    Raises:
        DataError: the first file lacks a column, or cannot be read.
    """
    return _head(log)[0].columns


def _head(log: Log) -> tuple[_Raw, int, bytes]:
    """Returns the first rows, the byte where they start, and their text."""
    file = log.files[0]
    if log.kind == "parquet":
        names, _ = _names_of(log, file)
        with open_file(file.path) as source:
            batches = pq.ParquetFile(source).iter_batches(HEAD_ROWS, columns=list(names))
            batch = next(batches, pa.record_batch([pa.array([], pa.string())] * len(names), list(names)))
        return _Raw({ours: batch.column(name) for ours, name in log.columns.items()}, np.arange(len(batch)), []), 0, b""
    head = read_bytes(file.path, HEAD_BYTES)
    names, start = _header_of(log, file, head)
    content = head[start:] if len(head) < HEAD_BYTES else head[start : head.rfind(b"\n") + 1]
    return _text_columns(log, names, content) if log.kind == "text" else _json_columns(log, content), start, content


def split_header(line: str, separator: str) -> list[str]:
    """Returns the names in the first line of a text file."""
    try:
        fields = line.split(separator) if len(separator) > 1 else next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        fields = line.split(separator)
    return [field.strip() for field in fields]


def decode(line: bytes, encoding: str = "utf-8") -> str:
    """Decodes a line; one that is not UTF-8 is taken as Windows-1252, as old exports are."""
    try:
        return line.decode(encoding)
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")


def _names_of(log: Log, file: DataFile) -> tuple[tuple[str, ...], int]:
    """Returns the columns of a file, and the byte after its header."""
    if log.kind == "parquet":
        with open_file(file.path) as source:
            names = tuple(pq.ParquetFile(source).schema_arrow.names)
        _check_names(log, file, names)
        return names, 0
    if log.kind == "json":
        return (), 0
    return _header_of(log, file, read_bytes(file.path, 1 << 16) if log.header else b"")


def _header_of(log: Log, file: DataFile, head: bytes) -> tuple[tuple[str, ...], int]:
    if log.kind == "json":
        return (), 0
    if not log.header:
        return tuple(map(str, range(log.width))), 0
    first, newline, _ = head.partition(b"\n")
    names = tuple(split_header(first.decode("utf-8-sig", "replace").rstrip("\r"), log.separator))
    if first.strip():
        _check_names(log, file, names)
    return names, len(first) + len(newline)


def _check_names(log: Log, file: DataFile, names: tuple[str, ...]) -> None:
    missing = [name for name in log.columns.values() if name not in names]
    if missing:
        raise DataError(
            f"{file.path}: no column {', '.join(map(repr, missing))}, which {log.files[0].name} has; there are "
            f"{', '.join(names)[:200]}"
        )


def _blocks(unit: Unit) -> Iterator[tuple[int, bytes]]:
    """Yields complete lines, and the byte where the first of them starts."""
    if unit.stop is not None:
        yield _lines(unit)
        return
    with open_stream(unit.file.path) as stream:
        start = len(stream.read(unit.start))
        rest = b""
        while block := stream.read(BLOCK_BYTES):
            content = rest + block
            cut = content.rfind(b"\n") + 1
            if cut:
                yield start, content[:cut]
                start += cut
            rest = content[cut:]
        if rest:
            yield start, rest


def _lines(unit: Unit) -> tuple[int, bytes]:
    """Returns where the first line starts that begins in a range, and all lines that do."""
    assert unit.stop is not None
    with open_file(unit.file.path) as file:
        start = unit.start
        if start:
            file.seek(start - 1)
            start += len(_line(file)) - 1  # The line before may end inside the range.
        if start >= unit.stop:
            return start, b""
        file.seek(start)
        content = bytes(file.read(unit.stop - start))
        if not content.endswith(b"\n"):
            content += _line(file)
    return start, content


def _line(file: pa.NativeFile) -> bytes:
    """Returns the rest of a line; PyArrow has no `readline`."""
    line = b""
    while block := file.read(1 << 12):
        head, newline, _ = bytes(block).partition(b"\n")
        line += head + newline
        if newline:
            break
    return line


def _lines_before(unit: Unit, start: int) -> int:
    with open_file(unit.file.path) as file:
        return sum(bytes(file.read(min(1 << 20, start - at))).count(b"\n") for at in range(0, start, 1 << 20))


def _text_columns(log: Log, names: tuple[str, ...], content: bytes) -> _Raw:
    positions = {ours: names.index(name) for ours, name in log.columns.items()}
    columns = _read_csv(log, names, positions, content)
    if columns is None:
        return _by_line(positions, content, lambda line: _fields(log, len(names), positions, line))
    return _Raw(columns, np.arange(len(next(iter(columns.values())))), [])


def _read_csv(
    log: Log, names: tuple[str, ...], positions: dict[str, int], content: bytes
) -> dict[str, pa.Array] | None:
    """Reads lines at once; returns None where a line needs a closer look."""
    separator = log.separator
    if not content.strip():
        return {ours: pa.array([], pa.string()) for ours in positions}
    if len(separator) > 1:
        if ONE_BYTE in content or content.count(separator.encode()) < content.count(b"\n"):
            return None
        content, separator = content.replace(separator.encode(), ONE_BYTE), ONE_BYTE.decode()
    if b"\r" in content and content.count(b"\r") != content.count(b"\r\n"):
        return None  # PyArrow would end a line at a lone carriage return.
    numbers = [str(number) for number in range(len(names))]
    types = {numbers[position]: pa.string() for position in positions.values()}
    try:
        table = pa_csv.read_csv(
            io.BytesIO(content),
            read_options=pa_csv.ReadOptions(column_names=numbers, use_threads=False, block_size=len(content) + 1),
            parse_options=pa_csv.ParseOptions(delimiter=separator, quote_char='"' if log.quoted else False),
            convert_options=pa_csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[]),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != content.rstrip(b"\r\n").count(b"\n") + 1:
        return None  # Empty lines, or a quote that is not closed, after which PyArrow reads many lines as one.
    return {ours: table[numbers[position]].combine_chunks() for ours, position in positions.items()}


def _by_line(names: Iterable[str], content: bytes, parse: Callable[[str], list[str | None]]) -> _Raw:
    """Reads line by line; `parse` gives the values of a line, or a ValueError that says why there are none."""
    rows: list[list[str | None]] = []
    lines: list[int] = []
    bad: list[tuple[int, str]] = []
    for number, line in enumerate(content.split(b"\n")):
        text = _text_of(line)
        if not text.strip():
            continue
        try:
            rows.append(parse(text))
            lines.append(number)
        except ValueError as error:
            bad.append((number, str(error)))
    columns = list(zip(*rows, strict=True)) or [()] * len(list(names))
    arrays = {name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)}
    return _Raw(arrays, np.array(lines, np.int64), bad)


def _text_of(line: bytes) -> str:
    return decode(line).rstrip("\r").removeprefix("\ufeff")


def _fields(log: Log, width: int, positions: dict[str, int], line: str) -> list[str | None]:
    """Returns the fields of a line that columns are made of; ValueError gives the reason where there are none."""
    if "\r" in line:
        raise ValueError("a carriage return inside the line")
    try:
        fields = (
            next(csv.reader([line], delimiter=log.separator, strict=True)) if log.quoted else line.split(log.separator)
        )
    except csv.Error as error:
        raise ValueError(str(error)) from None
    if len(fields) != width:
        others = [other for other in SEPARATORS if other != log.separator and other in line]
        hint = f", found {others[0]!r}" if len(fields) == 1 and others else ""
        raise ValueError(f"expected {width} fields with {log.separator!r} between, found {len(fields)}{hint}")
    return [fields[position] for position in positions.values()]


def _json_columns(log: Log, content: bytes) -> _Raw:
    names = log.columns
    try:
        table = pa_json.read_json(
            io.BytesIO(content), pa_json.ReadOptions(use_threads=False, block_size=len(content) + 1)
        )
        if table.num_rows == content.rstrip(b"\r\n").count(b"\n") + 1 and set(names.values()) <= set(
            table.column_names
        ):
            columns = {ours: table[name].combine_chunks() for ours, name in names.items()}
            if not any(pa.types.is_nested(column.type) for column in columns.values()):
                return _Raw(columns, np.arange(table.num_rows), [])
    except pa.ArrowInvalid:
        pass
    return _by_line(names, content, lambda line: _json_fields(names, line))


def _json_fields(names: dict[str, str], line: str) -> list[str | None]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    return [_json_text(row.get(name)) for name in names.values()]


def _json_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _read_row_group(log: Log, unit: Unit, batch_rows: int = BATCH_ROWS) -> Iterator[Interactions]:
    columns = list(dict.fromkeys(log.columns.values()))
    row = unit.first_row
    try:
        with open_file(unit.file.path) as source:
            file = pq.ParquetFile(source)
            if not file.num_row_groups:
                return
            for batch in file.iter_batches(batch_rows, row_groups=[unit.start], columns=columns, use_threads=False):
                raw = _Raw(
                    {ours: batch.column(name) for ours, name in log.columns.items()}, np.arange(batch.num_rows), []
                )
                yield _convert(log, raw, unit, row, b"", row)
                row += batch.num_rows
    except pa.ArrowInvalid as error:
        raise DataError(f"{unit.file.path}: no Parquet file, or a damaged one ({error})") from None


def _convert(log: Log, raw: _Raw, unit: Unit, start: int, content: bytes, rows_before: Any) -> Interactions:
    """Turns raw columns into interactions, and describes the rows that are none.

    `rows_before` is the number of lines or rows of the file before the block, or a function that counts them.
    """
    rows = len(raw.lines)
    reasons: dict[int, str] = {}
    user, item = (_ids(log, raw.columns[name], name, reasons) for name in (USER, ITEM))
    rating = np.full(rows, DEFAULT_RATING, np.float32)
    if RATING in raw.columns:
        rating = _ratings(log, raw.columns[RATING], reasons)
    timestamp = np.zeros(rows, np.int64)
    if TIMESTAMP in raw.columns:
        timestamp, late = log.clock.read(raw.columns[TIMESTAMP])
        reasons = {**late, **reasons}
    event = pc.utf8_trim_whitespace(as_text(raw.columns[EVENT])) if EVENT in raw.columns else None
    activity = {name: _feature(log, raw.columns[ACTIVITY + name], name, reasons) for name in log.activity}
    position = (np.int64(unit.number) << np.int64(40)) + start + raw.lines
    bad = [*raw.bad, *((int(raw.lines[row]), reason) for row, reason in reasons.items())]
    described: list[BadRow] = []
    if bad:
        before = rows_before() if callable(rows_before) else rows_before
        lines = content.split(b"\n") if log.kind != "parquet" else []
        for line, reason in sorted(bad):
            text = _text_of(lines[line]) if lines else ",".join(str(raw.columns[name][line]) for name in raw.columns)
            described.append(BadRow(unit.file.name, before + line + 1, text, reason, log.kind != "parquet"))
    if reasons:
        kept = np.ones(rows, bool)
        kept[list(reasons)] = False
        mask = pa.array(kept)
        user, item = user.filter(mask), item.filter(mask)
        rating, timestamp, position = rating[kept], timestamp[kept], position[kept]
        event = event.filter(mask) if event is not None else None
        activity = {name: values.filter(mask) for name, values in activity.items()}
    return Interactions(user, item, rating, timestamp, position, tuple(described), event, activity)


def _ids(log: Log, column: pa.Array, name: str, reasons: dict[int, str]) -> pa.DictionaryArray:
    encoded = as_text(column).dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    ids = [text.strip() for text in texts]
    troubles = {code: trouble for code, id_ in enumerate(ids) if (trouble := _id_trouble(log, id_))}
    if troubles:
        codes = encoded.indices.to_numpy()
        for row in np.flatnonzero(np.isin(codes, list(troubles))).tolist():
            id_ = ids[codes[row]]
            reasons.setdefault(row, f"{name} id {id_[:80]!r} {troubles[codes[row]]}" if id_ else f"no {name} id")
    if ids != texts:
        encoded = pa.array(ids, pa.string()).take(encoded.indices).dictionary_encode()
    return encoded


def _id_trouble(log: Log, id_: str) -> str:
    """Returns why a text is no id of a user or an item; empty where it is one."""
    if id_.lower() in log.missing:
        return "stands for a missing value"
    if log.movielens and not _NUMBER.fullmatch(id_):
        return "is not a number"
    if len(id_) * 4 > MAX_ID_BYTES and len(id_.encode()) > MAX_ID_BYTES:
        return f"is longer than {MAX_ID_BYTES:,} bytes"
    if "\n" in id_ or "\r" in id_:
        return "has a line break"
    return ""


def as_words(log: Log, column: pa.Array) -> pa.Array:
    """Returns a column as `pa.string()` without white space around; empty where a value is missing."""
    encoded = as_text(column).dictionary_encode()
    words = [word.strip() for word in encoded.dictionary.to_pylist()]
    known = ["" if word.lower() in log.missing else word for word in words]
    return pa.array(known, pa.string()).take(encoded.indices)


def _feature(log: Log, column: pa.Array, name: str, reasons: dict[int, str]) -> pa.Array:
    """Returns the values of a feature of activities: `pa.string()` [R] or `pa.float32()` [R]."""
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
