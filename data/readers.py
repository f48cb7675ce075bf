"""Reads ratings by byte ranges into columns, and items into a list.

A range is read columnar with PyArrow; only where that finds trouble is it read again line by line, to say which lines
are bad and why.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.formats import GENRES, ITEM, RATING, TIMESTAMP, TITLE, USER, YEAR, Dataset, Table

MIN_RATING, MAX_RATING = 0.5, 5.0  # of every published MovieLens
MAX_FLOAT32 = float(np.finfo(np.float32).max)
DEFAULT_RATING = 1.0  # where one's own data has no ratings
MILLISECONDS_FROM = 10**11  # later than the year 5138 in seconds, 1973 in milliseconds
MAX_TIMESTAMP = 10**14  # the same moment in milliseconds; microseconds are larger from 1973 on
# PyArrow splits at one byte; this one stands for the two colons of the .dat files.
ONE_BYTE = b"\x01"
ML_100K_GENRES = [
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
]
NUMBER = re.compile("[0-9]+")
# Words that exports write where there is no user or item, in lower case. As ids they would all be one user.
MISSING = frozenset({"", "na", "n/a", "<na>", "nan", "none", "null", "(null)", "-"})
MAX_ID_BYTES = 1000  # NumPy holds all ids of a range as wide as the longest.
NO_GENRES = {"(no genres listed)", "unknown", ""}


@dataclass(frozen=True)
class ByteRange:
    """The lines of a file that start in [start, stop)."""

    start: int
    stop: int


@dataclass(frozen=True)
class BadRow:
    """A line that cannot be read.

    Attributes:
        line: its number in the file, from 1.
        text: what stands there.
        reason: what is wrong with it.
    """

    line: int
    text: str
    reason: str

    def describe(self, table: Table) -> str:
        """The bad row in words."""
        return f"{table.path.name}, line {self.line}: {self.reason}: {self.text[:80]!r}"


@dataclass(frozen=True)
class RatingsChunk:
    """Columns of `R` ratings in the order of the file.

    Attributes:
        user: bytes (NumPy `S`) [R].
        item: bytes (NumPy `S`) [R].
        rating: float32 [R].
        timestamp: int64 [R], seconds since 1970-01-01 UTC.
        position: int64 [R], rises through the file, also from one range to the next.
        bad_rows: lines that were left out.
    """

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray
    timestamp: np.ndarray
    position: np.ndarray
    bad_rows: tuple[BadRow, ...] = ()


@dataclass(frozen=True)
class Item:
    """What is known of an item.

    Attributes:
        id: what the ratings call it.
        title: for people.
        genres: of it.
        year: of its release; None where unknown.
        more: values of other columns of one's own items file, by column.
    """

    id: str
    title: str
    genres: tuple[str, ...] = ()
    year: int | None = None
    more: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        """All that a model can learn from, each as words."""
        year = () if self.year is None else (str(self.year),)
        return {"genres": self.genres, "year": year, **self.more}


def ratings_ranges(dataset: Dataset, target_bytes: int = 8 << 20) -> list[ByteRange]:
    """Cut the ratings file into ranges of about `target_bytes`; together they hold every line but the header once."""
    table = dataset.ratings
    size, start = table.path.stat().st_size, 0
    if table.header:
        with table.path.open("rb") as stream:
            start = len(stream.readline())
    edges = [*range(start, size, target_bytes), size] if size > start else []
    return [ByteRange(first, last) for first, last in itertools.pairwise(edges)]


def read_ratings(dataset: Dataset, byte_range: ByteRange) -> RatingsChunk:
    """Read the ratings in a byte range."""
    start, content = _lines(dataset.ratings.path, byte_range)
    chunk = _read_columns(dataset, start, content)
    return chunk if chunk is not None else _read_lines(dataset, start, content)


def read_head(dataset: Dataset, content: bytes) -> RatingsChunk:
    """Read the ratings in the first lines of a file."""
    header = dataset.ratings.header
    body = content.partition(b"\n")[2] if header else content
    return _read_lines(dataset, len(content) - len(body), body, lines_before=int(header))


def _lines(path: Path, byte_range: ByteRange) -> tuple[int, bytes]:
    """The whole lines that start in a range, and where the first of them starts."""
    with path.open("rb") as stream:
        start = byte_range.start
        if start:
            stream.seek(start - 1)
            start = start - 1 + len(stream.readline())  # The line before may end inside the range.
        if start >= byte_range.stop:
            return start, b""
        stream.seek(start)
        content = stream.read(byte_range.stop - start)
        if not content.endswith(b"\n"):
            content += stream.readline()
    return start, content


def _read_columns(dataset: Dataset, start: int, content: bytes) -> RatingsChunk | None:
    """Read lines at once; None where a line needs a closer look."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as pa_csv

    table = dataset.ratings
    if len(table.separator) > 1:
        if ONE_BYTE in content or content.count(table.separator.encode()) < content.count(b"\n"):
            return None
        content = content.replace(table.separator.encode(), ONE_BYTE)
    if not content.strip():
        return _empty_chunk()
    if b"\r" in content and content.count(b"\r") != content.count(b"\r\n"):
        return None  # PyArrow would end a line at a lone carriage return.
    names = [str(number) for number in range(table.width)]
    used = {name: names[position] for name, position in table.columns.items()}
    types = {used[USER]: pa.string(), used[ITEM]: pa.string(), used[TIMESTAMP]: pa.int64()}
    if RATING in used:
        types[used[RATING]] = pa.float32()
    try:
        columns = pa_csv.read_csv(
            io.BytesIO(content),
            read_options=pa_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(content) + 1),
            parse_options=pa_csv.ParseOptions(
                delimiter=ONE_BYTE.decode() if len(table.separator) > 1 else table.separator,
                quote_char='"' if table.quoted else False,
            ),
            convert_options=pa_csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[]),
        )
    except pa.ArrowInvalid:
        return None
    if columns.num_rows != content.rstrip(b"\r\n").count(b"\n") + 1:
        return None  # Empty lines, or a quote that is not closed, after which PyArrow reads many lines as one.
    encoded = {name: pc.dictionary_encode(columns[used[name]]).combine_chunks() for name in (USER, ITEM)}
    ids = {name: encoded[name].dictionary.to_pylist() for name in (USER, ITEM)}
    for id_ in itertools.chain(*ids.values()):
        if _id_trouble(id_, dataset.movielens) or id_ != id_.strip():
            return None
    timestamp = columns[used[TIMESTAMP]].to_numpy()
    rating = columns[used[RATING]].to_numpy() if RATING in used else np.full(len(timestamp), DEFAULT_RATING, np.float32)
    if (timestamp < 0).any() or (timestamp >= MILLISECONDS_FROM).any() or not np.isfinite(rating).all():
        return None
    if dataset.movielens and ((rating < MIN_RATING) | (rating > MAX_RATING)).any():
        return None
    user, item = (
        np.array([id_.encode() for id_ in ids[name]], "S")[encoded[name].indices.to_numpy()] for name in (USER, ITEM)
    )
    return RatingsChunk(user, item, rating, timestamp, start + np.arange(len(user), dtype=np.int64))


