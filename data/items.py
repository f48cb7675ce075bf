"""Reads the items file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from data.dataset import GENRES, ITEM, TITLE, YEAR, Dataset, Table
from data.errors import DataError
from data.files import read_bytes
from data.text import decode

NO_GENRES = {"(no genres listed)", "unknown", ""}
_MONTH_AND_DAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"


@dataclass(frozen=True)
class Item:
    """An item.

    Attributes:
        id: the id in the log.
        title: the title that users see.
        genres: words that describe the item.
        year: year of release; None if unknown.
        more: values of the other columns of the items file, by column.
    """

    id: str
    title: str
    genres: tuple[str, ...] = ()
    year: int | None = None
    more: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        """Returns the words of each feature that a model can learn from."""
        year = () if self.year is None else (str(self.year),)
        return {"genres": self.genres, "year": year, **self.more}


def read_items(dataset: Dataset) -> list[Item]:
    """Reads the items file; if an item has several rows, the first one counts.

    Raises:
        DataError: a row has the wrong number of fields, no id, an id with a line break, or an unclosed quote.
    """
    table = dataset.items
    if table is None:
        return []
    items: dict[str, Item] = {}
    for line, fields in _item_rows(table):
        if not "".join(fields).strip():
            continue
        if len(fields) != table.width:
            quote = "; put a field that contains the separator in double quotes" if table.quoted else ""
            raise DataError(
                f"{table.file.path}, line {line}: expected {table.width} fields separated by {table.separator!r}, "
                f"found {len(fields)}{quote}"
            )
        item = _make_item(table, fields, dataset.log.missing)
        if not item.id:
            raise DataError(f"{table.file.path}, line {line}: no item id")
        if "\n" in item.id or "\r" in item.id:
            raise DataError(f"{table.file.path}, line {line}: the item id {item.id!r} has a line break")
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
        next((fields for _, fields in rows if "".join(fields).strip()), None)
    return rows


def _quoted_rows(table: Table, lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((line + "\n" for line in lines), delimiter=table.separator, strict=True)
    first = 1
    try:
        for fields in reader:
            continuation = lines[first : reader.line_num]
            if len(fields) == table.width and _are_rows(table, fields[table.columns[ITEM]], continuation):
                raise csv.Error("a quote that opens here contains the rows after it")
            yield first, fields
            first = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{table.file.path}, line {first}: {error}; look for an unclosed quote, or double the quotes inside a "
            "quoted field"
        ) from None


def _are_rows(table: Table, id_: str, lines: list[str]) -> bool:
    """Returns whether the lines that continue a quoted field look like rows of other items.

    A description may have several lines, and each may contain as many separators as a row. Therefore every line that
    is not blank must also start with an id that consists of the same kinds of characters as the item's own id.
    """
    try:
        rows = [row for row in csv.reader(lines, delimiter=table.separator) if "".join(row).strip()]
    except csv.Error:  # For example, a carriage return inside a line.
        return False
    return bool(rows) and all(
        len(row) == table.width and _characters(row[table.columns[ITEM]]) == _characters(id_) for row in rows
    )


def _characters(id_: str) -> set[str]:
    """Returns the kinds of characters of an id: letters, digits, and each other character itself."""
    return {"a" if char.isalpha() else "9" if char.isdigit() else char for char in id_.strip()}


def _make_item(table: Table, fields: list[str], missing: frozenset[str]) -> Item:
    id_ = fields[table.columns[ITEM]].strip()
    title = fields[table.columns[TITLE]].strip() if TITLE in table.columns else ""
    year = _year(fields[table.columns[YEAR]]) if YEAR in table.columns else None
    if table.year_in_title:
        if year is None:
            year = _year(match.group(1)) if (match := re.search(r"\((\d{4})\)\s*$", title)) else None
        elif title and not re.search(r"\(\d{4}\)$", title):  # A title may already end with another year.
            title = f"{title} ({year})"
    genres: tuple[str, ...] = ()
    if GENRES in table.columns:
        position = table.columns[GENRES]
        if table.genre_flags:
            flags = fields[position : position + len(table.genre_flags)]
            genres = tuple(genre for genre, flag in zip(table.genre_flags, flags, strict=True) if flag.strip() == "1")
        else:
            genres = _words(fields[position], table.genre_separator, missing)
    kept = tuple(genre for genre in genres if genre not in NO_GENRES)
    more = {name: _words(fields[position], table.genre_separator, missing) for name, position in table.more.items()}
    return Item(id_, title or f"Item {id_}", kept, year, more)


def _words(text: str, separator: str, missing: frozenset[str]) -> tuple[str, ...]:
    words = (word.strip() for word in text.split(separator))
    return tuple(word for word in words if word.lower() not in missing)


def _year(text: str) -> int | None:
    """Returns the first year in `1995`, `2008.0`, `01-Jan-1995`, `20190501` or `1998-2003`; None if there is none."""
    match = re.search(rf"(?<!\d)(1[89]\d\d|20\d\d|2100)({_MONTH_AND_DAY})?(?!\d)", text)
    return int(match.group(1)) if match else None
