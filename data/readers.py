"""Reads the interactions of a log, a bounded number of rows at a time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.dataset import Log
from data.errors import DataError, UnreadableError
from data.files import COMPRESSIONS, DataFile, first_line, open_file, open_stream, read_bytes
from data.interactions import BadRow, Interactions, RawColumns, convert
from data.text import json_columns, line_text, split_header, text_columns

BLOCK_BYTES = 8 << 20
BATCH_ROWS = 1 << 18
HEAD_BYTES, HEAD_ROWS = 1 << 14, 2000
MAX_HEADER_BYTES = 1 << 16
# The first bytes of files that are compressed, but whose name does not say so in a way that is known here.
COMPRESSED = (b"BZh", b"\xfd7zXZ", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"7z\xbc\xaf")


@dataclass(frozen=True)
class Unit:
    """A part of a file that one worker reads.

    Attributes:
        file: the file.
        number: index of the file in the log.
        start: first byte of text, or first row group of Parquet.
        stop: start of the next unit; None for a compressed file, which is read to its end.
        first_row: number of rows in the file before the row group `start`; 0 for text.
        names: the columns of the file, in its order.
    """

    file: DataFile
    number: int
    start: int
    stop: int | None
    first_row: int = 0
    names: tuple[str, ...] = ()


def units_of(log: Log, number: int, block_bytes: int = BLOCK_BYTES) -> list[Unit]:
    """Splits a file of a log into units, which together contain every row once.

    Args:
        log: the log.
        number: index of the file in the log.
        block_bytes: approximate size of a unit of text.

    Raises:
        DataError: the file lacks a column.
    """
    file = log.files[number]
    if log.kind == "parquet":
        with open_file(file.path) as source:
            parquet = pq.ParquetFile(source)
            names = _checked_names(log, file, parquet.schema_arrow.names)
            rows = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
        before = list(itertools.accumulate([0, *rows]))
        return [Unit(file, number, group, group + 1, before[group], names) for group in range(len(rows)) if rows[group]]
    has_header = log.kind == "text" and log.header
    names, start = _header(log, file, read_bytes(file.path, MAX_HEADER_BYTES) if has_header else b"")
    if file.compression:
        return [Unit(file, number, start, None, 0, names)]
    edges = [*range(start, file.size, block_bytes), file.size] if file.size > start else []
    return [Unit(file, number, first, last, 0, names) for first, last in itertools.pairwise(edges)]


def read_unit(log: Log, unit: Unit) -> Iterator[Interactions]:
    """Yields the interactions of a unit, in chunks of a bounded size.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        if log.kind == "parquet":
            yield from _read_row_group(log, unit)
        elif unit.stop is None:
            for start, content, lines_before in _stream_blocks(unit):
                yield _convert_lines(log, unit, start, content, lines_before)
        else:
            start, content = _lines_in_range(unit.file, unit.start, unit.stop)
            yield _convert_lines(log, unit, start, content)
    except (OSError, EOFError) as error:
        raise DataError(f"{unit.file.path}: cannot be read ({first_line(error)})") from None


def read_head(log: Log) -> Interactions:
    """Reads the first rows of a log.

    Raises:
        DataError: the first file lacks a column, or cannot be read.
    """
    if log.kind == "parquet":
        number, batch = _first_batch(log)
        return _convert_batch(log, Unit(log.files[number], number, 0, None), batch, 0)
    unit, content, lines_above = _first_lines(log)
    return _convert_lines(log, unit, unit.start, content, lines_above)


def raw_head(log: Log) -> tuple[DataFile, dict[str, pa.Array]]:
    """Returns the first file with rows, and its first rows as unconverted columns, by the project's column names.

    Raises:
        DataError: the first file lacks a column, or cannot be read.
    """
    if log.kind == "parquet":
        number, batch = _first_batch(log)
        return log.files[number], _columns_of_batch(log, batch)
    unit, content, _ = _first_lines(log)
    return unit.file, _raw_columns(log, unit.names, content).columns


def _first_batch(log: Log) -> tuple[int, pa.RecordBatch]:
    """Returns the number of the first file with rows, and its first rows."""
    for number, file in enumerate(log.files):
        with open_file(file.path) as source:
            parquet = pq.ParquetFile(source)
            names = list(_checked_names(log, file, parquet.schema_arrow.names))
            for batch in parquet.iter_batches(HEAD_ROWS, columns=names):
                return number, batch
    return 0, pa.record_batch([pa.array([], pa.string())] * len(names), names)


def _first_lines(log: Log) -> tuple[Unit, bytes, int]:
    """Returns the start of the first file with rows, its first complete lines, and the number of lines above them."""
    for number, file in enumerate(log.files):
        head = read_bytes(file.path, HEAD_BYTES)
        names, start = _header(log, file, head)
        content = head[start:] if len(head) < HEAD_BYTES else head[start : head.rfind(b"\n") + 1]
        if content.strip() or not number:
            first = Unit(file, number, start, None, names=names), content, head[:start].count(b"\n")
        if content.strip():
            break
    return first


def text_head(file: DataFile) -> bytes:
    """Returns the first bytes of a text file.

    Raises:
        DataError: the file is empty, in UTF-16, or compressed in a way that its name does not tell.
        UnreadableError: the file cannot be read.
    """
    head = read_bytes(file.path, MAX_HEADER_BYTES)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{file.path}: text in UTF-16; save it as UTF-8")
    if head.startswith(COMPRESSED):
        raise DataError(
            f"{file.path}: a compressed file; decompress it, or use a name that ends in {' or '.join(COMPRESSIONS)}"
        )
    if not head.strip():
        raise DataError(f"{file.path}: an empty file; its first line should name the columns")
    return head


