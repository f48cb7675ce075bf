"""Lists the pushed versions, and rolls back to an earlier one.

    python -m components.pusher list
    python -m components.pusher rollback

A rollback deletes no version and is recorded in a history. The next push gets a new, higher number and is served. A
model that was rolled back is not served again by a later run, not even from the cache, or by a later rollback; use
`rollback --to` to serve it again.
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
            served, before = entry["to"], entry["from"] or "none"
            print(f"{store.folder}: version {served} is now served, before it was {before}")
            if options.to is None:
                skipped = [version for version in store.versions() if int(served) < int(version) < int(before)]
                if skipped:
                    print(f"skipped {', '.join(skipped)}: rolled back earlier; to serve one, use rollback --to VERSION")
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        print(f"error: {error.filename or options.serving_dir}: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _show(store: AnyStore) -> None:
    """Prints the versions and the history.

    Raises:
        StoreError: the history is damaged; the versions are printed nevertheless.
    """
    versions, latest = store.versions(), store.latest()
    print(store.folder)
    try:
        history, out_of_service, damage = store.history(), rolled_back(store), None
    except StoreError as error:
        history, out_of_service, damage = [], {}, error
    for version in versions:
        info = _info(store, version)
        size, recall = _number(info, "size_bytes"), _number(info, "metrics", "tflite", "recall_at_10")
        columns = [
            str(info.get("created") or ""),
            "" if size is None else f"{size / 1e6:.2f} MB",
            "" if recall is None else f"Recall@10 {recall:.4f}",
            "served" if version == latest else "rolled back" if version in out_of_service else "",
        ]
        print(f"{'*' if version == latest else ' '} {version:>4}  {'  '.join(filter(None, columns))}")
    for entry in history:
        print(f"rolled back {entry['time']} by {entry['who']}: {entry['from'] or 'none'} -> {entry['to']}")
    if latest not in versions:
        problem = f"latest names version {latest!r}, which is missing" if latest else "no version is served"
        print(f"{problem}; serve a version with rollback --to VERSION" if versions else "there are no versions")
    if damage:
        raise damage


def _info(store: AnyStore, version: str) -> dict[str, Any]:
    try:
        info = json.loads(store.read(version, COMPLETE))
    except ValueError:
        info = None
    return info if isinstance(info, dict) else {"created": f"damaged: {COMPLETE} is not a JSON object"}


def _number(info: Any, *keys: str) -> float | None:
    """Returns a number in nested objects, or None if there is none."""
    for key in keys:
        info = info.get(key) if isinstance(info, dict) else None
    return info if isinstance(info, (int, float)) else None


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
    root = serving_dir.rstrip("/") if "://" in serving_dir else os.path.abspath(serving_dir)
    if _is_pipeline(root):
        folder, _, name = root.rpartition("/")
        if folder.endswith(":/"):
            raise StoreError(f"{serving_dir}: has versions; they should be in a folder of it, such as {root}/NAME")
        raise StoreError(f"{serving_dir}: the folder of one pipeline; use --serving-dir {folder or '/'} --name {name}")
    return [name for name in _names(root) if _is_pipeline(f"{root}/{name}")]


def _is_pipeline(folder: str) -> bool:
    """Returns whether a folder has versions, or `latest`."""
    names = _names(folder)
    has_latest = LATEST in names and not _names(f"{folder}/{LATEST}")  # A pipeline may have this name.
    return has_latest or any(name.isdecimal() and COMPLETE in _names(f"{folder}/{name}") for name in names)


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
                "--to",
                metavar="VERSION",
                help="default: the newest version older than the served one that was not rolled back",
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
