"""Prints the measures of drift for ordinary windows of a log and for broken exports of it: what the limits lie between.

    .venv/bin/python -m benchmarks.drift_limits --data ml-100k

No pipeline is run: what ExampleGen and StatisticsGen would find is counted here. `--data` needs real times.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks import inputs, program
from data.clock import SECOND

WEEK = 7 * 24 * 3600  # seconds


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="ratings with real times")
    inputs.add_common(parser)
    options = parser.parse_args(arguments)
    return program.run(
        options,
        "drift",
        lambda: inputs.find_data(options.data, options.cache_dir),
        lambda data, output, console: report(data, options.cache_dir, console),
    )


def report(data: Path, cache_dir: Path, console: Console) -> list[dict[str, Any]]:
    """Measure and print; returns the measures of each case."""
    from benchmarks.periods import read_log
    from components.example_gen.timelines import Ratings
    from components.example_validator.drift import WORDS, compare
    from components.example_validator.profile import SHARES, Profile
    from components.example_validator.settings import ValidationSettings
    from data.dataset import GENRES
    from data.formats import open_dataset
    from data.items import read_items

    dataset = open_dataset(data, cache_dir)
    genres = {item.id: item.genres for item in read_items(dataset)}

    def profile(ratings: Ratings) -> Profile:
        counts = np.bincount(ratings.item, minlength=len(ratings.items)).tolist()
        items = {item: count for item, count in zip(ratings.items.to_pylist(), counts, strict=True) if count}
        by_genre: collections.Counter[str] = collections.Counter()
        for item, count in items.items():
            by_genre.update(dict.fromkeys(genres.get(item, ()), count))
        lengths = np.unique(ratings.user, return_counts=True)[1]
        moments = (float(ratings.rating.mean()), float(ratings.rating.std()))
        quantiles = np.quantile(lengths, SHARES)
        return Profile("", len(ratings), len(lengths), items, {GENRES: by_genre}, moments, quantiles)

    settings = ValidationSettings()
    table = Table(title="Drift (! warns, !! stops)", title_justify="left")
    for title in ("", *(name.replace("_", " ") for name in WORDS)):
        table.add_column(title, justify="right" if title else "left")
    found = []
    marks = {"ok": "", "warn": " !", "stop": " !!"}
    for name, before, now in cases(read_log(dataset).ratings):
        measures = compare(profile(now), profile(before), settings)
        values = {one.name: f"{one.value:.3f}{marks[one.level]}" for one in measures}
        table.add_row(name, *(values.get(column, "-") for column in WORDS))
        found.append({"case": name, **{one.name: one.value for one in measures}})
    console.print(table)
    return found


def cases(ratings: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name, ratings of the last run, ratings of this one."""
    times, whole = ratings.timestamp // SECOND, np.arange(len(ratings))
    ordered, chance = np.sort(times), np.random.default_rng(1)

    def between(first: float, last: float) -> Any:
        return ratings.take(np.flatnonzero((times >= first) & (times < last)))

    def at(share: float) -> int:
        return int(ordered[min(int(share * len(ordered)), len(ordered) - 1)])

    for share in (0.4, 0.6, 0.8):
        yield f"first {share:.0%}, then {share + 0.1:.0%}", between(0, at(share)), between(0, at(share + 0.1))
    first = int(ordered[0])
    for week in range(12, int((ordered[-1] - first) / WEEK), 4):
        moved = [between(first + (last - 8) * WEEK, first + last * WEEK) for last in (week, week + 1)]
        yield f"8 weeks, moved by one, week {week}", *moved
    yield "two fifths apart", between(at(0.2), at(0.4)), between(at(0.4), at(0.6))

    yield "a fifth of the rows lost", ratings, ratings.take(np.flatnonzero(chance.random(len(ratings)) < 0.8))
    yield "half of the rows lost", ratings, ratings.take(np.flatnonzero(chance.random(len(ratings)) < 0.5))
    yield "file cut in half", ratings, ratings.take(whole[: len(whole) // 2])
    yield "half of the users lost", ratings, ratings.take(np.flatnonzero(_every_second(ratings.user)))
    shifted = pa.array(np.roll(ratings.items.to_pylist(), 1))
    yield "items shifted by one", ratings, dataclasses.replace(ratings, items=shifted)
    renamed = pa.array([f"x{item}" for item in ratings.items.to_pylist()])
    yield "items renamed", ratings, dataclasses.replace(ratings, items=renamed)
    swapped = {"user": ratings.item, "users": ratings.items, "item": ratings.user, "items": ratings.users}
    yield "users and items swapped", ratings, dataclasses.replace(ratings, **swapped)
    yield "one rating for all", ratings, dataclasses.replace(ratings, rating=np.full(len(ratings), 5.0, np.float32))
    low, high = ratings.rating.min(), ratings.rating.max()
    yield "ratings upside down", ratings, dataclasses.replace(ratings, rating=low + high - ratings.rating)
    yield "items shuffled among rows", ratings, dataclasses.replace(ratings, item=chance.permutation(ratings.item))


def _every_second(users: np.ndarray) -> np.ndarray:
    return np.isin(users, np.unique(users)[::2])


if __name__ == "__main__":
    sys.exit(main())
