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

ML_100K_GENRES = [
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
]
NO_GENRES = {"(no genres listed)", "unknown", ""}


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
                f"{table.file.path}, line {line}: expected {table.width} fields with {table.separator!r} between, "
                f"found {len(fields)}"
            )
        item = _make_item(table, fields)
        if not item.id:
            raise DataError(f"{table.file.path}, line {line}: no item id")
        items.setdefault(item.id, item)
    return list(items.values())


def _item_rows(table: Table) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row of an items file."""
    content = read_bytes(table.file.path).removeprefix(b"\xef\xbb\xbf")
    lines = (decode(line, table.encoding) for line in content.split(b"\n"))
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
        raise DataError(
            f"{table.file.path}, line {reader.line_num}: {error}; look for a quote that is not closed"
        ) from None


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
