"""Lists the published datasets, or downloads one.

python -m data --list
python -m data ml-1m --cache DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data.errors import DataError
from data.quick_check import quick_check
from data.registry import DATASETS, fetch
from on_device.command_line import EXIT_USAGE, command_line, default_cache_dir, path


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m data", description="Lists the published datasets, or downloads one."
    )
    parser.add_argument("name", nargs="?", choices=DATASETS, metavar="NAME", help=", ".join(DATASETS))
    parser.add_argument("--list", action="store_true", help="show the datasets with their sizes and terms of use")
    parser.add_argument("--cache", type=path, default=default_cache_dir(), metavar="DIR", help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.list or options.name is None:
        _show_datasets(options.cache)
        return 0
    try:
        data = fetch(options.name, options.cache, say=lambda line: print(line, file=sys.stderr))
        quick_check(data)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    print(data)
    return 0


def _show_datasets(cache_dir: Path) -> None:
    for dataset in DATASETS.values():
        here = "here" if (cache_dir / f"{dataset.name}.zip").is_file() else ""
        print(f"{dataset.name:15}  {dataset.megabytes:3} MB  {here:4}  {dataset.readme}")


if __name__ == "__main__":
    sys.exit(main())
