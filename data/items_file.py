"""Finds the items file of a log and recognises its layout."""

from __future__ import annotations

import dataclasses
import os

from data.columns import item_columns
from data.dataset import GENRES, ITEM, TITLE, YEAR, Log, Table
from data.errors import DataError
from data.files import DataFile, find_file, is_uri, list_files, read_bytes
from data.settings import DataSettings
from data.text import SEPARATORS, line_text, split_header

ITEM_NAMES = ("movies", "items", "products")
ML_100K_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


def find_items(log: Log, folder: str, settings: DataSettings) -> Table | None:
    """Returns the items file: the declared one, or a file with a known name in a folder; None if there is none.

    Args:
        log: the log.
        folder: folder in which the items file is expected.
        settings: the declared path and columns.

    Raises:
        DataError: the declared file is missing, or lacks a column.
    """
    first = log.files[0]
    if path := settings.items.path:
        return _table(list_files(path if is_uri(path) or os.path.isabs(path) else f"{folder}/{path}")[0], settings)
    names = [f"{name}{suffix}" for name in ITEM_NAMES for suffix in (".csv", ".tsv")]
    if first.name == "ratings.dat":
        names = ["movies.dat"]
    elif first.name == "u.data":
        names = ["u.item"]
    elif first.name.endswith(".inter"):
        names = [first.name.removesuffix(".inter") + ".item"]
    for name in names:
        file = find_file(f"{folder}/{name}")
        if file is None or file.path == first.path:
            continue
        if name == "movies.dat":
            # UTF-8 in ml-10m. The titles of ml-1m are Latin-1, which is not valid UTF-8 and then read as Windows-1252.
            return Table(file, "::", "utf-8", {ITEM: 0, TITLE: 1, GENRES: 2}, 3, year_in_title=True)
        if name == "u.item":
            columns = {ITEM: 0, TITLE: 1, YEAR: 2, GENRES: 5}
            return Table(file, "|", "latin-1", columns, 24, genre_flags=ML_100K_GENRES, year_in_title=True)
        return dataclasses.replace(_table(file, settings), year_in_title=log.movielens)
    return None


def _table(file: DataFile, settings: DataSettings) -> Table:
    """Returns an items file with a header."""
    line = line_text(read_bytes(file.path, 1 << 16).partition(b"\n")[0])
    if not line.strip():
        raise DataError(f"{file.path}: an empty file; its first line should name the columns, such as item, title")
    separator = max(SEPARATORS[1:], key=line.count)
    names = [name.lower() for name in split_header(line, separator)]
    columns, others = item_columns(f"{file.path}, line 1", names, settings)
    return Table(
        file,
        separator,
        "utf-8",
        columns,
        len(names),
        header=True,
        quoted=separator not in ("\t", "::"),
        genre_separator=" " if file.name.endswith(".item") else "|",
        more=others,
    )
