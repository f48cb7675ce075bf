"""Writes data like MovieLens', of any size and in any published format, without holding it in memory.

    .venv/bin/python -m benchmarks.generate --ratings 32_000_000 --users 200_000 --items 87_000 --format ml-32m \
        --seed 1 --output FOLDER

The same arguments give the same bytes. `benchmarks/synthetic.py` says how the ratings are made; the films are invented.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.synthetic import Block, World, blocks, make_world
from data.items_file import ML_100K_GENRES

GENRES = ML_100K_GENRES[1:]  # without "unknown"
KIND = 50  # neighbours on the ring that share their first genre
FIRST_YEAR, YEARS = 1930, 90
PARTS = "part-{:05}.parquet"


@dataclass(frozen=True)
class Film:
    """An invented item: its number from 1, title without and with the year, year, and one or two of GENRES."""

    number: int
    name: str
    year: int
    genres: list[str]

    @property
    def title(self) -> str:
        """Returns the title as MovieLens has it, with the year."""
        return f"{self.name} ({self.year})"


@dataclass(frozen=True)
class Format:
    """The layout of ratings and items.

    Attributes:
        ratings: name of the ratings file.
        items: name of the items file.
        fields: of an item after its id.
        header: first line of the ratings file.
        items_header: first line of the items file. With one, files are CSV in UTF-8, and ratings are 0.5, 1.0, ... 5.0;
            without, files are Latin-1 without quotes, and ratings are 1, 2, ... 5.
        separators: between the fields of the ratings (user, item, rating, timestamp) and of the items.
        prefixes: what stands before a user's and an item's number.
    """

    ratings: str
    items: str
    fields: Callable[[Film], list[object]]
    header: str = ""
    items_header: str = ""
    separators: tuple[str, str] = (",", ",")
    prefixes: tuple[str, str] = ("", "")


def _title_and_genres(film: Film) -> list[object]:
    return [film.title, "|".join(film.genres)]


def _title_and_flags(film: Film) -> list[object]:
    return [film.title, f"01-Jan-{film.year}", "", "http://x", *(int(genre in film.genres) for genre in ML_100K_GENRES)]


def _all_columns(film: Film) -> list[object]:
    return [film.name, "|".join(film.genres), film.year]


ITEMS_HEADER = "item,title,genres,year"
MOVIES_CSV = Format(
    "ratings.csv", "movies.csv", _title_and_genres, "userId,movieId,rating,timestamp", "movieId,title,genres"
)
FORMATS = {
    "ml-1m": Format("ratings.dat", "movies.dat", _title_and_genres, separators=("::", "::")),
    "ml-100k": Format("u.data", "u.item", _title_and_flags, separators=("\t", "|")),
    **dict.fromkeys(("ml-latest-small", "ml-20m", "ml-25m", "ml-32m"), MOVIES_CSV),
    "csv": Format(
        "log.csv", "items.csv", _all_columns, "user,item,rating,timestamp", ITEMS_HEADER, prefixes=("user-", "item-")
    ),
    "parquet": Format(PARTS, "items.csv", _all_columns, items_header=ITEMS_HEADER),
}


def generate(world: World, layout: Format, folder: Path) -> None:
    """Writes a dataset into a folder that exists; memory does not grow with it."""
    encoding = "utf-8" if layout.items_header else "latin-1"
    with (folder / layout.items).open("w", encoding=encoding, newline="") as stream:
        _write_items(world, layout, stream)
    if layout.ratings == PARTS:
        for number, block in enumerate(blocks(world)):
            pq.write_table(_table(block), folder / PARTS.format(number))
        return
    with (folder / layout.ratings).open("w", encoding=encoding, newline="") as stream:
        if layout.header:
            stream.write(f"{layout.header}\n")
        for block in blocks(world):
            _write_lines(block, layout, stream)


def _write_items(world: World, layout: Format, stream: TextIO) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    if layout.items_header:
        stream.write(f"{layout.items_header}\n")
    for film in _films(world):
        fields = [f"{layout.prefixes[1]}{film.number}", *layout.fields(film)]
        if layout.items_header:
            writer.writerow(fields)
        else:
            stream.write(layout.separators[1].join(map(str, fields)) + "\n")


def _films(world: World) -> Iterator[Film]:
    random = np.random.default_rng([world.seed, 2])
    years = (FIRST_YEAR + random.integers(0, YEARS, len(world.item))).tolist()
    others = random.integers(0, len(GENRES), len(world.item)).tolist()
    for index, place in enumerate(world.place.tolist()):
        name = f"Película {index + 1}, La" if index % 5 == 0 else f"Film {index + 1}"
        genres = dict.fromkeys([GENRES[place // KIND % len(GENRES)], GENRES[others[index]]])
        yield Film(index + 1, name, years[index], list(genres))


def _half_stars(block: Block) -> np.ndarray:
    """Returns the ratings in half stars, int64 [R], from 1 to 10."""
    return np.clip(np.rint(block.rating * 2), 1, 10).astype(np.int64)


def _table(block: Block) -> pa.Table:
    """Returns the rows of a block with integers for ids, and times of a zone."""
    stars = (_half_stars(block) / 2).astype(np.float32)
    time = pa.array(block.timestamp * 1000).cast(pa.timestamp("ms", "UTC"))
    return pa.table({"user": block.user + 1, "item": block.item + 1, "rating": stars, "timestamp": time})


def _write_lines(block: Block, layout: Format, stream: TextIO) -> None:
    if layout.items_header:
        stars = pa.array([str(half / 2) for half in range(11)]).take(pa.array(_half_stars(block)))
    else:
        stars = pa.array(np.clip(np.rint(block.rating), 1, 5).astype(np.int64)).cast(pa.string())
    user, item = (
        pc.binary_join_element_wise(prefix, pa.array(column + 1).cast(pa.string()), "")
        for prefix, column in zip(layout.prefixes, (block.user, block.item), strict=True)
    )
    time = pa.array(block.timestamp).cast(pa.string())
    lines = pc.binary_join_element_wise(user, item, stars, time, layout.separators[0])
    stream.write("\n".join(lines.to_pylist()) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Writes the requested data; an invalid option ends with exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("ratings", "users", "items"):
        parser.add_argument(f"--{name}", type=int, required=True, metavar="N", help=f"number of {name}")
    parser.add_argument("--format", choices=FORMATS, default="ml-32m", help="layout (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="a new or empty folder")
    options = parser.parse_args(arguments)
    try:
        world = make_world(options.ratings, options.users, options.items, options.seed)
        options.output.mkdir(parents=True, exist_ok=True)
        if any(options.output.iterdir()):
            parser.error(f"{options.output}: not empty; choose another folder")
        generate(world, FORMATS[options.format], options.output)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{error.filename or options.output}: cannot be written ({error.strerror})")
    print(f"{options.ratings:,} ratings of {options.users:,} users and {options.items:,} items in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
