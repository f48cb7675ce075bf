"""Writes the log of an invented shop whose demand shifts: new items come, and old ones go out of fashion.

    .venv/bin/python -m benchmarks.shifting_shop --output FOLDER
    .venv/bin/python -m benchmarks.replay --data FOLDER --first 0.8 --weeks 1 --set example_gen.eval_fraction=0.1 \
        --set example_gen.test_fraction=0.1

Every item belongs to a kind and enters the shop in some week. Its demand is highest in that week, and halves with each
later week. Each customer likes two kinds. `items.csv` lists the items of all weeks, because a shop knows its future
stock. The same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

from on_device.command_line import command_line

START = 1_700_006_400  # 15 November 2023, in seconds since 1970
WEEK = 7 * 24 * 3600  # seconds
LIKED = 0.8  # share of purchases of a kind that the customer likes


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Writes the files; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="for log.csv and items.csv")
    parser.add_argument("--weeks", type=int, default=12, help="default: 12")
    parser.add_argument("--customers", type=int, default=3000, help="default: 3,000")
    parser.add_argument("--items-a-week", type=int, default=100, help="new ones (default: 100)")
    parser.add_argument("--purchases-a-week", type=int, default=8000, help="default: 8,000")
    parser.add_argument("--kinds", type=int, default=20, help="of items (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    options = parser.parse_args(arguments)
    write(**vars(options))
    print(f"{options.output}: {options.weeks * options.purchases_a_week:,} purchases")
    return 0


def write(
    output: Path, weeks: int, customers: int, items_a_week: int, purchases_a_week: int, kinds: int, seed: int
) -> None:
    """Writes `log.csv` (user, item, timestamp) and `items.csv` (item, title, genres)."""
    random = np.random.default_rng(seed)
    items = weeks * items_a_week
    first_week, kind = np.repeat(np.arange(weeks), items_a_week), random.integers(0, kinds, items)
    appeal = random.pareto(1.5, items) + 0.1
    likes = random.integers(0, kinds, (customers, 2))
    output.mkdir(parents=True, exist_ok=True)
    with (output / "items.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["item", "title", "genres"])
        rows.writerows((f"i{item}", f"Item {item}", f"kind-{kind[item]}") for item in range(items))
    with (output / "log.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["user", "item", "timestamp"])
        for week in range(weeks):
            demand = np.where(first_week <= week, appeal * 0.5 ** (week - first_week.astype(float)), 0.0)
            users = random.integers(0, customers, purchases_a_week)
            times = np.sort(random.integers(0, WEEK, purchases_a_week)) + START + week * WEEK
            liked = random.random(purchases_a_week) < LIKED
            wanted_kinds = np.where(liked, likes[users, random.integers(0, 2, purchases_a_week)], -1)
            bought = np.empty(purchases_a_week, np.int64)
            for wanted_kind in range(-1, kinds):  # -1: any kind
                places = np.flatnonzero(wanted_kinds == wanted_kind)
                weights = demand if wanted_kind < 0 else np.where(kind == wanted_kind, demand, 0.0)
                weights = weights if weights.any() else demand
                bought[places] = random.choice(items, len(places), p=weights / weights.sum())
            rows.writerows(
                (f"u{user}", f"i{item}", time)
                for user, item, time in zip(users.tolist(), bought.tolist(), times.tolist(), strict=True)
            )


if __name__ == "__main__":
    sys.exit(main())
