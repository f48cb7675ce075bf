"""Finds the items file of a log and recognises its layout."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Sequence

from data.columns import item_columns
from data.dataset import GENRES, ITEM, TITLE, YEAR, Log, Table
from data.errors import DataError
from data.files import DataFile, find_file, is_uri, list_files
from data.readers import header_line, text_head
from data.settings import DataSettings
from data.text import SEPARATORS, is_quoted, split_header

ITEM_NAMES = ("movies", "items", "products")
ML_100K_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


def find_items(log: Log, folders: Sequence[str], settings: DataSettings) -> Table | None:
    """Returns the items file: the declared one, or a file with a known name in a folder; None if there is none.

    Args:
        log: the log.
        folders: folders in which the items file is expected.
        settings: the declared path and columns.

    Raises:
        DataError: the declared file is missing, or lacks a column.
    """
    first = log.files[0]
    if path := settings.items.path:
        is_absolute = is_uri(path) or os.path.isabs(path)
        paths = [path] if is_absolute else [f"{folder}/{path}" for folder in dict.fromkeys(folders)]
        paths = [path if is_uri(path) else os.path.normpath(path) for path in paths]
        return _table(next(filter(None, map(find_file, paths)), None) or list_files(paths[0])[0], settings)
    names = [f"{name}{suffix}" for name in ITEM_NAMES for suffix in (".csv", ".tsv")]
    if first.name == "ratings.dat":
        names = ["movies.dat"]
    elif first.name == "u.data":
        names = ["u.item"]
    elif first.name.endswith(".inter"):
        names = [f"{dataset_of(first.name)}.item"]
    for folder, name in itertools.product(dict.fromkeys(folders), names):
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


def dataset_of(name: str) -> str:
    """Returns the dataset of a file of RecBole, `NAME.inter` or, for example, `NAME.train.inter`."""
    return re.sub(r"(\.(train|valid|test))?\.inter$", "", name)


def _table(file: DataFile, settings: DataSettings) -> Table:
    """Returns an items file with a header."""
    if file.name.lower().endswith((".parquet", ".pq", ".json", ".jsonl", ".ndjson")):
        raise DataError(f"{file.path}: an items file is CSV or TSV; save it in this format")
    line, number, _ = header_line(text_head(file))
    separator = max(SEPARATORS[1:], key=line.count)
    names = [name.lower() for name in split_header(line, separator)]
    columns, others = item_columns(f"{file.path}, line {number}", names, settings)
    return Table(
        file,
        separator,
        "utf-8",
        columns,
        len(names),
        header=True,
        quoted=is_quoted(line, separator),
        genre_separator=" " if file.name.endswith(".item") else "|",
        more=others,
    )
