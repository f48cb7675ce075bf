"""Uses a pushed model from the command line: `python -m on_device recommend --model DIR "Toy Story (1995)"`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from on_device.artifact import MODEL, Item, open_artifact
from on_device.command_line import command_line, path
from on_device.errors import ArtifactError
from on_device.recommender import Recommendation, Recommender
from on_device.tflite_model import EXPLAIN

# What one command alone needs is imported there: a recommendation should not wait for a web server.
if TYPE_CHECKING:
    from on_device.memory import Memory

PERCENTILES = (50, 90, 99)
DEMO_PORT = 8765
SHOWN = 10


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        lines = options.run(options)
    except ArtifactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


@contextlib.contextmanager
def _silent_runtime() -> Iterator[None]:
    """Keep what LiteRT writes to the standard error out of sight: it greets there, and has no switch for it."""
    sys.stderr.flush()
    standard_error, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)


def _with_model(
    run: Callable[[Recommender, argparse.Namespace], list[str]],
) -> Callable[[argparse.Namespace], list[str]]:
    """A command that gets the model that its options name."""

    def run_with_model(options: argparse.Namespace) -> list[str]:
        with _silent_runtime():
            return run(Recommender.load(options.model), options)

    return run_with_model


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m on_device", description="Use a pushed model as a device would.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    recommend = commands.add_parser("recommend", help="recommend to somebody who chose some titles")
    recommend.add_argument(
        "history", nargs="*", metavar="TITLE", help="titles or ids, oldest first; none: popular ones"
    )
    recommend.add_argument(
        "--deny",
        action="append",
        default=[],
        metavar="TITLE",
        help="a title or id that is not wanted; may be repeated",
    )
    recommend.add_argument(
        "--diversity",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="from 0, the best items, to 1, different ones",
    )
    recommend.set_defaults(run=_with_model(_recommend))
    similar = commands.add_parser("similar", help="list the items that are most similar to one")
    similar.add_argument("title", metavar="TITLE", help="title or id")
    similar.set_defaults(run=_with_model(_similar))
    for command in (recommend, similar):
        command.add_argument("--k", type=int, metavar="N", help=f"how many (default: {SHOWN}, or the model's most)")
        command.add_argument("--genre", metavar="GENRE", help="list only items of a genre")
    bench = commands.add_parser("bench", help="measure how fast the model answers, on one thread, and its memory")
    bench.add_argument("--runs", type=_positive, default=1000, metavar="N", help="answers (default: %(default)s)")
    bench.set_defaults(run=_with_model(_bench))
    demo = commands.add_parser("demo", help="serve a page, to this machine alone, that runs the model in the browser")
    demo.add_argument(
        "--port", type=_port, default=DEMO_PORT, metavar="N", help="0: any that is free (default: %(default)s)"
    )
    demo.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        help="open the page in a browser (default: where there is a screen)",
    )
    demo.set_defaults(run=_demo)
    export = commands.add_parser("export", help="write the demo as a static site, for a web server or GitHub Pages")
    export.add_argument("folder", type=path, metavar="DIR", help="folder of the site; an earlier export is replaced")
    export.set_defaults(run=_export)
    for command in (demo, export):
        command.add_argument(
            "--runtime",
            type=path,
            metavar="DIR",
            help="a node_modules folder with @litertjs/core (default: the pinned version, fetched once from npm)",
        )
    for command in (recommend, similar, bench):
        command.add_argument("--json", action="store_true", help="print JSON")
    for command in (recommend, similar, bench, demo, export):
        command.add_argument(
            "--model",
            type=path,
            default=Path("serving_models/movielens"),
            metavar="DIR",
            help="a version's folder, or a pipeline's, whose newest is taken (default: %(default)s)",
        )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, from 0 to 65535")
    return int(text)


def _has_screen() -> bool:
    """Whether a browser can show; in a bare Linux terminal one that draws text would take the terminal over."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _of_genre(recommender: Recommender, genre: str | None) -> list[str] | None:
    """Returns the ids of the items of a genre; None for all items."""
    if genre is None:
        return None
    genres = {name for item in recommender.items for name in item.genres}
    if genre not in genres:
        raise ArtifactError(f'no genre "{genre}" in the catalogue; there are {", ".join(sorted(genres)) or "none"}')
    return [item.id for item in recommender.items if genre in item.genres]


def _item(recommender: Recommender, text: str) -> Item:
    """Returns the item with an id or a title.

    Raises:
        ArtifactError: there is none, or two items have it, one as its id and one as its title.
    """
    catalogue = recommender.catalogue
    items = {item.index: item for item in (catalogue.find(text), catalogue.titled(text)) if item}
    if len(items) == 1:
        return next(iter(items.values()))
    if items:
        by_id, by_title = items.values()
        raise ArtifactError(
            f'"{text}" is the id of "{by_id.title}" and the title of the item with the id {by_title.id}; give the '
            f'title "{by_id.title}" or the id {by_title.id} instead'
        )
    near = " or ".join(f'"{item.title}"' for item in catalogue.suggest(text))
    raise ArtifactError(f'no title or id "{text}" in the catalogue' + (f"; did you mean {near}?" if near else ""))


