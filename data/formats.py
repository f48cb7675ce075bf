"""Recognises a log of interactions: every published layout of MovieLens, and your own logs."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.archives import local_copy, unpack
from data.arrays import as_text
from data.clock import choose_clock
from data.columns import activity_columns, log_columns
from data.dataset import ACTIVITY, ITEM, NUMBERS, RATING, TIMESTAMP, USER, WORDS, Dataset, Log
from data.errors import DataError, UnreadableError
from data.files import COMPRESSIONS, DataFile, fixed_part, folder_of, is_uri, list_files, open_file
from data.interactions import MAX_RATING, MIN_RATING, as_words, plain_columns
from data.items_file import ITEM_NAMES, dataset_of, find_items
from data.readers import header_line, raw_head, text_head
from data.settings import DataSettings, LogColumns
from data.text import SEPARATORS, is_quoted, split_header

SUFFIXES = {
    "text": (".csv", ".tsv", ".txt", ".dat", ".inter"),
    "json": (".jsonl", ".ndjson", ".json"),
    "parquet": (".parquet", ".pq"),
}
# In a folder with more files, only this many are checked; a later file that lacks a column fails when it is read.
MAX_HEADERS = 20
KNOWN_LAYOUTS = (
    "ratings.dat + movies.dat (ml-1m), u.data + u.item (ml-100k), ratings.csv + movies.csv (ml-latest-small, ml-20m, "
    "ml-25m, ml-32m), *.inter + *.item (RecBole), or CSV, JSON Lines or Parquet files with columns for user, item and "
    "timestamp"
)
HEADLESS = ("ratings.dat", "u.data")  # published without a header
MOVIELENS_HEADER = ["userid", "movieid", "rating", "timestamp"]
# A log is not MovieLens's if more than these of its first rows differ from it.
MIN_OUTSIDE, OUTSIDE_SHARE = 3, 0.05
MAX_NAMES = 5  # names of files in a note


def open_dataset(path: str | Path, cache_dir: str | Path, settings: DataSettings | None = None) -> Dataset:
    """Recognises the data at a path.

    Args:
        path: path or URI of a folder, a pattern, a zip or a file.
        cache_dir: folder in which a zip is unpacked, once.
        settings: the declared properties of the data; all others are recognised.

    Raises:
        DataError: the path does not exist, its layout is unknown, or a declared column is missing.
    """
    given, settings = str(path), settings or DataSettings()
    path = given if is_uri(given) else os.path.abspath(given)
    name = _dataset_name(path)
    if path.lower().endswith(".zip"):
        archive = local_copy(path, Path(cache_dir)) if is_uri(path) else Path(path)
        if not archive.exists():
            _list(path, given)  # Raises an error.
        if not zipfile.is_zipfile(archive):
            raise DataError(f"{path}: not a zip file, or a truncated one; download it again")
        path = str(unpack(archive, Path(cache_dir)))
    elif not is_uri(path) and os.path.isfile(path) and zipfile.is_zipfile(path):
        path = str(unpack(Path(path), Path(cache_dir)))
    files = _list(path, given)
    if [file.path for file in files] == [path.rstrip("/")]:
        return _complete(name, _log_of(files, settings), [folder_of(path)], settings)
    return _recognise(path, files, name, settings)


def _list(path: str, given: str) -> list[DataFile]:
    """Returns the files below a path; an error shows the path as the user gave it."""
    try:
        return list_files(path)
    except DataError as error:
        raise DataError(str(error).replace(path, given)) from None


def _dataset_name(path: str) -> str:
    """Returns the name of a file without its suffixes, or the name of a folder."""
    parts = [part for part in path.rstrip("/").split("/") if not any(mark in part for mark in "*?")]
    name = parts[-1] if parts else "data"
    stem, suffix = os.path.splitext(name)
    if suffix.lower() in COMPRESSIONS:
        stem, suffix = os.path.splitext(stem)
    suffixes = {".zip"}.union(*SUFFIXES.values())
    return stem if suffix.lower() in suffixes else name


def _kind_of(file: DataFile) -> str | None:
    """Returns the kind of a log according to its suffix; None if the file cannot be a log."""
    stem, suffix = os.path.splitext(file.name.lower())
    if suffix in COMPRESSIONS:
        suffix = os.path.splitext(stem)[1]
    return next((kind for kind, suffixes in SUFFIXES.items() if suffix in suffixes), None)


def _recognise(path: str, files: list[DataFile], name: str, settings: DataSettings) -> Dataset:
    """Returns the dataset in the files below a path."""
    if not files:
        raise DataError(f"{path}: an empty folder; it should contain {KNOWN_LAYOUTS}")
    is_folder = all(file.path.startswith(f"{path.rstrip('/')}/") for file in files)
    root = path.rstrip("/") if is_folder else fixed_part(path)
    if published := _published(files):
        name = dataset_of(published[0].name) if published[0].name.endswith(".inter") else name
        dataset = _complete(name, _log_of(published, settings), [folder_of(published[0].path), root], settings)
        return dataset if dataset.log.movielens else _with_unread_files(dataset, files, root)
    logs = [file for file in files if _kind_of(file) and not _is_items(file)]
    by_kind: dict[str, list[DataFile]] = {}
    for number, file in enumerate(logs):
        if number >= MAX_HEADERS or _has_columns(file, settings):
            by_kind.setdefault(str(_kind_of(file)), []).append(file)
    if len(by_kind) == 1:
        (parts,) = by_kind.values()
        folders = [root, folder_of(parts[0].path)]
        dataset = _complete(name, _log_of(parts, settings), folders if len(parts) > 1 else folders[::-1], settings)
        return _with_unread_files(dataset, files, root)
    if len(logs) == 1 and not logs[0].name.endswith((".txt", ".dat")):
        _log_of(logs, settings)  # Raises an error that names the missing column.
    names = ", ".join(sorted({file.path[len(root) :].strip("/").partition("/")[0] for file in files})[:5])
    if by_kind:
        raise DataError(
            f"{path}: logs of several kinds among {names}; choose one kind, as in --data '{path}/*.parquet'"
        )
    raise DataError(
        f"{path}: no interactions found among {names}; it should contain {KNOWN_LAYOUTS}; other columns are declared "
        "as in --set data.columns.user=NAME"
    )


def _published(files: list[DataFile]) -> list[DataFile]:
    """Returns the logs with the name of a published dataset that are least deep; none if there are no such names."""
    files = sorted(files, key=lambda file: (file.path.count("/"), file.path))
    known = [file for file in files if file.name in (*HEADLESS, "ratings.csv") or file.name.endswith(".inter")]
    if known and known[0].name in HEADLESS:
        return known[:1]

    def key(file: DataFile) -> tuple[int, str]:
        return file.path.count("/"), dataset_of(file.name)

    return [file for file in known if key(file) == key(known[0])]


def _with_unread_files(dataset: Dataset, files: list[DataFile], root: str) -> Dataset:
    """Returns the dataset with a note that names the files of its folder that are not read."""
    read = {file.path for file in dataset.files}
    names = [file.path.removeprefix(f"{root}/") for file in files if file.path not in read]
    if not names:
        return dataset
    more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    note = f"not read, because they are neither the log nor its items: {', '.join(names[:MAX_NAMES])}{more}"
    return dataclasses.replace(dataset, notes=(*dataset.notes, note))


def _is_items(file: DataFile) -> bool:
    return file.name.partition(".")[0].lower() in ITEM_NAMES


def _has_columns(file: DataFile, settings: DataSettings) -> bool:
    try:
        if not file.size:
            return False
        _log_of([file], settings)
    except UnreadableError:
        raise
    except DataError:
        return False
    return True


def _log_of(files: list[DataFile], settings: DataSettings) -> Log:
    """Returns the log in files of one kind; the first file decides."""
    first = files[0]
    missing = settings.missing_words
    if first.name in HEADLESS and settings.columns == LogColumns():
        separator = settings.separator or ("::" if first.name == "ratings.dat" else "\t")
        columns = {USER: "0", ITEM: "1", RATING: "2", TIMESTAMP: "3"}
        columns |= activity_columns(first.path, [], columns, settings)
        return Log(tuple(files), "text", columns, separator=separator, header=False, quoted=False, width=4,
                   movielens=True, missing=missing)  # fmt: skip
    kind = _kind_of(first) or "text"
    if kind == "parquet":
        try:
            with open_file(first.path) as source:
                names = pq.ParquetFile(source).schema_arrow.names
        except (pa.ArrowInvalid, OSError) as error:
            raise UnreadableError(f"{first.path}: not a Parquet file, or a damaged one ({error})") from None
        columns = _columns_of(first.path, names, settings)
        return Log(tuple(files), "parquet", columns, missing=missing)
    head = text_head(first)
    if kind == "json":
        return Log(tuple(files), "json", log_columns(first.path, _json_names(first, head), settings), missing=missing)
    line, number, _ = header_line(head)
    separator = settings.separator or max(SEPARATORS[1:], key=line.count)
    names = split_header(line, separator)
    quoted = is_quoted(line if settings.header else "", separator)
    if not settings.header:
        numbers = [str(number + 1) for number in range(len(names))]
        columns = {name: str(int(number) - 1) for name, number in log_columns(first.path, numbers, settings).items()}
        return Log(tuple(files), "text", columns, separator=separator, header=False, quoted=quoted, width=len(names),
                   missing=missing)  # fmt: skip
    movielens = first.name.startswith("ml-") and first.name.endswith(".inter")
    movielens |= first.name == "ratings.csv" and [name.lower() for name in names] == MOVIELENS_HEADER
    columns = _columns_of(f"{first.path}, line {number}", names, settings)
    return Log(tuple(files), "text", columns, separator=separator, quoted=quoted, movielens=movielens, missing=missing)


def _columns_of(place: str, names: list[str], settings: DataSettings) -> dict[str, str]:
    """Returns the columns of a log by the project's names; `place` is for the error of a name that two columns have."""
    columns = log_columns(place, names, settings)
    for name in columns.values():
        if names.count(name) > 1:
            raise DataError(f"{place}: several columns have the name {name!r}; rename all but one")
    return columns


