"""Reads the lineage of models and data: `python -m lineage runs`, `show`, `diff`, `prove`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from lineage import as_json, text
from lineage.compare import compare
from lineage.errors import LineageError, StoreError, UnknownError
from lineage.find import find
from lineage.proof import prove
from lineage.runs import find_run, list_runs
from lineage.store import Store, open_store
from on_device.command_line import command_line, path, path_or_url

DEFAULT_STORE = "output"  # the folder of local_runner.py, with a folder for each pipeline
LISTED_RUNS = 20
EXIT_UNKNOWN, EXIT_STORE = 1, 2


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(open_store(options.metadata), options)
    except LineageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_STORE if isinstance(error, StoreError) else EXIT_UNKNOWN
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lineage",
        description="Read the lineage of runs and models from ML Metadata. The store is never written to.",
        epilog="exit codes: 0 answered, 1 not in the store, 2 wrong option, or a store that cannot be read",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--metadata",
        type=path_or_url,
        default=DEFAULT_STORE,
        metavar="PATH|URL",
        help="a metadata.db, a folder with one, mysql://user@host:port/db, grpc://host:port or, with TLS, "
        "grpcs://host:port, or vertex://PROJECT/REGION (default: %(default)s)",
    )
    common.add_argument("--json", action="store_true", help="print JSON")
    page = argparse.ArgumentParser(add_help=False)
    page.add_argument("--html", type=path, metavar="FILE", help="also write a page with the graph")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    runs = commands.add_parser("runs", parents=[common, page], help="list the runs, newest first")
    runs.add_argument(
        "--limit",
        type=_count,
        default=LISTED_RUNS,
        metavar="N",
        help="at most N runs, 0 for all (%(default)s)",
    )
    runs.add_argument("--pipeline", metavar="NAME", help="only runs of this pipeline")
    runs.set_defaults(run=_runs)

    about = "show the ancestors and descendants of a model, an artifact or data"
    show = commands.add_parser("show", parents=[common, page], help=about)
    show.add_argument(
        "query",
        metavar="QUERY",
        help="a pushed file or its folder, an artifact's id or address, or execution:ID",
    )
    show.set_defaults(run=_show)

    diff = commands.add_parser("diff", parents=[common], help="show the differences of two runs")
    diff.add_argument("left", metavar="RUN", help="id or name, as `runs` lists them")
    diff.add_argument("right", metavar="RUN")
    diff.add_argument("--all", action="store_true", help="also show equal values")
    diff.set_defaults(run=_diff)

    proof = commands.add_parser("prove", parents=[common], help="show by its content where a file comes from")
    proof.add_argument("path", type=path_or_url, metavar="PATH", help="a model.tflite, or its folder")
    proof.set_defaults(run=_prove)
    return parser


def _runs(store: Store, options: argparse.Namespace) -> None:
    limit = options.limit or None
    runs = list_runs(store, limit, options.pipeline)
    if options.html:
        from lineage.page import write_runs  # Here, because it imports Jinja and TFDV's messages.

        write_runs(options.html, store.where, runs)
    if options.json:
        _print_json([as_json.run(run) for run in runs])
    else:
        text.show_runs(runs, len(runs) == limit, text.make_console())


def _show(store: Store, options: argparse.Namespace) -> None:
    match = find(store, options.query)
    if options.html:
        from lineage.page import write_match

        write_match(options.html, store.where, options.query, match)
    if options.json:
        _print_json(as_json.match(match))
    else:
        text.show_match(match, text.make_console())


def _diff(store: Store, options: argparse.Namespace) -> None:
    left, right = find_run(store, options.left), find_run(store, options.right)
    sections = compare(left, right, with_equal=options.all)
    if options.json:
        _print_json({"runs": [left.id, right.id], **{name.lower(): pairs for name, pairs in sections.items()}})
    else:
        text.show_difference(left.id, right.id, sections, text.make_console())


def _prove(store: Store, options: argparse.Namespace) -> None:
    try:
        proof = prove(store, options.path)
    except UnknownError:
        if options.json:
            _print_json({"file": options.path, "known": False})
        raise
    if options.json:
        _print_json(as_json.proof(proof))
    else:
        text.show_proof(proof, text.make_console())


def _print_json(answer: Any) -> None:
    print(json.dumps(answer, indent=1, ensure_ascii=False))


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs")
    return min(int(text), sys.maxsize)


if __name__ == "__main__":
    sys.exit(main())