def _recommend(recommender: Recommender, options: argparse.Namespace) -> list[str]:
    history = [_item(recommender, title) for title in options.history]
    recommendations = recommender.recommend(
        history,
        _length(recommender, options),
        allow=_of_genre(recommender, options.genre),
        deny=[_item(recommender, title) for title in options.deny],
        diversity=options.diversity,
    )
    reasons: dict[str, str] = {}
    if history and EXPLAIN in recommender.signatures:
        for recommendation in recommendations:
            (best, *_) = [*recommender.because(history, recommendation.id), None]
            if best and best.contribution > 0:
                reasons[recommendation.id] = best.item.title
    return _shown(recommendations, options.json, reasons)


def _similar(recommender: Recommender, options: argparse.Namespace) -> list[str]:
    item, allowed = _item(recommender, options.title), _of_genre(recommender, options.genre)
    return _shown(recommender.similar(item, _length(recommender, options), allow=allowed), options.json, {})


def _length(recommender: Recommender, options: argparse.Namespace) -> int:
    """Returns the number of items to list."""
    return int(min(SHOWN, recommender.top_k) if options.k is None else options.k)


def _shown(recommendations: list[Recommendation], as_json: bool, reasons: dict[str, str]) -> list[str]:
    """Returns the lines of an answer; `reasons` has the title that contributed most, by id."""
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
    for place, title, score, *texts in zip(*columns, strict=True):
        padded = (text.ljust(width) for text, width in zip(texts, widths[3:], strict=True))
        lines.append("  ".join([f"{place:>3} {title:<{widths[1]}}", f"{score:>8}", *padded]).rstrip())
    return lines


def _with_year(title: str, year: int | None) -> str:
    """A title and its year, unless the title ends with one: MovieLens' do."""
    return title if year is None or re.search(r"\(\d{4}\)\s*$", title) else f"{title} ({year})"


def _bench(recommender: Recommender, options: argparse.Namespace) -> list[str]:
    from on_device.latency import latencies
    from on_device.memory import measure

    size = recommender.artifact.size_bytes
    percentiles = _percentiles(latencies(recommender, options.runs))
    plain = _percentiles(latencies(Recommender(recommender.artifact, xnnpack=False), options.runs))
    memory = measure(recommender.artifact.folder)
    if options.json:
        figures = {"size_bytes": size, "latency_us": percentiles, "latency_without_xnnpack_us": plain}
        memory_bytes = dataclasses.asdict(memory) if memory else None
        return [json.dumps({**figures, "runs": options.runs, "memory_bytes": memory_bytes})]
    return [
        f"model    {recommender.artifact.folder / MODEL}",
        f"size     {size / 1e6:.2f} MB",
        f"latency  {_in_words(percentiles)}, with XNNPACK",
        f"         {_in_words(plain)}, without",
        f"         one thread, {options.runs:,} random histories of {recommender.history_length} items",
        *_memory_lines(memory),
    ]


def _percentiles(times: np.ndarray) -> dict[str, float]:
    """Returns percentiles of times in microseconds, to a tenth."""
    return {f"p{percent}": round(float(np.percentile(times, percent)), 1) for percent in PERCENTILES}


def _in_words(percentiles: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:,.1f} µs" for name, value in percentiles.items())


def _memory_lines(memory: Memory | None) -> list[str]:
    if memory is None:
        return ["memory   not measured: this system does not tell it"]
    growth, peak, before = (value / 1e6 for value in (memory.growth, memory.peak_growth, memory.before))
    return [
        f"memory   +{growth:.1f} MB to load and answer, at most +{peak:.1f} MB on the way",
        f"         over {before:.1f} MB of Python, NumPy and LiteRT; a fresh process, by {memory.source}",
    ]


def _demo(options: argparse.Namespace) -> list[str]:
    import webbrowser

    from on_device.demo.runtime import find_runtime
    from on_device.demo.server import DemoServer, make_site

    artifact = open_artifact(options.model)
    print(f"model    {artifact.folder / MODEL}", flush=True)  # Before the runtime, which may have to be fetched.
    runtime = find_runtime(options.runtime)
    print(f"runtime  {runtime}", flush=True)
    with DemoServer(make_site(artifact, runtime), options.port) as server:
        print(f"demo     {server.url}  (Ctrl-C stops it)", flush=True)
        if _has_screen() if options.open is None else options.open:
            webbrowser.open(server.url)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return ["", "stopped"]


def _export(options: argparse.Namespace) -> list[str]:
    from on_device.demo.runtime import find_runtime
    from on_device.demo.site import WASM, export

    artifact = open_artifact(options.model)
    sizes = export(artifact, find_runtime(options.runtime), options.folder)
    largest = max(size for name, size in sizes.items() if name.endswith(WASM))
    others = sum(size for name, size in sizes.items() if "/wasm/" not in name)
    return [
        f"model    {artifact.folder / MODEL}",
        f"site     {options.folder}, {len(sizes)} files",
        f"loads    {others / 1e6:.1f} MB, and once {largest / 1e6:.1f} MB of WebAssembly, which the browser keeps",
        "",
        f"Try it:  python -m http.server --directory {options.folder}",
        "Browsers keep a page for times without a connection only from https:// and from localhost.",
    ]


if __name__ == "__main__":
    sys.exit(main())