def _json_names(file: DataFile, head: bytes) -> list[str]:
    """Returns the keys of the first JSON objects of a file."""
    names: dict[str, None] = {}
    for line in head.split(b"\n")[:100]:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        names.update(dict.fromkeys(row) if isinstance(row, dict) else {})
    if not names:
        raise DataError(f"{file.path}, line 1: not a JSON object; JSON Lines have one on each line")
    return list(names)


def _complete(name: str, log: Log, folders: Sequence[str], settings: DataSettings) -> Dataset:
    """Returns the dataset of a log.

    The first rows decide how timestamps are written, which scale the ratings have, and whether activity features are
    words or numbers.

    Args:
        name: of the dataset.
        log: the log.
        folders: where the items file is expected.
        settings: the declarations.

    Raises:
        DataError: a column holds lists, objects or bytes, or its timestamps cannot be read.
    """
    notes: list[str] = []
    file, columns = raw_head(log)
    head = plain_columns(log, columns, file.path)
    if log.movielens and (difference := _difference_to_movielens(head)):
        log = dataclasses.replace(log, movielens=False)
        notes.append(f"{file.name} has {difference}: it is read as a log of another kind")
    if not log.movielens or settings.timestamp.unit or settings.timestamp.format:
        try:
            clock, clock_notes = choose_clock(head.get(TIMESTAMP), settings.timestamp)
        except DataError as error:
            raise DataError(f"{file.path}: {error}") from None
        log = dataclasses.replace(log, clock=clock)
        notes += clock_notes
    kinds = {name: _kind_of_values(log, head[ACTIVITY + name], kind) for name, kind in settings.activity.items()}
    log = dataclasses.replace(log, activity=kinds)
    return Dataset(name, log, find_items(log, folders, settings), tuple(notes))


