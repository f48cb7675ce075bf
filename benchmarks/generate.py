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
from typing import BinaryIO

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
    """An invented item: its id in the file, title, year and one or two of GENRES."""

    id: str
    title: str
    year: int
    genres: list[str]


@dataclass(frozen=True)
class Format:
    """The layout of ratings and items.

    Attributes:
        ratings: name of the ratings file.
        separator: between its fields: user, item, rating, timestamp.
        items: name of the items file.
        rows: its rows as text, encoded.
        header: first line of the ratings file.
        half_stars: whether ratings are 0.5, 1.0, ... 5.0 instead of 1, 2, ... 5.
        user_prefix: what stands before a user's number.
        item_prefix: what stands before an item's number.
    """

    ratings: str
    separator: str
    items: str
    rows: Callable[[Iterator[Film]], Iterator[bytes]]
    header: str = ""
    half_stars: bool = False
    user_prefix: str = ""
    item_prefix: str = ""


class _Line:
    """A stream that keeps the last line of `csv.writer`."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


def _csv(names: list[str], fields: Callable[[Film], list[object]]) -> Callable[[Iterator[Film]], Iterator[bytes]]:
    def rows(films: Iterator[Film]) -> Iterator[bytes]:
        line = _Line()
        writer = csv.writer(line, lineterminator="\n")
        writer.writerow(names)
        yield line.text.encode()
        for film in films:
            writer.writerow(fields(film))
            yield line.text.encode()

    return rows


def _movies_dat(films: Iterator[Film]) -> Iterator[bytes]:
    for film in films:
        yield f"{film.id}::{film.title} ({film.year})::{'|'.join(film.genres)}\n".encode("latin-1")


def _u_item(films: Iterator[Film]) -> Iterator[bytes]:
    for film in films:
        flags = "|".join(str(int(genre in film.genres)) for genre in ML_100K_GENRES)
        yield f"{film.id}|{film.title} ({film.year})|01-Jan-{film.year}||http://x|{flags}\n".encode("latin-1")


_MOVIES_CSV = _csv(
    ["movieId", "title", "genres"], lambda film: [film.id, f"{film.title} ({film.year})", "|".join(film.genres)]
)
_ITEMS_CSV = _csv(
    ["item", "title", "genres", "year"], lambda film: [film.id, film.title, "|".join(film.genres), film.year]
)
_OF_MOVIES_CSV = Format("ratings.csv", ",", "movies.csv", _MOVIES_CSV, "userId,movieId,rating,timestamp", True)

FORMATS = {
    "ml-1m": Format("ratings.dat", "::", "movies.dat", _movies_dat),
    "ml-100k": Format("u.data", "\t", "u.item", _u_item),
    **{name: _OF_MOVIES_CSV for name in ("ml-latest-small", "ml-20m", "ml-25m", "ml-32m")},
    "csv": Format("log.csv", ",", "items.csv", _ITEMS_CSV, "user,item,rating,timestamp", True, "user-", "item-"),
    "parquet": Format(PARTS, "", "items.csv", _ITEMS_CSV, half_stars=True),
}


def generate(world: World, layout: Format, folder: Path) -> None:
    """Writes a dataset into a folder that exists; memory does not grow with it."""
    with (folder / layout.items).open("wb") as stream:
        stream.writelines(layout.rows(_films(world, layout.item_prefix)))
    if layout.ratings == PARTS:
        for number, block in enumerate(blocks(world)):
            pq.write_table(_table(block), folder / PARTS.format(number))
        return
    with (folder / layout.ratings).open("wb") as stream:
        if layout.header:
            stream.write(f"{layout.header}\n".encode())
        for block in blocks(world):
            _write_lines(block, layout, stream)


def _table(block: Block) -> pa.Table:
    """Returns the rows of a block with integers for ids, and times of a zone."""
    stars = (np.clip(np.rint(block.rating * 2), 1, 10) / 2).astype(np.float32)
    time = pa.array(block.timestamp * 1000).cast(pa.timestamp("ms", "UTC"))
    return pa.table({"user": block.user + 1, "item": block.item + 1, "rating": stars, "timestamp": time})


def _films(world: World, prefix: str) -> Iterator[Film]:
    random = np.random.default_rng([world.seed, 2])
    years = (FIRST_YEAR + random.integers(0, YEARS, len(world.item))).tolist()
    others = random.integers(0, len(GENRES), len(world.item)).tolist()
    for number, place in enumerate(world.place.tolist()):
        title = f"Película {number + 1}, La" if number % 5 == 0 else f"Film {number + 1}"
        genres = dict.fromkeys([GENRES[place // KIND % len(GENRES)], GENRES[others[number]]])
        yield Film(f"{prefix}{number + 1}", title, years[number], list(genres))


def _write_lines(block: Block, layout: Format, stream: BinaryIO) -> None:
    if layout.half_stars:
        stars = np.clip(np.rint(block.rating * 2), 1, 10).astype(np.int64)
        words = [str(half / 2) for half in range(11)]
    else:
        stars = np.clip(np.rint(block.rating), 1, 5).astype(np.int64)
        words = [str(star) for star in range(6)]
    numbers = [pc.cast(pa.array(column + 1), pa.string()) for column in (block.user, block.item)]
    user, item = (
        pc.binary_join_element_wise(prefix, column, "") if prefix else column
        for prefix, column in zip((layout.user_prefix, layout.item_prefix), numbers, strict=True)
    )
    time = pc.cast(pa.array(block.timestamp), pa.string())
    lines = pc.binary_join_element_wise(user, item, pa.array(words).take(pa.array(stars)), time, layout.separator)
    ended = pc.binary_join_element_wise(lines, "\n", "")
    start, stop = np.frombuffer(ended.buffers()[1], np.int32)[[0, len(ended)]].tolist()
    stream.write(memoryview(ended.buffers()[2])[start:stop])


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
