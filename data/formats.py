"""Recognises data from the files found: every shape in which MovieLens is published, and tables of one's own."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import DataError

USER, ITEM, RATING, TIMESTAMP = "user", "item", "rating", "timestamp"
TITLE, GENRES, YEAR = "title", "genres", "year"

# Names under which one's own tables may have the columns.
ALIASES = {
    USER: ("user", "user_id", "userid", "user_id:token"),
    ITEM: ("item", "item_id", "itemid", "movie_id", "movieid", "movie", "item_id:token"),
    RATING: ("rating", "score", "rating:float"),
    TIMESTAMP: ("timestamp", "time", "ts", "timestamp:float"),
    TITLE: ("title", "name", "movie_title", "movie_title:token_seq"),
    GENRES: ("genres", "genre", "class", "class:token_seq"),
    YEAR: ("year", "release_year", "release_year:token"),
}
KNOWN_SHAPES = (
    "ratings.dat + movies.dat (ml-1m), u.data + u.item (ml-100k), ratings.csv + movies.csv (ml-latest-small, ml-20m, "
    "ml-25m, ml-32m), *.inter + *.item (RecBole), or a CSV file with a header that names user, item and timestamp"
)


@dataclass(frozen=True)
class Table:
    """A file of rows.

    Attributes:
        path: the file.
        separator: between fields.
        encoding: of its text.
        columns: position of each column, by name.
        width: number of fields in a row.
        header: whether the first row names the columns.
        quoted: whether fields may stand in double quotes.
        genre_separator: between the genres of an item, and the values of other columns.
        more: position of each column that has no name of ours, by its own.
    """

    path: Path
    separator: str
    encoding: str
    columns: dict[str, int]
    width: int
    header: bool = False
    quoted: bool = False
    genre_separator: str = "|"
    more: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Ratings and what is known of their items.

    Attributes:
        name: of the dataset.
        ratings: the ratings table.
        items: the items table; None where there is none.
        movielens: whether ids are numbers and ratings run from 0.5 to 5, as in every published MovieLens.
    """

    name: str
    ratings: Table
    items: Table | None
    movielens: bool


def open_dataset(path: str | Path, cache_dir: str | Path) -> Dataset:
    """Recognise the data at a path.

    Args:
        path: a folder, a zip as published, or a CSV file.
        cache_dir: where a zip is unpacked, once.

    Raises:
        DataError: nothing is there, or it has no known shape.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; --data takes a folder, a zip or a CSV file with ratings")
    if path.is_dir():
        return _recognise_folder(path, path.resolve().name)
    if zipfile.is_zipfile(path):
        return _recognise_folder(unpack(path, Path(cache_dir)), path.stem)
    if path.suffix.lower() == ".zip":
        raise DataError(f"{path}: not a zip file, or a truncated one; download it again")
    return Dataset(path.stem, _headed_table(path, (USER, ITEM, TIMESTAMP)), _find_items(path.parent, path), False)


def unpack(archive: Path, cache_dir: Path) -> Path:
    """Unpack a zip into the cache, whole or not at all.

    Returns:
        The folder; one of the same content is used again.

    Raises:
        DataError: the zip is corrupt, or a member would land outside the folder.
    """
    with archive.open("rb") as stream:
        digest = _digest(stream)
    folder = cache_dir / f"{archive.stem}-{digest[:12]}"
    if folder.is_dir():
        return folder
    make_cache_dir(cache_dir)
    staging = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=cache_dir))
    try:
        with opened_zip(archive) as source:
            for member in source.infolist():
                source.extract(member, staging)
        try:
            os.rename(staging, folder)
        except OSError:
            if not folder.is_dir():  # Another run was faster.
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def make_cache_dir(cache_dir: Path) -> None:
    """Make the cache folder.

    Raises:
        DataError: it cannot be made or written.
    """
    reason = "no permission"
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        if os.access(cache_dir, os.W_OK | os.X_OK):
            return
    except OSError as error:
        reason = error.strerror or str(error)
    raise DataError(f"{cache_dir}: the cache folder cannot be written ({reason}); choose another with --cache-dir")


@contextmanager
def opened_zip(archive: Path) -> Iterator[zipfile.ZipFile]:
    """A zip whose members all stay inside the folder they are unpacked to; its faults become one line."""
    try:
        with zipfile.ZipFile(archive) as source:
            for member in source.infolist():
                name = member.filename.replace("\\", "/")
                if name.startswith("/") or ":" in name.split("/")[0] or ".." in name.split("/"):
                    raise DataError(f"{archive}: refused: {member.filename!r} would be unpacked outside its folder")
                if stat.S_ISLNK(member.external_attr >> 16):
                    raise DataError(f"{archive}: refused: {member.filename!r} is a link")
            yield source
    except OSError as error:
        raise DataError(f"{archive}: cannot be unpacked ({error})") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(f"{archive}: a corrupt zip ({error}); download it again") from None
    except Exception as error:
        # zlib.error has no public base class.
        if type(error).__name__ != "error":
            raise
        raise DataError(f"{archive}: a corrupt zip ({error}); download it again") from None


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 of the content of the ratings and items files, hexadecimal; the same for a zip and its folder."""
    digest = hashlib.sha256()
    for table in (dataset.ratings, dataset.items):
        if table is not None:
            with table.path.open("rb") as stream:
                digest.update(_digest(stream).encode())
    return digest.hexdigest()