def _kind_of_values(log: Log, values: pa.Array, declared: str) -> str:
    """Returns whether an activity feature holds words or numbers, according to its first values."""
    if declared != "auto":
        return declared
    words = as_words(log, values)
    known = words.filter(pc.not_equal(words, ""))
    try:
        known.cast(pa.float64())
    except pa.ArrowInvalid:
        return WORDS
    return NUMBERS if len(known) else WORDS


def _difference_to_movielens(head: Mapping[str, pa.Array]) -> str:
    """Returns how the first rows differ from MovieLens's; empty if they do not."""
    texts = {
        column: pc.utf8_trim_whitespace(as_text(head[column])) for column in (USER, ITEM, RATING) if column in head
    }
    if RATING in texts:
        is_number = pc.match_substring_regex(texts[RATING], r"^-?\d+(\.\d*)?$")
        ratings = pc.if_else(is_number, texts[RATING], str(MIN_RATING)).cast(pa.float64())
        if _differs(pc.and_(pc.greater_equal(ratings, MIN_RATING), pc.less_equal(ratings, MAX_RATING))):
            return "ratings outside MovieLens's 0.5 to 5"
    if any(_differs(pc.match_substring_regex(texts[column], r"^\d*$")) for column in (USER, ITEM)):
        return "ids that are not numbers"
    return ""


def _differs(is_usual: pa.Array) -> bool:
    outside = len(is_usual) - (pc.sum(is_usual).as_py() or 0)
    return outside >= MIN_OUTSIDE and outside > OUTSIDE_SHARE * len(is_usual)