def _empty_chunk() -> RatingsChunk:
    ids, ints = np.empty(0, "S1"), np.empty(0, np.int64)
    return RatingsChunk(ids, ids, np.empty(0, np.float32), ints, ints)


def _read_lines(dataset: Dataset, start: int, content: bytes, lines_before: int | None = None) -> RatingsChunk:
    """Read line by line; bad lines are left out and described."""
    rows: list[tuple[bytes, bytes, float, int, int]] = []
    bad: list[tuple[int, str, str]] = []
    for number, line in enumerate(content.split(b"\n")):
        text = _decode(line, "utf-8").rstrip("\r").removeprefix("\ufeff")
        if not text.strip():
            continue
        try:
            rows.append((*_parse(dataset, text), start + number))
        except ValueError as error:
            bad.append((number, text, str(error)))
    if bad and lines_before is None:
        lines_before = _count_lines(dataset.ratings.path, start)
    bad_rows = tuple(BadRow((lines_before or 0) + number + 1, text, reason) for number, text, reason in bad)
    if not rows:
        empty = _empty_chunk()
        return RatingsChunk(empty.user, empty.item, empty.rating, empty.timestamp, empty.position, bad_rows)
    user, item, rating, timestamp, position = zip(*rows, strict=True)
    return RatingsChunk(
        np.array(user, "S"),
        np.array(item, "S"),
        np.array(rating, np.float32),
        np.array(timestamp, np.int64),
        np.array(position, np.int64),
        bad_rows,
    )


def _parse(dataset: Dataset, line: str) -> tuple[bytes, bytes, float, int]:
    """One line's user, item, rating and timestamp; ValueError says what is wrong with it."""
    table = dataset.ratings
    if "\r" in line:
        raise ValueError("a carriage return inside the line")
    try:
        fields = (
            next(csv.reader([line], delimiter=table.separator, strict=True))
            if table.quoted
            else line.split(table.separator)
        )
    except csv.Error as error:
        raise ValueError(str(error)) from None
    if len(fields) != table.width:
        others = [other for other in ("::", "\t", ",", ";") if other != table.separator and other in line]
        hint = f", found {others[0]!r}" if len(fields) == 1 and others else ""
        raise ValueError(f"expected {table.width} fields with {table.separator!r} between, found {len(fields)}{hint}")
    user, item = (fields[table.columns[name]].strip() for name in (USER, ITEM))
    for name, id_ in ((USER, user), (ITEM, item)):
        if trouble := _id_trouble(id_, dataset.movielens):
            raise ValueError(f"{name} id {id_[:80]!r} {trouble}" if id_ else f"no {name} id")
    rating = DEFAULT_RATING
    if RATING in table.columns:
        rating = _parse_rating(fields[table.columns[RATING]], dataset.movielens)
    return user.encode(), item.encode(), rating, _parse_timestamp(fields[table.columns[TIMESTAMP]])


