"""Turns lines of separated text or JSON into columns.

PyArrow reads a block at once. If that fails, Python reads the block line by line to find the bad lines and the reasons.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json
from pyarrow import csv as pa_csv

from data.arrays import MAX_WHOLE
from data.dataset import Log
from data.interactions import RawColumns

SEPARATORS = ("::", "\t", ",", ";", "|")
# PyArrow splits at one byte; this byte replaces separators of two.
ONE_BYTE = b"\x01"


def split_header(line: str, separator: str) -> list[str]:
    """Returns the column names in the first line of a text file."""
    try:
        names = line.split(separator) if len(separator) > 1 else next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        names = line.split(separator)
    return [name.strip() for name in names]


def is_quoted(header: str, separator: str) -> bool:
    """Returns whether fields may be in double quotes; between tabs only if a name of the header is."""
    return len(separator) == 1 and (separator != "\t" or any(name.startswith('"') for name in header.split("\t")))


def decode(line: bytes, encoding: str = "utf-8") -> str:
    """Decodes a line; a line that is not valid is read as Windows-1252, which old exports use."""
    try:
        return line.decode(encoding)
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")


def line_text(line: bytes) -> str:
    """Returns the text of a line without a carriage return at its end or a byte order mark at its start."""
    return decode(line.removeprefix(codecs.BOM_UTF8)).rstrip("\r")


def text_columns(log: Log, names: tuple[str, ...], content: bytes) -> RawColumns:
    """Returns the columns of lines of separated text.

    Args:
        log: the log.
        names: all columns of the file, in its order.
        content: complete lines, without the header.
    """
    positions = {column: names.index(name) for column, name in log.columns.items()}
    columns = _read_csv(log, len(names), positions, content)
    if columns is None:
        return _read_lines(positions, content, lambda line: _fields(log, len(names), positions, line))
    return RawColumns(columns, np.arange(len(next(iter(columns.values())))), [])


def json_columns(log: Log, content: bytes) -> RawColumns:
    """Returns the columns of lines of JSON, one object each. Text stays text, and whole numbers are exact."""
    names = log.columns
    types = {name: pa.string() for name in _texts_of_first_line(content) & set(names.values())}
    options = pa_json.ReadOptions(use_threads=False, block_size=len(content) + 1)
    for _ in range(2):
        parsing = pa_json.ParseOptions(explicit_schema=pa.schema(types))
        try:
            table = pa_json.read_json(io.BytesIO(content), options, parsing)
        except pa.ArrowInvalid:
            break
        is_complete = set(names.values()) <= set(table.column_names)
        if not is_complete or table.num_rows != content.rstrip(b"\r\n").count(b"\n") + 1:
            break
        columns = {column: table[name].combine_chunks() for column, name in names.items()}
        changed = {names[key]: type_ for key, column in columns.items() if (type_ := _exact_type(column))}
        if not changed:
            return RawColumns(columns, np.arange(table.num_rows), [])
        types |= changed
    return _read_lines(names, content, lambda line: _json_fields(names, line))


def _texts_of_first_line(content: bytes) -> set[str]:
    """Returns the keys in the first line whose values are text."""
    try:
        row = json.loads(io.BytesIO(content).readline())
    except (ValueError, RecursionError):
        return set()
    return {name for name, value in row.items() if isinstance(value, str)} if isinstance(row, dict) else set()


def _exact_type(column: pa.Array) -> pa.DataType | None:
    """Returns a type for values that PyArrow may have changed: text to timestamps, or whole numbers to floats."""
    if pa.types.is_timestamp(column.type):
        return pa.string()
    is_large = pa.types.is_floating(column.type) and pc.any(pc.greater_equal(pc.abs(column), MAX_WHOLE)).as_py()
    return pa.decimal128(38, 0) if is_large else None


def _read_csv(log: Log, width: int, positions: dict[str, int], content: bytes) -> dict[str, pa.Array] | None:
    """Reads all lines with PyArrow; returns None if the lines must be read one by one."""
    separator = log.separator
    if not content.strip():
        return {column: pa.array([], pa.string()) for column in positions}
    if len(separator) > 1:
        if ONE_BYTE in content or content.count(separator.encode()) < content.count(b"\n"):
            return None
        content, separator = content.replace(separator.encode(), ONE_BYTE), ONE_BYTE.decode()
    if b"\r" in content and content.count(b"\r") != content.count(b"\r\n"):
        return None  # PyArrow would end a line at a single carriage return.
    numbers = [str(number) for number in range(width)]
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
        return None  # Empty lines, or an unclosed quote, after which PyArrow reads many lines as one.
    return {column: table[numbers[position]].combine_chunks() for column, position in positions.items()}


def _read_lines(columns: dict[str, Any], content: bytes, parse: Callable[[str], list[str | None]]) -> RawColumns:
    """Reads line by line; `parse` returns the values of a line, or raises a ValueError with the reason."""
    rows: list[list[str | None]] = []
    lines: list[int] = []
    bad: list[tuple[int, str]] = []
    for number, line in enumerate(content.split(b"\n")):
        text = line_text(line)
        if not text.strip():
            continue
        try:
            rows.append(parse(text))
            lines.append(number)
        except ValueError as error:
            bad.append((number, str(error)))
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = {name: pa.array(column, pa.string()) for name, column in zip(columns, values, strict=True)}
    return RawColumns(arrays, np.array(lines, np.int64), bad)


def _fields(log: Log, width: int, positions: dict[str, int], line: str) -> list[str | None]:
    """Returns the fields of a line at the given positions.

    Raises:
        ValueError: with the reason why the line cannot be read.
    """
    if "\r" in line:
        raise ValueError("a carriage return inside the line")
    fields = line.split(log.separator)
    if log.quoted:
        try:
            fields = next(csv.reader([line], delimiter=log.separator, strict=True))
        except csv.Error as error:
            raise ValueError(str(error)) from None
    if len(fields) != width:
        others = [other for other in SEPARATORS if other != log.separator and other in line]
        hint = f"; the line contains {others[0]!r}" if len(fields) == 1 and others else ""
        raise ValueError(f"expected {width} fields separated by {log.separator!r}, found {len(fields)}{hint}")
    return [fields[position] for position in positions.values()]


def _json_fields(names: dict[str, str], line: str) -> list[str | None]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    return [_json_text(name, row.get(name)) for name in names.values()]


def _json_text(name: str, value: Any) -> str | None:
    """Returns a value as text; whole numbers as `as_text` writes them."""
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        raise ValueError(f"the value of {name!r} is {kind}, neither text nor a number")
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_WHOLE:
        value = int(value)
    return value if value is None or isinstance(value, str) else json.dumps(value)
