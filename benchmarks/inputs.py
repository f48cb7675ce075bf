"""Command-line options and data of the benchmarks."""

from __future__ import annotations

import argparse
from pathlib import Path

from data.formats import open_dataset
from data.registry import DATASETS, fetch
from on_device.command_line import default_cache_dir, path

SPLITS = ("leave_one_out", "temporal", "sessions")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Adds the options that all programs have."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of the configuration")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="keep artifacts there and reuse them (default: a scratch folder)"
    )
    parser.add_argument("--cache-dir", type=path, default=default_cache_dir(), help="downloads (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")


def find_data(name: str, cache_dir: Path) -> Path:
    """Returns the path of a dataset. A published dataset that is named is downloaded.

    Raises:
        DataError: the path does not exist, or its format is unknown.
    """
    path = fetch(name, cache_dir) if name in DATASETS and not Path(name).exists() else Path(name)
    open_dataset(path, cache_dir)
    return path