def header_line(head: bytes) -> tuple[str, int, int]:
    """Returns the first line of a file that is not blank, its number, and the byte after it."""
    blank = len(re.sub(rb"^((?:\xef\xbb\xbf)?(?:\s*\n)?).*", rb"\1", head, flags=re.DOTALL))
    end = head.find(b"\n", blank) + 1 or len(head)
    return line_text(head[blank:end].rstrip(b"\n")), 1 + head[:blank].count(b"\n"), end


def _header(log: Log, file: DataFile, head: bytes) -> tuple[tuple[str, ...], int]:
    """Returns the columns of a file of text or JSON, and the byte after its header."""
    if log.kind == "json":
        return (), 0
    if not log.header:
        return tuple(map(str, range(log.width))), 0
    line, _, start = header_line(head)
    names = tuple(split_header(line, log.separator))
    if line.strip():
        _checked_names(log, file, names)
    return names, start


def _checked_names(log: Log, file: DataFile, names: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    missing = [name for name in log.columns.values() if name not in names]
    if missing:
        raise DataError(
            f"{file.path}: no column {', '.join(map(repr, missing))}, which {log.files[0].name} has; the columns are "
            f"{', '.join(names)[:200]}"
        )
    return tuple(names)


def _stream_blocks(unit: Unit) -> Iterator[tuple[int, bytes, int]]:
    """Yields blocks of complete lines of a compressed file, each with the byte where it starts and the lines before."""
    with open_stream(unit.file.path) as stream:
        above = stream.read(unit.start)
        start, lines = len(above), above.count(b"\n")
        rest = b""
        while block := stream.read(BLOCK_BYTES):
            content = rest + block
            cut = content.rfind(b"\n") + 1
            if cut:
                yield start, content[:cut], lines
                start += cut
                lines += content.count(b"\n")
            rest = content[cut:]
        if rest:
            yield start, rest, lines


def _lines_in_range(file: DataFile, start: int, stop: int) -> tuple[int, bytes]:
    """Returns all lines that begin in a range of bytes, and the byte where the first of them begins."""
    with open_file(file.path) as source:
        if start:
            source.seek(start - 1)
            start += len(_read_line(source)) - 1  # The line before may end inside the range.
        if start >= stop:
            return start, b""
        source.seek(start)
        content = bytes(source.read(stop - start))
        if not content.endswith(b"\n"):
            content += _read_line(source)
    return start, content


def _read_line(source: pa.NativeFile) -> bytes:
    """Returns the rest of a line; PyArrow has no `readline`."""
    line = b""
    while block := source.read(1 << 12):
        head, newline, _ = bytes(block).partition(b"\n")
        line += head + newline
        if newline:
            break
    return line


def _count_lines(file: DataFile, stop: int) -> int:
    """Returns the number of lines before a byte."""
    with open_file(file.path) as source:
        return sum(bytes(source.read(min(1 << 20, stop - at))).count(b"\n") for at in range(0, stop, 1 << 20))


def _raw_columns(log: Log, names: tuple[str, ...], content: bytes) -> RawColumns:
    return text_columns(log, names, content) if log.kind == "text" else json_columns(log, content)


def _convert_lines(log: Log, unit: Unit, start: int, content: bytes, lines_before: int | None = None) -> Interactions:
    """Returns the interactions in lines.

    Args:
        log: the log.
        unit: the unit that the lines belong to.
        start: the byte where they start.
        content: the lines.
        lines_before: number of lines of the file before them; None counts them if it is needed.
    """
    table, bad = convert(log, _raw_columns(log, unit.names, content), _position(unit, start))
    if not bad:
        return Interactions(table)
    before = _count_lines(unit.file, start) if lines_before is None else lines_before
    lines = content.split(b"\n")
    bad_rows = [BadRow(unit.file.name, before + line + 1, line_text(lines[line]), reason) for line, reason in bad]
    return Interactions(table, tuple(bad_rows))


def _read_row_group(log: Log, unit: Unit) -> Iterator[Interactions]:
    columns = list(dict.fromkeys(log.columns.values()))
    row = unit.first_row
    try:
        with open_file(unit.file.path) as source:
            parquet = pq.ParquetFile(source)
            for batch in parquet.iter_batches(BATCH_ROWS, row_groups=[unit.start], columns=columns, use_threads=False):
                yield _convert_batch(log, unit, batch, row)
                row += batch.num_rows
    except pa.ArrowInvalid as error:
        raise UnreadableError(f"{unit.file.path}: not a Parquet file, or a damaged one ({error})") from None


def _convert_batch(log: Log, unit: Unit, batch: pa.RecordBatch, first_row: int) -> Interactions:
    columns = _columns_of_batch(log, batch)
    raw = RawColumns(columns, np.arange(batch.num_rows), [])
    table, bad = convert(log, raw, _position(unit, first_row))
    texts = {row: ",".join(str(column[row]) for column in columns.values()) for row, _ in bad}
    bad_rows = [BadRow(unit.file.name, first_row + row + 1, texts[row], reason, is_line=False) for row, reason in bad]
    return Interactions(table, tuple(bad_rows))


def _columns_of_batch(log: Log, batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return {column: batch.column(name) for column, name in log.columns.items()}


def _position(unit: Unit, start: int) -> int:
    """Returns the position in the log of a byte or row of a file."""
    return (unit.number << 40) + start
