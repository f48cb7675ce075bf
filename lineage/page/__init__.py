"""One self-contained page about runs, or about one artifact: graph, properties, metrics, statistics of the data."""

from __future__ import annotations

import json
import re
from collections import deque
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lineage import as_json, facts, statistics
from lineage.errors import StoreError
from lineage.find import Found
from lineage.graph import Artifact, Graph
from lineage.runs import Run

FOLDER = Path(__file__).parent
GRAPH_SCRIPTS = ("layout.js", "view.js", "details.js", "graph.js")
DRAWN = 250  # nodes of a graph; more cannot be read
LISTED_FILES = 12


def write_runs(path: Path, where: str, runs: list[Run]) -> None:
    """Write a page about runs.

    Args:
        path: of the page.
        where: the store's name.
        runs: newest first.

    Raises:
        StoreError: the page cannot be written.
    """
    whole = Graph({}, {}, frozenset())
    for run in runs:
        whole = whole.merge(run.graph)
    told = [{**as_json.run(run), "executions": sorted(run.graph.executions)} for run in runs]
    pipelines = sorted({run.pipeline for run in runs if run.pipeline})
    _write(path, f"Runs of {', '.join(pipelines) or 'no pipeline'}", where, whole, {"runs": told})


def write_found(path: Path, where: str, what: str, found: Found) -> None:
    """Write a page about what was found.

    Args:
        path: of the page.
        where: the store's name.
        what: as a person asked for it.
        found: the answer.

    Raises:
        StoreError: the page cannot be written.
    """
    focus, title = "", what
    if found.artifact:
        focus, title = f"a{found.artifact.id}", f"{found.artifact.type} {found.artifact.id}"
    elif found.execution:
        focus, title = f"e{found.execution.id}", f"{facts.step_name(found.execution)}, execution {found.execution.id}"
    # A file or a folder has a better name than the store's.
    title = what if "/" in what else title
    graph = _near(found.graph, focus)
    told = {**as_json.found(found), "graph": None, "focus": focus, "left_out": _size(found.graph) - _size(graph)}
    _write(path, title, where, graph, {"found": told})


def fill(template: str, parts: dict[str, str]) -> str:
    """A page with a graph.

    Args:
        template: where `/*NAME*/` stands for a part. `GRAPH`, `STYLE` and `SCRIPT` are the graph's own.
        parts: by name; of `STYLE` and `SCRIPT` what follows the graph's. `DATA` is what `data_of` gives.
    """
    script = "\n".join(_read(name) for name in GRAPH_SCRIPTS)
    parts = {
        "GRAPH": _read("graph.html"),
        **parts,
        "STYLE": _read("style.css") + parts.get("STYLE", ""),
        "SCRIPT": f"{script}\n{parts.get('SCRIPT', '')}",
    }
    # In one pass: what is filled in may hold the name of a part.
    return re.sub(r"/\*([A-Z]+)\*/", lambda found: parts.get(found[1], found[0]), template)


def data_of(graph: Graph, **content: Any) -> str:
    """What a page tells its scripts: the graph, what its artifacts hold, and `content`."""
    payload = {
        "metrics": facts.METRICS,
        "graph": as_json.graph(graph),
        "files": {f"a{artifact.id}": _files(artifact) for artifact in graph.artifacts.values()},
        "statistics": {f"a{a.id}": statistics.summarise(a.uri) for a in graph.of_type(facts.STATISTICS)},
        **content,
    }
    # Within a script, `<` could end it, or begin a comment.
    return json.dumps(payload, ensure_ascii=False, default=str).replace("<", "\\u003c")


def _write(path: Path, title: str, where: str, graph: Graph, content: dict[str, Any]) -> None:
    written = datetime.now(timezone.utc).isoformat(timespec="seconds")
    data = data_of(graph, title=title, store=where, written=written, **content)
    try:
        path.write_text(fill(_read("page.html"), {"SCRIPT": _read("app.js"), "DATA": data}), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"--html {path}: cannot be written ({error.strerror}); choose another file") from None


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _files(artifact: Artifact) -> list[str]:
    """The first files of an artifact, by full path, where it is on this machine."""
    places = [artifact.uri, str(artifact.properties.get("pushed_destination", ""))]
    folders = [Path(place) for place in places if place.startswith("/")]
    found = [path for folder in folders if folder.is_dir() for path in sorted(folder.rglob("*")) if path.is_file()]
    return [str(path) for path in found[:LISTED_FILES]]


def _size(graph: Graph) -> int:
    return len(graph.artifacts) + len(graph.executions)


def _near(graph: Graph, focus: str) -> Graph:
    """The part of a graph that is nearest to a node, where it is too large to be drawn."""
    if _size(graph) <= DRAWN:
        return graph
    neighbours: dict[str, list[str]] = {}
    for link in sorted(graph.links):
        ends = (f"e{link.execution}", f"a{link.artifact}")
        for one, other in (ends, ends[::-1]):
            neighbours.setdefault(one, []).append(other)
    near, queue = {focus}, deque([focus])
    while queue and len(near) < DRAWN:
        for other in neighbours.get(queue.popleft(), []):
            if other not in near and len(near) < DRAWN:
                near.add(other)
                queue.append(other)
    return Graph(
        {i: artifact for i, artifact in graph.artifacts.items() if f"a{i}" in near},
        {i: execution for i, execution in graph.executions.items() if f"e{i}" in near},
        frozenset(link for link in graph.links if f"e{link.execution}" in near and f"a{link.artifact}" in near),
    )
