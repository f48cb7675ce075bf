"""A log of interactions and its items file, with their recognised layouts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from data.clock import Clock
from data.files import DataFile, fingerprint_of

USER, ITEM, RATING, TIMESTAMP, EVENT = "user", "item", "rating", "timestamp", "event"
TITLE, GENRES, YEAR = "title", "genres", "year"
ACTIVITY = "activity:"  # prefix of a column that is an activity feature
WORDS, NUMBERS = "words", "numbers"


@dataclass(frozen=True)
class Log:
    """The files of interactions and their layout.

    Attributes:
        files: the files, in the order of their rows.
        kind: `text` with a separator, `json` for a JSON object on each line, or `parquet`.
        columns: the name of each column in the files; without a header its number from 0, as text.
        clock: the notation of timestamps.
        separator: separator of the fields of a text file.
        header: whether the first row of each text file names the columns.
        quoted: whether fields may be in double quotes.
        width: number of fields in a row of a file without a header.
        movielens: whether ids are numbers and ratings are 0.5 to 5, as in every published MovieLens dataset.
        missing: words for a missing value, in lower case.
        activity: `words` or `numbers` for each activity feature; its key in `columns` has the prefix `ACTIVITY`.
    """

    files: tuple[DataFile, ...]
    kind: Literal["text", "json", "parquet"]
    columns: dict[str, str]
    clock: Clock = field(default_factory=lambda: Clock("s"))
    separator: str = ","
    header: bool = True
    quoted: bool = True
    width: int = 0
    movielens: bool = False
    missing: frozenset[str] = frozenset({""})
    activity: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """An items file.

    Attributes:
        file: the file.
        separator: separator of the fields.
        encoding: encoding of the text.
        columns: position of each column, by name.
        width: number of fields in a row.
        header: whether the first row names the columns.
        quoted: whether fields may be in double quotes.
        genre_separator: separator of the genres of an item, and of several values in another column.
        genre_flags: names of the genres, if each has its own column of 1 and 0; the position of `genres` is then that
            of the first such column.
        year_in_title: whether titles end with the year, as in MovieLens.
        more: position of each other column, by its name in the file.
    """

    file: DataFile
    separator: str
    encoding: str
    columns: dict[str, int]
    width: int
    header: bool = False
    quoted: bool = False
    genre_separator: str = "|"
    genre_flags: tuple[str, ...] = ()
    year_in_title: bool = False
    more: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Interactions and their items.

    Attributes:
        name: name of the dataset.
        log: the interactions.
        items: the items file; None if there is none.
        notes: notes for the user about the recognised layout.
    """

    name: str
    log: Log
    items: Table | None = None
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> list[DataFile]:
        """Returns all files, the log first."""
        return [*self.log.files, *([self.items.file] if self.items else [])]


def fingerprint(dataset: Dataset) -> str:
    """Returns a hexadecimal SHA-256 that identifies the data; see `data.files.fingerprint_of`."""
    return fingerprint_of(dataset.files)[0]
