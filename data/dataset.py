"""A log of interactions and its items file, as they were recognised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from data.clock import Clock
from data.files import DataFile, fingerprint_of

USER, ITEM, RATING, TIMESTAMP, EVENT = "user", "item", "rating", "timestamp", "event"
TITLE, GENRES, YEAR = "title", "genres", "year"
ACTIVITY = "activity:"  # before the name of a column that is a feature of activities
WORDS, NUMBERS = "words", "numbers"


@dataclass(frozen=True)
class Log:
    """The files of interactions.

    Attributes:
        files: in the order of their rows.
        kind: `text` with a separator, `json` for a JSON object on each line, or `parquet`.
        columns: the name of each column in the files; its number from 0, as text, where they have no header.
        clock: how timestamps are written.
        separator: between the fields of text.
        header: whether the first row of each text file names the columns.
        quoted: whether fields may stand in double quotes.
        width: number of fields in a row without a header.
        movielens: whether ids are numbers and ratings run from 0.5 to 5, as in every published MovieLens.
        missing: words for a missing value, in lower case.
        activity: for each feature of activities, whether its column holds `words` or `numbers`; in `columns` it has
            `ACTIVITY` before its name.
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
        separator: between fields.
        encoding: of its text.
        columns: position of each column, by name.
        width: number of fields in a row.
        header: whether the first row names the columns.
        quoted: whether fields may stand in double quotes.
        genre_separator: between the genres of an item, and the values of other columns.
        genre_flags: names of genres that have a column each from that of `genres` on, which holds 1 or 0.
        year_in_title: whether titles end with the year, as in MovieLens.
        more: position of each column that has no name of ours, by its own.
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
    """Interactions and what is known of their items.

    Attributes:
        name: of the dataset.
        log: the interactions.
        items: the items file; None where there is none.
        notes: lines that a person should read about the reading.
    """

    name: str
    log: Log
    items: Table | None = None
    notes: tuple[str, ...] = ()

    @property
    def movielens(self) -> bool:
        """Whether it is a MovieLens as published."""
        return self.log.movielens

    @property
    def files(self) -> list[DataFile]:
        """All files, those of the log first."""
        return [*self.log.files, *([self.items.file] if self.items else [])]


def fingerprint(dataset: Dataset) -> str:
    """Returns a hexadecimal SHA-256 that stands for the data; see `data.files.fingerprint_of`."""
    return fingerprint_of(dataset.files)[0]
