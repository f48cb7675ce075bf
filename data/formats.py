"""Recognises a log of interactions: every shape in which MovieLens is published, and logs of one's own."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.arrays import as_text
from data.clock import choose_clock
from data.dataset import (
    ACTIVITY,
    EVENT,
    GENRES,
    ITEM,
    NUMBERS,
    RATING,
    TIMESTAMP,
    TITLE,
    USER,
    WORDS,
    YEAR,
    Dataset,
    Log,
    Table,
)
from data.errors import DataError
from data.files import (
    COMPRESSIONS,
    DataFile,
    find_file,
    fixed_part,
    folder_of,
    is_uri,
    list_files,
    local_copy,
    open_file,
    read_bytes,
    unpack,
)
from data.readers import MAX_RATING, MIN_RATING, SEPARATORS, as_words, decode, raw_head, split_header
from data.settings import DataSettings

# Names that columns have without a declaration, in lower case, the more telling ones first.
ALIASES = {
    USER: (
        *("user", "user_id", "userid", "user_id:token", "visitor_id", "visitorid", "customer_id", "customerid"),
        *("reviewer_id", "reviewerid", "member_id", "account_id", "client_id", "session", "session_id", "sessionid"),
        "session_id:token",
    ),
    ITEM: (
        *("item", "item_id", "itemid", "movie_id", "movieid", "movie", "item_id:token", "product", "product_id"),
        *("productid", "article_id", "track_id", "song_id", "book_id", "parent_asin", "asin", "sku"),
    ),
    RATING: ("rating", "score", "rating:float", "overall", "stars"),
    TIMESTAMP: (
        *("timestamp", "time", "ts", "timestamp:float", "event_time", "eventtime", "unixreviewtime", "datetime"),
        *("created_at", "occurred_at", "date"),
    ),
    EVENT: ("event", "event_type", "eventtype", "behavior", "behavior_type", "action"),
    TITLE: ("title", "name", "movie_title", "movie_title:token_seq"),
    GENRES: ("genres", "genre", "class", "class:token_seq"),
    YEAR: ("year", "release_year", "release_year:token"),
}
TEXT, JSON, PARQUET = (".csv", ".tsv", ".txt", ".dat", ".inter"), (".jsonl", ".ndjson", ".json"), (".parquet", ".pq")
ITEM_NAMES = ("movies", "items", "products")
# Of a folder with more files, the first ones stand for all; a file that lacks a column stops the run when it is read.
MAX_HEADERS = 20
ML_100K_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
KNOWN_SHAPES = (
    "ratings.dat + movies.dat (ml-1m), u.data + u.item (ml-100k), ratings.csv + movies.csv (ml-latest-small, ml-20m, "
    "ml-25m, ml-32m), *.inter + *.item (RecBole), or CSV, JSON Lines or Parquet files with columns for user, item and "
    "timestamp"
)
HEADLESS = ("ratings.dat", "u.data")  # published without a header
MOVIELENS_HEADER = ["userid", "movieid", "rating", "timestamp"]
MIN_OUTSIDE, OUTSIDE_SHARE = 3, 0.05  # ratings of the first rows that show another scale than MovieLens's


def open_dataset(path: str | Path, cache_dir: str | Path, settings: DataSettings | None = None) -> Dataset:
    """Recognises the data at a path.

    Args:
        path: path or URI of a folder, a pattern, a zip or a file.
        cache_dir: where a zip is unpacked, once.
        settings: what is declared; the rest is recognised.

    Raises:
        DataError: nothing is there, it has no known shape, or a declared column is missing.
    """
    given, settings = str(path), settings or DataSettings()
    path = given if is_uri(given) else os.path.abspath(given)
    name = _name_of(path)
    if path.lower().endswith(".zip"):
        archive = local_copy(path, Path(cache_dir)) if is_uri(path) else Path(path)
        if not archive.exists():
            _list(path, given)  # It raises.
        if not zipfile.is_zipfile(archive):
            raise DataError(f"{path}: not a zip file, or a truncated one; download it again")
        path = str(unpack(archive, Path(cache_dir)))
    elif not is_uri(path) and os.path.isfile(path) and zipfile.is_zipfile(path):
        path = str(unpack(Path(path), Path(cache_dir)))
    files = _list(path, given)
    if [file.path for file in files] == [path.rstrip("/")]:
        log = _log_of(files, settings)
        beside = folder_of(path)
    else:
        name, log, beside = _recognise(path, files, name, settings)
    return _finish(name, log, beside, settings)


def _list(path: str, given: str) -> list[DataFile]:
    """Returns the files below a path; an error names it as it was given."""
    try:
        return list_files(path)
    except DataError as error:
        raise DataError(str(error).replace(path, given)) from None


def _name_of(path: str) -> str:
    """Returns the name of a dataset: that of the file without its suffixes, or of the folder of a pattern."""
    parts = [part for part in path.rstrip("/").split("/") if not any(mark in part for mark in "*?")]
    name = parts[-1] if parts else "data"
    stem, suffix = os.path.splitext(name)
    if suffix.lower() in COMPRESSIONS:
        stem, suffix = os.path.splitext(stem)
    return stem if suffix.lower() in (*TEXT, *JSON, *PARQUET, ".zip") else name


def _kind_of(file: DataFile) -> str | None:
    """Returns the kind of a file by its suffix; None where it is no log."""
    stem, suffix = os.path.splitext(file.name.lower())
    if suffix in COMPRESSIONS:
        suffix = os.path.splitext(stem)[1]
    return next(
        (kind for kind, names in (("text", TEXT), ("json", JSON), ("parquet", PARQUET)) if suffix in names), None
    )


def _recognise(path: str, files: list[DataFile], name: str, settings: DataSettings) -> tuple[str, Log, str]:
    """Returns the name, the log and the folder of the items of the data below a path."""
    if not files:
        raise DataError(f"{path}: an empty folder; it should hold {KNOWN_SHAPES}")
    by_depth = sorted(files, key=lambda file: (file.path.count("/"), file.path))
    for file in by_depth:
        if file.name in (*HEADLESS, "ratings.csv"):
            return name, _log_of([file], settings), folder_of(file.path)
        if file.name.endswith(".inter"):
            return file.name.removesuffix(".inter"), _log_of([file], settings), folder_of(file.path)
    logs = [file for file in files if _kind_of(file) and not _is_items(file)]
    by_kind: dict[str, list[DataFile]] = {}
    for number, file in enumerate(logs):
        if number >= MAX_HEADERS or _has_columns(file, settings):
            by_kind.setdefault(str(_kind_of(file)), []).append(file)
    if len(by_kind) == 1:
        (parts,) = by_kind.values()
        return name, _log_of(parts, settings), fixed_part(path) if len(parts) > 1 else folder_of(parts[0].path)
    if len(logs) == 1 and not logs[0].name.endswith((".txt", ".dat")):
        _log_of(logs, settings)  # It raises, and names the column that is missing.
    names = ", ".join(sorted({file.path[len(fixed_part(path)) :].strip("/").partition("/")[0] for file in files})[:5])
    if by_kind:
        raise DataError(
            f"{path}: logs of several kinds among {names}; name those of one, as in --data '{path}/*.parquet'"
        )
    raise DataError(
        f"{path}: no interactions found among {names}; it should hold {KNOWN_SHAPES}; other columns are declared as in "
        "--set data.columns.user=NAME"
    )


def _is_items(file: DataFile) -> bool:
    return file.name.partition(".")[0].lower() in ITEM_NAMES


def _has_columns(file: DataFile, settings: DataSettings) -> bool:
    try:
        _log_of([file], settings)
    except DataError:
        return False
    return True


def _log_of(files: list[DataFile], settings: DataSettings) -> Log:
    """Returns the log in files of one kind, judged by the first of them."""
    first = files[0]
    missing = settings.missing_words
    if first.name in HEADLESS and settings.columns == type(settings.columns)():
        separator = settings.separator or ("::" if first.name == "ratings.dat" else "\t")
        columns = {USER: "0", ITEM: "1", RATING: "2", TIMESTAMP: "3"}
        columns |= _activity_columns(first.path, [], columns, settings)
        return Log(tuple(files), "text", columns, separator=separator, header=False, quoted=False, width=4,
                   movielens=True, missing=missing)  # fmt: skip
    kind = _kind_of(first) or "text"
    if kind == "parquet":
        try:
            with open_file(first.path) as source:
                names = pq.ParquetFile(source).schema_arrow.names
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{first.path}: no Parquet file, or a damaged one ({error})") from None
        return Log(tuple(files), "parquet", _columns(first.path, names, settings), missing=missing)
    head = read_bytes(first.path, 1 << 16)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{first.path}: text in UTF-16; save it as UTF-8")
    if not head.strip():
        raise DataError(f"{first.path}: an empty file; its first line should name the columns user, item, timestamp")
    if kind == "json":
        return Log(tuple(files), "json", _columns(first.path, _json_names(first, head), settings), missing=missing)
    line = decode(head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0]).rstrip("\r")
    separator = settings.separator or max(SEPARATORS[1:], key=line.count)
    names = split_header(line, separator)
    quoted = separator not in ("\t", "::")
    if not settings.header:
        columns = {name: str(int(at) - 1) for name, at in _columns(first.path, _numbers(len(names)), settings).items()}
        return Log(tuple(files), "text", columns, separator=separator, header=False, quoted=quoted, width=len(names),
                   missing=missing)  # fmt: skip
    movielens = first.name.startswith("ml-") and first.name.endswith(".inter")
    movielens |= first.name == "ratings.csv" and [name.lower() for name in names] == MOVIELENS_HEADER
    return Log(tuple(files), "text", _columns(f"{first.path}, line 1", names, settings), separator=separator,
               quoted=quoted, movielens=movielens, missing=missing)  # fmt: skip


def _numbers(width: int) -> list[str]:
    return [str(number + 1) for number in range(width)]


def _json_names(file: DataFile, head: bytes) -> list[str]:
    names: dict[str, None] = {}
    for line in head.split(b"\n")[:100]:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        names.update(dict.fromkeys(found) if isinstance(found, dict) else {})
    if not names:
        raise DataError(f"{file.path}, line 1: not a JSON object; JSON Lines have one on each line")
    return list(names)


def _columns(where: str, names: list[str], settings: DataSettings) -> dict[str, str]:
    """Returns the name in the file of each column that is declared or recognised."""
    declared = settings.columns.model_dump(exclude_none=True)
    lower = {name.lower(): name for name in reversed(names)}
    columns: dict[str, str] = {}
    for column in (USER, ITEM, RATING, TIMESTAMP, EVENT):
        if column in declared:
            name = declared[column] if declared[column] in names else lower.get(declared[column].strip().lower())
            if name is None:
                raise DataError(
                    f"{where}: no column {declared[column]!r}, which data.columns.{column} names; there are "
                    f"{', '.join(names)[:200]}"
                )
            columns[column] = name
        elif name := next((lower[alias] for alias in ALIASES[column] if alias in lower), None):
            columns[column] = name
    if settings.timestamp.unit == "rows":
        columns.pop(TIMESTAMP, None)
    required = (USER, ITEM) if settings.timestamp.unit == "rows" else (USER, ITEM, TIMESTAMP)
    if absent := [column for column in required if column not in columns]:
        order = "; --set data.timestamp.unit=rows takes the order of the rows" if absent == [TIMESTAMP] else ""
        raise DataError(
            f"{where}: no column for {', '.join(absent)} in the header {','.join(names)[:80]!r}; name "
            f"{'it' if len(absent) == 1 else 'them'}, as in --set data.columns.{absent[0]}=NAME{order}"
        )
    return columns | _activity_columns(where, names, columns, settings)


def _activity_columns(where: str, names: list[str], columns: dict[str, str], settings: DataSettings) -> dict[str, str]:
    """Returns the name in the file of each column that is a feature of activities.

    Args:
        where: for errors.
        names: of the file's columns; the part after a colon, as RecBole writes types, may be left out.
        columns: those of ours, whose names may stand for them.
        settings: with the features.

    Raises:
        DataError: the file has no such column.
    """
    known = {**columns, **{name.partition(":")[0].lower(): name for name in names}}
    known |= {**{name.lower(): name for name in names}, **{name: name for name in names}}
    chosen: dict[str, str] = {}
    for name in settings.activity:
        file_name = known.get(name) or known.get(name.strip().lower())
        if file_name is None:
            raise DataError(
                f"{where}: no column {name!r}, which trainer.activity_features names; there are "
                f"{', '.join(names or columns)[:200]}"
            )
        chosen[ACTIVITY + name] = file_name
    return chosen


def _finish(name: str, log: Log, beside: str, settings: DataSettings) -> Dataset:
    """Decides by the first rows how timestamps are written and which scale ratings have, and finds the items."""
    notes: list[str] = []
    head = raw_head(log)
    if log.movielens and RATING in head and _has_other_scale(head[RATING]):
        log = dataclasses.replace(log, movielens=False)
        notes.append(f"{log.files[0].name} has other ratings than MovieLens, 0.5 to 5: it is read as a log of its own")
    if not log.movielens or settings.timestamp.unit or settings.timestamp.format:
        try:
            clock, clock_notes = choose_clock(head.get(TIMESTAMP), settings.timestamp)
        except DataError as error:
            raise DataError(f"{log.files[0].path}: {error}") from None
        log = dataclasses.replace(log, clock=clock)
        notes += clock_notes
    kinds = {name: _kind_of_values(log, name, head[ACTIVITY + name], kind) for name, kind in settings.activity.items()}
    log = dataclasses.replace(log, activity=kinds)
    return Dataset(name, log, _find_items(log, beside, settings), tuple(notes))


def _kind_of_values(log: Log, name: str, values: pa.Array, declared: str) -> str:
    """Returns whether a feature of activities holds words or numbers, judged by its first values.

    Raises:
        DataError: it holds lists or objects.
    """
    if pa.types.is_nested(values.type):
        raise DataError(
            f"{log.files[0].path}: the column {name!r}, which trainer.activity_features names, holds {values.type}; "
            "a feature of an activity is a word or a number"
        )
    if declared != "auto":
        return declared
    words = as_words(log, values)
    known = words.filter(pc.not_equal(words, ""))
    try:
        known.cast(pa.float64())
    except pa.ArrowInvalid:
        return WORDS
    return NUMBERS if len(known) else WORDS


def _has_other_scale(ratings: pa.Array) -> bool:
    texts = pc.utf8_trim_whitespace(as_text(ratings))
    numbers = texts.filter(pc.match_substring_regex(texts, r"^-?\d+(\.\d*)?$")).cast(pa.float64()).to_numpy()
    outside = int(np.sum((numbers < MIN_RATING) | (numbers > MAX_RATING)))
    return outside >= MIN_OUTSIDE and outside > OUTSIDE_SHARE * len(texts)


def _find_items(log: Log, beside: str, settings: DataSettings) -> Table | None:
    """Returns the items file: the declared one, or one of a known name beside the log."""
    first = log.files[0]
    if settings.items.path:
        path = settings.items.path
        path = path if is_uri(path) or os.path.isabs(path) else f"{beside}/{path}"
        return _items_table(list_files(path)[0], settings)
    names = [f"{name}{suffix}" for name in ITEM_NAMES for suffix in (".csv", ".tsv")]
    if first.name == "ratings.dat":
        names = ["movies.dat"]
    elif first.name == "u.data":
        names = ["u.item"]
    elif first.name.endswith(".inter"):
        names = [first.name.removesuffix(".inter") + ".item"]
    for name in names:
        file = find_file(f"{beside}/{name}")
        if file is None or file.path == first.path:
            continue
        if name == "movies.dat":
            # UTF-8 in ml-10m; the Latin-1 titles of ml-1m are no UTF-8, and then decoded as what they are.
            return Table(file, "::", "utf-8", {ITEM: 0, TITLE: 1, GENRES: 2}, 3, year_in_title=True)
        if name == "u.item":
            columns = {ITEM: 0, TITLE: 1, YEAR: 2, GENRES: 5}
            return Table(file, "|", "latin-1", columns, 24, genre_flags=ML_100K_GENRES, year_in_title=True)
        return dataclasses.replace(_items_table(file, settings), year_in_title=log.movielens)
    return None


def _items_table(file: DataFile, settings: DataSettings) -> Table:
    """Returns an items file whose header names its columns."""
    line = decode(read_bytes(file.path, 1 << 16).removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0]).rstrip("\r")
    if not line.strip():
        raise DataError(f"{file.path}: an empty file; its first line should name the columns, such as item, title")
    separator = max(SEPARATORS[1:], key=line.count)
    names = [name.lower() for name in split_header(line, separator)]
    declared = settings.items.columns.model_dump(exclude_none=True)
    columns: dict[str, int] = {}
    for column in (ITEM, TITLE, GENRES, YEAR):
        if column in declared:
            if declared[column].strip().lower() not in names:
                raise DataError(
                    f"{file.path}, line 1: no column {declared[column]!r}, which data.items.columns.{column} names; "
                    f"there are {', '.join(names)[:200]}"
                )
            columns[column] = names.index(declared[column].strip().lower())
        elif alias := next((alias for alias in ALIASES[column] if alias in names), None):
            columns[column] = names.index(alias)
    if ITEM not in columns:
        raise DataError(
            f"{file.path}, line 1: no column for item in the header {line[:80]!r}; name it, as in --set "
            "data.items.columns.item=NAME"
        )
    known = {alias for column in (ITEM, TITLE, GENRES, YEAR) for alias in ALIASES[column]}
    known.update(names[at] for at in columns.values())
    more = {name.partition(":")[0]: at for at, name in enumerate(names) if name and name not in known}
    return Table(
        file,
        separator,
        "utf-8",
        columns,
        len(names),
        header=True,
        quoted=separator not in ("\t", "::"),
        genre_separator=" " if file.name.endswith(".item") else "|",
        more=more,
    )
