"""What the programs here take on their command lines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from data.formats import open_dataset
from data.registry import DATASETS, fetch
from on_device.command_line import default_cache_dir, path
from pipeline.config import ConfigError

SPLITS = ("leave_one_out", "temporal", "sessions")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options that all programs have."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of the configuration")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="keep artifacts there, for the next time (default: a scratch folder)",
    )
    parser.add_argument("--cache-dir", type=path, default=default_cache_dir(), help="downloads (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")


def find_data(name: str, cache_dir: Path) -> Path:
    """The path of some data, downloaded where a published dataset is named.

    Raises:
        DataError: nothing is there, or it has no known shape.
    """
    path = fetch(name, cache_dir).path if name in DATASETS and not Path(name).exists() else Path(name)
    open_dataset(path, cache_dir)
    return path


def overrides(assignments: list[str]) -> dict[str, Any]:
    """Values by dotted key from KEY=VALUE.

    Raises:
        ConfigError: one has no `=`.
    """
    values = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: expected KEY=VALUE, such as trainer.dropout=0.1")
        values[key.strip()] = yaml.safe_load(value)
    return values
