"""Which versions are served: lists them, and goes back to an older one.

    python -m components.pusher list
    python -m components.pusher rollback

What was pushed stays; the history of rollbacks is kept beside it. The next push has a new, higher number and is served.
A model that was rolled back does not come back by itself, whatever a run takes from its cache; `rollback --to` serves
it again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from components.pusher.rollback import AnyStore, open_store, rollback, rolled_back
from components.pusher.store import COMPLETE, LATEST, StoreError
from on_device.command_line import command_line, path_or_url

EXIT_FAILED = 1


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Do what is asked for; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        store = open_store(options.serving_dir, options.name or _only_name(options.serving_dir), create=False)
        if not _names(str(store.folder)):
            there = ", ".join(_pipelines(options.serving_dir)) or "nothing"
            raise StoreError(f"{store.folder}: nothing was pushed there; in {options.serving_dir} there is {there}")
        if options.command == "list":
            _show(store)
        else:
            entry = rollback(store, options.to)
            print(f"{store.folder}: version {entry['to']} is served now, {entry['from'] or 'none'} was before")
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        print(f"error: {error.filename or options.serving_dir}: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _show(store: AnyStore) -> None:
    """Print the versions and the history."""
    latest, out = store.latest(), rolled_back(store)
    print(store.folder)
    for version in store.versions():
        info = _info(store, version)
        recall = info.get("metrics", {}).get("tflite", {}).get("recall_at_10")
        told = [
            str(info.get("created", "")),
            f"{info['size_bytes'] / 1e6:.2f} MB" if "size_bytes" in info else "",
            "" if recall is None else f"Recall@10 {recall:.4f}",
            "served" if version == latest else "rolled back" if version in out else "",
        ]
        print(f"{'*' if version == latest else ' '} {version:>4}  {'  '.join(filter(None, told))}")
    for entry in store.history():
        print(f"rolled back {entry['time']} by {entry['who']}: {entry['from'] or 'none'} -> {entry['to']}")


def _info(store: AnyStore, version: str) -> dict[str, Any]:
    try:
        found = json.loads(store.read(version, COMPLETE))
    except ValueError:
        return {"created": f"damaged: {COMPLETE} is not JSON"}
    return found if isinstance(found, dict) else {}


def _only_name(serving_dir: str) -> str:
    """The name of the only pipeline that has pushed into a folder."""
    names = _pipelines(serving_dir)
    if len(names) != 1:
        there = f"; there are {', '.join(names)}" if names else ", and nothing was pushed there"
        raise StoreError(f"{serving_dir}: --name NAME says whose versions are meant{there}")
    return names[0]


def _pipelines(serving_dir: str) -> list[str]:
    """Names of the pipelines that have pushed into a folder."""
    return [name for name in _names(serving_dir) if LATEST in _names(f"{serving_dir.rstrip('/')}/{name}")]


def _names(folder: str) -> list[str]:
    """What is in a folder; nothing where there is none."""
    if "://" not in folder:
        return sorted(os.listdir(folder)) if Path(folder).is_dir() else []
    from tfx.dsl.io import fileio

    found = fileio.listdir(folder) if fileio.isdir(folder) else []
    return sorted(os.fsdecode(name).rstrip("/") for name in found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m components.pusher", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (("list", "the versions and the history"), ("rollback", "serve an older version")):
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument(
            "--serving-dir",
            type=path_or_url,
            default="serving_models",
            metavar="FOLDER|URI",
            help="default: serving_models",
        )
        command.add_argument("--name", help="of the pipeline (default: the only one that has pushed)")
        if name == "rollback":
            command.add_argument("--to", metavar="VERSION", help="default: the one before the served one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