def _digest(stream: object) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):  # type: ignore[attr-defined]
        digest.update(block)
    return digest.hexdigest()


def _recognise_folder(folder: Path, name: str) -> Dataset:
    """The dataset in a folder, or in the only folder in it that has one."""
    candidates = [folder, *sorted(child for child in folder.iterdir() if child.is_dir())]
    for candidate in candidates:
        found = _recognise_files(candidate, name)
        if found is not None:
            return found
    if not any(folder.iterdir()):
        raise DataError(f"{folder}: an empty folder; it should hold {KNOWN_SHAPES}")
    names = ", ".join(sorted(child.name for child in folder.iterdir())[:5])
    raise DataError(f"{folder}: no ratings found among {names}; it should hold {KNOWN_SHAPES}")


def _recognise_files(folder: Path, name: str) -> Dataset | None:
    if (ratings := folder / "ratings.dat").is_file():
        columns = {USER: 0, ITEM: 1, RATING: 2, TIMESTAMP: 3}
        # UTF-8 in ml-10m; the Latin-1 titles of ml-1m are no UTF-8, and then decoded as what they are.
        movies = Table(folder / "movies.dat", "::", "utf-8", {ITEM: 0, TITLE: 1, GENRES: 2}, 3)
        return Dataset(name, Table(ratings, "::", "utf-8", columns, 4), _if_there(movies), True)
    if (ratings := folder / "u.data").is_file():
        columns = {USER: 0, ITEM: 1, RATING: 2, TIMESTAMP: 3}
        movies = Table(folder / "u.item", "|", "latin-1", {ITEM: 0, TITLE: 1, YEAR: 2, GENRES: 5}, 24)
        return Dataset(name, Table(ratings, "\t", "utf-8", columns, 4), _if_there(movies), True)
    # Names with a dot in front are left out: macOS puts a shadow ._NAME beside each file on other systems' disks.
    if interactions := sorted(folder.glob("[!.]*.inter")):
        items = interactions[0].with_suffix(".item")
        table = _headed_table(interactions[0], (USER, ITEM, TIMESTAMP))
        found = _headed_table(items, (ITEM, TITLE), genre_separator=" ") if items.is_file() else None
        return Dataset(interactions[0].stem, table, found, interactions[0].stem.startswith("ml-"))
    if (ratings := folder / "ratings.csv").is_file():
        table = _headed_table(ratings, (USER, ITEM, TIMESTAMP))
        movielens = _header(ratings) == ["userid", "movieid", "rating", "timestamp"]
        return Dataset(name, table, _find_items(folder, ratings), movielens)
    tables = [path for path in sorted(folder.glob("[!.]*.csv")) if path.name not in ("items.csv", "movies.csv")]
    if len(tables) == 1:
        return Dataset(name, _headed_table(tables[0], (USER, ITEM, TIMESTAMP)), _find_items(folder, tables[0]), False)
    return None


def _if_there(table: Table) -> Table | None:
    return table if table.path.is_file() else None


def _find_items(folder: Path, ratings: Path) -> Table | None:
    for name in ("movies.csv", "items.csv"):
        path = folder / name
        if path.is_file() and path != ratings:
            return _headed_table(path, (ITEM, TITLE))
    return None


def _header(path: Path) -> list[str]:
    with path.open("rb") as stream:
        first = stream.readline(1 << 16).decode("utf-8-sig", "replace").strip("\r\n")
    separator = max(("\t", ",", ";"), key=first.count)
    return [field.strip().strip('"').lower() for field in first.split(separator)]


def _headed_table(path: Path, required: tuple[str, ...], genre_separator: str = "|") -> Table:
    """A table whose header names its columns."""
    with path.open("rb") as stream:
        first = stream.readline(1 << 16).decode("utf-8-sig", "replace")
    if not first.strip():
        raise DataError(f"{path}: an empty file; its first line should name the columns {', '.join(required)}")
    separator = max(("\t", ",", ";"), key=first.count)
    names = _header(path)
    columns = {}
    for column, aliases in ALIASES.items():
        position = next((names.index(alias) for alias in aliases if alias in names), None)
        if position is not None:
            columns[column] = position
    missing = [column for column in required if column not in columns]
    if missing:
        raise DataError(
            f"{path}, line 1: no column for {', '.join(missing)} in the header {first.strip()[:80]!r}; it should name "
            f"{', '.join(required)}, with ',', ';' or a tab between"
        )
    ours = {alias for aliases in ALIASES.values() for alias in aliases}
    more = {name.partition(":")[0]: position for position, name in enumerate(names) if name and name not in ours}
    return Table(path, separator, "utf-8", columns, len(names), True, separator != "\t", genre_separator, more)
