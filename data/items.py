"""Reads the items file into a list."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from data.dataset import GENRES, ITEM, TITLE, YEAR, Dataset, Table
from data.errors import DataError
from data.files import read_bytes
from data.readers import decode

NO_GENRES = {"(no genres listed)", "unknown", ""}
_MONTH_AND_DAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"


@dataclass(frozen=True)
class Item:
    """What is known of an item.

    Attributes:
        id: as the log has it.
        title: for people.
        genres: words that describe it.
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


def read_items(dataset: Dataset) -> list[Item]:
    """Reads the items file; of an item that stands there twice the first row counts.

    Raises:
        DataError: a row has too few or too many fields, no id or one with a line break in it, or a quote that is not
            closed; file and line are named.
    """
    table = dataset.items
    if table is None:
        return []
    items: dict[str, Item] = {}
    for line, fields in _item_rows(table):
        if not "".join(fields).strip():
            continue
        if len(fields) != table.width:
            quote = "; a field with the separator in it stands in double quotes" if table.quoted else ""
            raise DataError(
                f"{table.file.path}, line {line}: expected {table.width} fields with {table.separator!r} between, "
                f"found {len(fields)}{quote}"
            )
        item = _make_item(table, fields)
        if not item.id:
            raise DataError(f"{table.file.path}, line {line}: no item id")
        if "\n" in item.id or "\r" in item.id:
            raise DataError(f"{table.file.path}, line {line}: the item id {item.id!r} has a line break in it")
        items.setdefault(item.id, item)
    return list(items.values())


def _item_rows(table: Table) -> Iterator[tuple[int, list[str]]]:
    """Yields the line number and the fields of each row of an items file."""
    content = read_bytes(table.file.path).removeprefix(b"\xef\xbb\xbf")
    lines = [decode(line, table.encoding) for line in content.split(b"\n")]
    if table.quoted:
        rows = _quoted_rows(table, lines)
    else:
        texts = enumerate((line.rstrip("\r") for line in lines), start=1)
        rows = ((number, text.split(table.separator) if text.strip() else []) for number, text in texts)
    if table.header:
        next(rows, None)
    return rows


def _quoted_rows(table: Table, lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((line + "\n" for line in lines), delimiter=table.separator, strict=True)
    first = 1
    try:
        for fields in reader:
            if len(fields) == table.width and _holds_rows(
                table, fields[table.columns[ITEM]], lines[first : reader.line_num]
            ):
                raise csv.Error("a quote that opens here holds the rows after it")
            yield first, fields
            first = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{table.file.path}, line {first}: {error}; look for a quote that is not closed, or double those inside a "
            "quoted field"
        ) from None


def _holds_rows(table: Table, id_: str, lines: list[str]) -> bool:
    """Returns whether the lines that continue a quoted field look like rows of their own.

    A description may have several lines, and each may hold as many separators as a row. Therefore every line, blank
    ones aside, must also start with an id of the same kinds of characters as the item's own id.
    """
    try:
        rows = [row for row in csv.reader(lines, delimiter=table.separator) if "".join(row).strip()]
    except csv.Error:  # Such as a carriage return in the middle of a line: no row of its own.
        return False
    return bool(rows) and all(
        len(row) == table.width and _characters(row[table.columns[ITEM]]) == _characters(id_) for row in rows
    )


def _characters(id_: str) -> set[str]:
    """Returns the kinds of characters of an id: letters, digits, and each other one as itself."""
    return {"a" if char.isalpha() else "9" if char.isdigit() else char for char in id_.strip()}


def _make_item(table: Table, fields: list[str]) -> Item:
    id_ = fields[table.columns[ITEM]].strip()
    title = fields[table.columns[TITLE]].strip() if TITLE in table.columns else ""
    year = _year(fields[table.columns[YEAR]]) if YEAR in table.columns else None
    if table.year_in_title:
        if year is None:
            year = _year(match.group(1)) if (match := re.search(r"\((\d{4})\)\s*$", title)) else None
        elif title and not re.search(r"\(\d{4}\)$", title):  # A title may name another year than that of its release.
            title = f"{title} ({year})"
    genres: list[str] = []
    if GENRES in table.columns:
        at = table.columns[GENRES]
        if table.genre_flags:
            flags = fields[at : at + len(table.genre_flags)]
            genres = [genre for genre, flag in zip(table.genre_flags, flags, strict=True) if flag.strip() == "1"]
        else:
            genres = fields[at].split(table.genre_separator)
    kept = tuple(genre.strip() for genre in genres if genre.strip() not in NO_GENRES)
    more = {name: _words(fields[at], table.genre_separator) for name, at in table.more.items()}
    return Item(id_, title or f"Item {id_}", kept, year, more)


def _words(text: str, separator: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(separator) if word.strip())


def _year(text: str) -> int | None:
    """Returns the first year in `1995`, `2008.0`, `01-Jan-1995`, `20190501` or `1998-2003`; None without one."""
    match = re.search(rf"(?<!\d)(1[89]\d\d|20\d\d|2100)({_MONTH_AND_DAY})?(?!\d)", text)
    return int(match.group(1)) if match else None