def _id_trouble(id_: str, movielens: bool) -> str:
    """Returns why a text is no id of a user or an item; empty where it is one."""
    if id_.lower() in MISSING:
        return "stands for a missing value"
    if movielens and not NUMBER.fullmatch(id_):
        return "is not a number"
    if len(id_) * 4 > MAX_ID_BYTES and len(id_.encode()) > MAX_ID_BYTES:
        return f"is longer than {MAX_ID_BYTES:,} bytes"
    return ""


def _parse_rating(text: str, movielens: bool) -> float:
    try:
        rating = float(text)
    except ValueError:
        raise ValueError(f"rating {text!r} is not a number") from None
    if not abs(rating) <= MAX_FLOAT32:
        raise ValueError(f"rating {text!r} is not a finite number")
    if movielens and not MIN_RATING <= rating <= MAX_RATING:
        raise ValueError(f"rating {text!r} is outside {MIN_RATING:g} to {MAX_RATING:g}")
    return rating


def _parse_timestamp(text: str) -> int:
    """Seconds since 1970, from seconds, milliseconds or an ISO 8601 time (UTC where it names no zone)."""
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            raise ValueError(f"timestamp {text!r} is neither a number nor an ISO 8601 time") from None
        number = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    if not number < MAX_TIMESTAMP:
        raise ValueError(f"timestamp {text!r} is out of range for seconds or milliseconds")
    if number < 0:
        raise ValueError(f"timestamp {text!r} is negative")
    return int(number // 1000) if number >= MILLISECONDS_FROM else int(number)


def _count_lines(path: Path, stop: int) -> int:
    with path.open("rb") as stream:
        return sum(stream.read(min(1 << 20, stop - at)).count(b"\n") for at in range(0, stop, 1 << 20))


def read_items(dataset: Dataset) -> list[Item]:
    """Read the items file; of an item that stands there twice the first row counts.

    Raises:
        DataError: a row has too few fields or no id; file and line are named.
    """
    table = dataset.items
    if table is None:
        return []
    items: dict[str, Item] = {}
    for line, fields in _item_rows(table):
        if not "".join(fields).strip():
            continue
        if len(fields) < table.width:
            raise DataError(
                f"{table.path}, line {line}: expected {table.width} fields with {table.separator!r} between, found "
                f"{len(fields)}"
            )
        item = _make_item(table, fields)
        if not item.id:
            raise DataError(f"{table.path}, line {line}: no item id")
        items.setdefault(item.id, item)
    return list(items.values())


def _item_rows(table: Table) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row of an items file."""
    content = table.path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    lines = (_decode(line, table.encoding) for line in content.split(b"\n"))
    if table.quoted:
        rows = _quoted_rows(table, lines)
    else:
        texts = enumerate((line.rstrip("\r") for line in lines), start=1)
        rows = ((number, text.split(table.separator) if text.strip() else []) for number, text in texts)
    if table.header:
        next(rows, None)
    return rows


def _quoted_rows(table: Table, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((line + "\n" for line in lines), delimiter=table.separator)
    try:
        for fields in reader:
            yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(f"{table.path}, line {reader.line_num}: {error}; look for a quote that is not closed") from None


def _decode(line: bytes, encoding: str) -> str:
    """Decode a line; one that is not UTF-8 is taken as Windows-1252, as old exports are."""
    try:
        return line.decode(encoding)
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")


def _make_item(table: Table, fields: list[str]) -> Item:
    title = fields[table.columns[TITLE]].strip()
    year = _year(fields[table.columns[YEAR]]) if YEAR in table.columns else None
    if year is None:
        year = _year(match.group(1)) if (match := re.search(r"\((\d{4})\)\s*$", title)) else None
    elif not re.search(r"\(\d{4}\)$", title):  # A title may name another year than that of its release on file.
        title = f"{title} ({year})"
    genres: list[str] = []
    if GENRES in table.columns:
        at = table.columns[GENRES]
        if table.width - at == len(ML_100K_GENRES):  # One flag for each genre.
            genres = [
                genre
                for genre, flag in zip(ML_100K_GENRES, fields[at : table.width], strict=True)
                if flag.strip() == "1"
            ]
        else:
            genres = fields[at].split(table.genre_separator)
    kept = tuple(genre.strip() for genre in genres if genre.strip() not in NO_GENRES)
    more = {name: _words(fields[at], table.genre_separator) for name, at in table.more.items()}
    return Item(fields[table.columns[ITEM]].strip(), title, kept, year, more)


def _words(text: str, separator: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(separator) if word.strip())


def _year(text: str) -> int | None:
    """The year in '1995' or '01-Jan-1995'; None where there is none."""
    match = re.search(r"(\d{4})\s*$", text)
    year = int(match.group(1)) if match else 0
    return year if 1800 <= year <= 2100 else None
