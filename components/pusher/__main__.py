"""Lists the pushed versions, and rolls back to an earlier one.

    python -m components.pusher list
    python -m components.pusher rollback

A rollback deletes no version and is recorded in a history. The next push gets a new, higher number and is served. A
model that was rolled back is not served again by a later run, not even from the cache; use `rollback --to` to serve it
again.
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
    """Runs the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        store = open_store(options.serving_dir, options.name or _only_name(options.serving_dir), create=False)
        if not _names(str(store.folder)):
            pipelines = ", ".join(_pipelines(options.serving_dir)) or "no pipelines"
            raise StoreError(f"{store.folder}: nothing was pushed there; {options.serving_dir} has {pipelines}")
        if options.command == "list":
            _show(store)
        else:
            entry = rollback(store, options.to)
            print(f"{store.folder}: version {entry['to']} is now served, before it was {entry['from'] or 'none'}")
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        print(f"error: {error.filename or options.serving_dir}: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _show(store: AnyStore) -> None:
    """Prints the versions and the history."""
    latest, out_of_service = store.latest(), rolled_back(store)
    print(store.folder)
    for version in store.versions():
        info = _info(store, version)
        recall = info.get("metrics", {}).get("tflite", {}).get("recall_at_10")
        columns = [
            str(info.get("created", "")),
            f"{info['size_bytes'] / 1e6:.2f} MB" if "size_bytes" in info else "",
            "" if recall is None else f"Recall@10 {recall:.4f}",
            "served" if version == latest else "rolled back" if version in out_of_service else "",
        ]
        print(f"{'*' if version == latest else ' '} {version:>4}  {'  '.join(filter(None, columns))}")
    for entry in store.history():
        print(f"rolled back {entry['time']} by {entry['who']}: {entry['from'] or 'none'} -> {entry['to']}")


def _info(store: AnyStore, version: str) -> dict[str, Any]:
    try:
        info = json.loads(store.read(version, COMPLETE))
    except ValueError:
        return {"created": f"damaged: {COMPLETE} is not JSON"}
    return info if isinstance(info, dict) else {}


def _only_name(serving_dir: str) -> str:
    """Returns the name of the only pipeline that has pushed into a folder."""
    names = _pipelines(serving_dir)
    if not names:
        raise StoreError(f"{serving_dir}: nothing was pushed there; choose another --serving-dir")
    if len(names) > 1:
        raise StoreError(f"{serving_dir}: has several pipelines: {', '.join(names)}; choose one with --name NAME")
    return names[0]


def _pipelines(serving_dir: str) -> list[str]:
    """Returns the names of the pipelines that have pushed into a folder."""
    return [name for name in _names(serving_dir) if LATEST in _names(f"{serving_dir.rstrip('/')}/{name}")]


def _names(folder: str) -> list[str]:
    """Returns the names in a folder; none if it does not exist."""
    if "://" not in folder:
        return sorted(os.listdir(folder)) if Path(folder).is_dir() else []
    from tfx.dsl.io import fileio

    names = fileio.listdir(folder) if fileio.isdir(folder) else []
    return sorted(os.fsdecode(name).rstrip("/") for name in names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m components.pusher", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_text in (("list", "list the versions and the history"), ("rollback", "serve an earlier version")):
        command = commands.add_parser(name, help=help_text, description=help_text)
        command.add_argument(
            "--serving-dir",
            type=path_or_url,
            default="serving_models",
            metavar="FOLDER|URI",
            help="the serving folder (default: serving_models)",
        )
        command.add_argument("--name", help="name of the pipeline (default: the only one in the folder)")
        if name == "rollback":
            command.add_argument(
                "--to", metavar="VERSION", help="default: the newest version older than the served one"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
