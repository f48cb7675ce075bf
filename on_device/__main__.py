"""Uses a pushed model from the command line: `python -m on_device recommend --model DIR "Toy Story (1995)"`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from on_device.artifact import MODEL, Item, open_artifact
from on_device.catalogue import normalized
from on_device.command_line import command_line, path, silent_stderr
from on_device.errors import ArtifactError
from on_device.recommender import Recommendation, Recommender
from on_device.tflite_model import EXPLAIN

# Modules that only one command needs are imported there: a recommendation should not wait for a web server.
if TYPE_CHECKING:
    from on_device.memory import Memory

PERCENTILES = (50, 90, 99)
DEMO_PORT = 8765
DEFAULT_K = 10


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        lines = options.run(options)
    except ArtifactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m on_device", description="Use a pushed model as a device would.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    recommend = commands.add_parser("recommend", help="recommend items for a history of titles")
    recommend.add_argument(
        "history", nargs="*", metavar="TITLE", help="titles or ids, oldest first; without any, popular items"
    )
    recommend.add_argument(
        "--deny", action="append", default=[], metavar="TITLE", help="a title or id to exclude; may be repeated"
    )
    recommend.add_argument(
        "--diversity",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="from 0, the best items, to 1, the most diverse items",
    )
    recommend.set_defaults(run=_recommend)
    similar = commands.add_parser("similar", help="list the items that are most similar to an item")
    similar.add_argument("title", metavar="TITLE", help="title or id")
    similar.set_defaults(run=_similar)
    for command in (recommend, similar):
        command.add_argument(
            "--k", type=int, metavar="N", help=f"number of items (default: {DEFAULT_K}, or the model's maximum)"
        )
        command.add_argument("--genre", metavar="GENRE", help="list only items of a genre")
    bench = commands.add_parser("bench", help="measure the model's latency on one thread, and its memory")
    bench.add_argument("--runs", type=_positive, default=1000, metavar="N", help="inferences (default: %(default)s)")
    bench.set_defaults(run=_bench)
    demo = commands.add_parser("demo", help="serve a page, only on this machine, that runs the model in the browser")
    demo.add_argument(
        "--port", type=_port, default=DEMO_PORT, metavar="N", help="0 for any free port (default: %(default)s)"
    )
    demo.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        help="open the page in a browser (default: if there is a screen)",
    )
    demo.set_defaults(run=_demo)
    export = commands.add_parser("export", help="write the demo as a static site for a web server or GitHub Pages")
    export.add_argument("folder", type=path, metavar="DIR", help="folder of the site: new, empty, or an earlier export")
    export.set_defaults(run=_export)
    for command in (demo, export):
        command.add_argument(
            "--runtime",
            type=path,
            metavar="DIR",
            help="a node_modules folder with @litertjs/core (default: the pinned version, downloaded once from npm)",
        )
    for command in (recommend, similar, bench):
        command.add_argument("--json", action="store_true", help="print JSON")
    for command in (recommend, similar, bench, demo, export):
        command.add_argument(
            "--model",
            type=path,
            default=Path("serving_models/movielens"),
            metavar="DIR",
            help="folder of a version, or of a pipeline for its newest version (default: %(default)s)",
        )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


# LiteRT prints messages to the standard error, and has no option to turn them off.
@silent_stderr()
def _recommend(options: argparse.Namespace) -> list[str]:
    recommender = Recommender.load(options.model)
    history = [_find_item(recommender, title) for title in options.history]
    recommendations = recommender.recommend(
        history,
        _k(recommender, options),
        allow=_ids_of_genre(recommender, options.genre),
        deny=[_find_item(recommender, title) for title in options.deny],
        diversity=options.diversity,
    )
    reasons: dict[str, str] = {}
    if history and EXPLAIN in recommender.signatures:
        for recommendation in recommendations:
            best = next(iter(recommender.because(history, recommendation.id)), None)
            if best and best.contribution > 0:
                reasons[recommendation.id] = best.item.title
    return _format(recommendations, options.json, reasons)


@silent_stderr()
def _similar(options: argparse.Namespace) -> list[str]:
    recommender = Recommender.load(options.model)
    item, allow = _find_item(recommender, options.title), _ids_of_genre(recommender, options.genre)
    return _format(recommender.similar(item, _k(recommender, options), allow=allow), options.json, {})


def _ids_of_genre(recommender: Recommender, genre: str | None) -> list[str] | None:
    """Returns the ids of the items of a genre, or None if no genre is given."""
    if genre is None:
        return None
    genres = {name for item in recommender.items for name in item.genres}
    if genre not in genres:
        raise ArtifactError(f'no genre "{genre}" in the catalogue; genres: {", ".join(sorted(genres)) or "none"}')
    return [item.id for item in recommender.items if genre in item.genres]


def _find_item(recommender: Recommender, text: str) -> Item:
    """Returns the item with an id or a title.

    Raises:
        ArtifactError: There is none, or the text is the id of one item and the title of another.
    """
    catalogue = recommender.catalogue
    # Punctuation is ignored in titles, so that a text without words would be the title of any item without words.
    titled = catalogue.titled(text) if normalized(text) else None
    exact = next((item for item in catalogue.items if item.title == text), None)
    items = {item.index: item for item in (catalogue.find(text), exact or titled) if item}
    if len(items) == 1:
        return next(iter(items.values()))
    if items:
        by_id, by_title = items.values()
        raise ArtifactError(
            f'"{text}" is the id of "{by_id.title}" and the title of the item with the id {by_title.id}; give the '
            f'title "{by_id.title}" or the id {by_title.id} instead'
        )
    suggestions = " or ".join(f'"{item.title}"' for item in catalogue.suggest(text))
    hint = f"; did you mean {suggestions}?" if suggestions else ""
    raise ArtifactError(f'no title or id "{text}" in the catalogue{hint}')


def _k(recommender: Recommender, options: argparse.Namespace) -> int:
    return int(min(DEFAULT_K, recommender.top_k) if options.k is None else options.k)


def _format(recommendations: list[Recommendation], as_json: bool, reasons: dict[str, str]) -> list[str]:
    """Returns the lines of an answer; `reasons` maps an id to the title that contributed most."""
    if not as_json:
        return _table(recommendations, reasons)
    entries = [
        {**dataclasses.asdict(item), **({"because": reasons.get(item.id)} if reasons else {})}
        for item in recommendations
    ]
    return [json.dumps(entries, ensure_ascii=False)]


def _table(recommendations: list[Recommendation], reasons: dict[str, str]) -> list[str]:
    columns = [
        ["", *map(str, range(1, len(recommendations) + 1))],
        ["title", *(_with_year(item.title, item.year) for item in recommendations)],
        ["score", *(f"{item.score:.3f}" for item in recommendations)],
        ["genres", *(", ".join(item.genres) for item in recommendations)],
        *([["because of", *(reasons.get(item.id, "") for item in recommendations)]] if reasons else []),
    ]
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for rank, title, score, *texts in zip(*columns, strict=True):
        padded = (text.ljust(width) for text, width in zip(texts, widths[3:], strict=True))
        lines.append("  ".join([f"{rank:>3} {title:<{widths[1]}}", f"{score:>8}", *padded]).rstrip())
    return lines


def _with_year(title: str, year: int | None) -> str:
    """Returns a title with its year, unless it already ends with a year, as in MovieLens."""
    return title if year is None or re.search(r"\(\d{4}\)\s*$", title) else f"{title} ({year})"


@silent_stderr()
def _bench(options: argparse.Namespace) -> list[str]:
    from on_device.latency import latencies
    from on_device.memory import measure

    recommender = Recommender.load(options.model)
    artifact = recommender.artifact
    latency = _percentiles(latencies(recommender, options.runs))
    latency_without_xnnpack = _percentiles(latencies(Recommender(artifact, xnnpack=False), options.runs))
    memory = measure(artifact.folder)
    if options.json:
        measurements = {
            "size_bytes": artifact.size_bytes,
            "latency_us": latency,
            "latency_without_xnnpack_us": latency_without_xnnpack,
            "runs": options.runs,
            "memory_bytes": dataclasses.asdict(memory) if memory else None,
        }
        return [json.dumps(measurements)]
    return [
        f"model    {artifact.folder / MODEL}",
        f"size     {artifact.size_bytes / 1e6:.2f} MB",
        f"latency  {_format_percentiles(latency)}, with XNNPACK",
        f"         {_format_percentiles(latency_without_xnnpack)}, without",
        f"         one thread, {options.runs:,} random histories of {recommender.history_length} items",
        *_format_memory(memory),
    ]


def _percentiles(times: np.ndarray) -> dict[str, float]:
    """Returns percentiles of times in microseconds, rounded to a tenth."""
    return {f"p{percent}": round(float(np.percentile(times, percent)), 1) for percent in PERCENTILES}


def _format_percentiles(percentiles: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:,.1f} µs" for name, value in percentiles.items())


def _format_memory(memory: Memory | None) -> list[str]:
    if memory is None:
        return ["memory   not measured: this system does not report it"]
    growth, peak, before = (value / 1e6 for value in (memory.growth, memory.peak_growth, memory.before))
    return [
        f"memory   +{growth:.1f} MB to load the model and recommend, +{peak:.1f} MB at the peak",
        f"         on top of {before:.1f} MB of Python, NumPy and LiteRT, in a new process, from {memory.source}",
    ]


def _demo(options: argparse.Namespace) -> list[str]:
    import webbrowser

    from on_device.demo.runtime import find_runtime
    from on_device.demo.server import DemoServer

    artifact = open_artifact(options.model)
    print(f"model    {artifact.folder / MODEL}", flush=True)  # Before the runtime, which may have to be downloaded.
    runtime = find_runtime(options.runtime)
    print(f"runtime  {runtime}", flush=True)
    with DemoServer(artifact, runtime, options.port) as server:
        print(f"demo     {server.url}  (Ctrl-C stops it)", flush=True)
        if _has_screen() if options.open is None else options.open:
            webbrowser.open(server.url)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return ["", "stopped"]


def _has_screen() -> bool:
    """Returns whether a graphical browser can open; on a Linux terminal, a text browser would take it over."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _export(options: argparse.Namespace) -> list[str]:
    from on_device.demo.runtime import find_runtime
    from on_device.demo.site import WASM, export

    artifact = open_artifact(options.model)
    sizes = export(artifact, find_runtime(options.runtime), options.folder)
    # A browser loads one of the two WebAssembly builds.
    wasm = max(size for name, size in sizes.items() if name.endswith(WASM))
    others = sum(size for name, size in sizes.items() if "/wasm/" not in name)
    return [
        f"model    {artifact.folder / MODEL}",
        f"site     {options.folder}, {len(sizes)} files",
        f"loads    {others / 1e6:.1f} MB, and once {wasm / 1e6:.1f} MB of WebAssembly, which the browser caches",
        "",
        f"Try it:  python -m http.server --directory {options.folder}",
        "Browsers save the page for offline use only from https:// and from localhost.",
    ]


if __name__ == "__main__":
    sys.exit(main())
