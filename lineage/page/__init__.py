"""Self-contained pages about runs or about one artifact: graph, properties, metrics, statistics of the data."""

from __future__ import annotations

import functools
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lineage import as_json, facts, statistics
from lineage.errors import StoreError
from lineage.facts import Story
from lineage.find import Match
from lineage.graph import NO_GRAPH, Artifact, Graph
from lineage.runs import Run
from lineage.text import counts_in_words, duration, lists_in_words, moment

FOLDER = Path(__file__).parent
BASE_STYLE = files("on_device.demo") / "page" / "base.css"
SCRIPTS = ("elements.js", "layout.js", "view.js", "details.js", "graph.js")
TONES = {"complete": "good", "failed": "bad", "canceled": "bad", "running": "busy"}
MAX_NODES = 250  # of a drawn graph; a larger one is unreadable
MAX_FILES = 12  # listed of an artifact


@dataclass(frozen=True)
class Card:
    """A fact at the top of a page: a title, a value, a note, and the class of the value's colour."""

    name: str
    value: str | Markup
    note: str
    tone: str = ""


def write_runs(path: Path, store: str, runs: list[Run]) -> None:
    """Writes a page about runs.

    Args:
        path: of the page.
        store: the store's name.
        runs: newest first.

    Raises:
        StoreError: the page cannot be written.
    """
    graph = functools.reduce(Graph.merge, (run.graph for run in runs), NO_GRAPH)
    pipelines = sorted({run.pipeline for run in runs if run.pipeline})
    _write(
        path,
        graph,
        {"runs": [{**as_json.run(run), "executions": sorted(run.graph.executions)} for run in runs]},
        title=f"Runs of {', '.join(pipelines) or 'no pipeline'}",
        store=store,
        cards=_cards_of_runs(runs),
        runs=runs,
        several_pipelines=len(pipelines) > 1,
        tones=TONES,
    )


def write_match(path: Path, store: str, query: str, match: Match) -> None:
    """Writes a page about an artifact or an execution.

    Args:
        path: of the page.
        store: the store's name.
        query: the argument of `show`.
        match: the result of the query.

    Raises:
        StoreError: the page cannot be written.
    """
    focus, title = "", query
    if match.artifact:
        focus, title = f"a{match.artifact.id}", f"{match.artifact.type} {match.artifact.id}"
    elif match.execution:
        focus, title = f"e{match.execution.id}", f"{facts.step_name(match.execution)}, execution {match.execution.id}"
    graph = _nearest(match.graph, focus)
    story = match.story
    _write(
        path,
        graph,
        {"match": {**as_json.match(match), "graph": None}, "focus": focus},
        title=query if "/" in query else title,  # A path is clearer than the type and the id.
        store=store,
        cards=_cards_of_story(story) if story else [],
        left_out=_size(match.graph) - _size(graph),
    )


def render(template: Path, graph: Graph | None, payload: dict[str, Any], **values: Any) -> str:
    """Returns a page. Its stylesheet and script may lie beside the template: `page.css` and `page.js` of `page.html`.

    Args:
        template: extends `layout.html`, and may include `cards.html` and `graph.html`.
        graph: to draw; None for a page without one, and without a script.
        payload: data for the script, in addition to the graph and the contents of its artifacts.
        values: of the template's variables. Text is escaped.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, FOLDER]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "default": str}
    environment.filters |= {"duration": duration, "moment": moment}
    styles = [BASE_STYLE, FOLDER / "style.css", template.with_suffix(".css")]
    scripts = [*(FOLDER / name for name in SCRIPTS), template.with_suffix(".js")]
    return environment.get_template(template.name).render(
        {"left_out": 0, **values},
        style=Markup("\n".join(path.read_text(encoding="utf-8") for path in styles)),
        script=Markup("\n".join(path.read_text(encoding="utf-8") for path in scripts if path.is_file())),
        payload=None if graph is None else {**_contents(graph), **payload},
    )


def _write(path: Path, graph: Graph, payload: dict[str, Any], **values: Any) -> None:
    content = render(FOLDER / "page.html", graph, payload, written=time.time() * 1000, **values)
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"--html {path}: cannot be written ({error.strerror}); choose another file") from None


def _contents(graph: Graph) -> dict[str, Any]:
    return {
        "metrics": facts.METRICS,
        "graph": as_json.graph(graph),
        "files": {f"a{artifact.id}": _files(artifact) for artifact in graph.artifacts.values()},
        "statistics": {f"a{a.id}": statistics.summarise(a.uri) for a in graph.of_type(facts.STATISTICS)},
    }


def _cards_of_runs(runs: list[Run]) -> list[Card]:
    if not runs:
        return []
    last, states = runs[0], [run.state for run in runs]
    evaluated = [(run.recall, run.id) for run in runs if run.recall is not None]
    pushed = [(run.push, run.id) for run in runs if run.push]
    cards = [
        Card("Last run", last.state, f"run {last.id}, {last.outcome}", TONES[last.state]),
        Card("Runs", f"{len(runs):,}", f"{states.count('running')} running, {states.count('failed')} failed"),
        Card("Best Recall@10", "none", "no evaluation yet"),
        Card("Last pushed", "none", "no push yet"),
    ]
    if evaluated:
        recall, run = max(evaluated)
        cards[2] = Card("Best Recall@10", f"{recall:.4f}", f"run {run}")
    if pushed:
        push, run = pushed[0]
        cards[3] = Card("Last pushed", f"version {push.version}", f"run {run}, {push.pipeline}")
    return cards


def _cards_of_story(story: Story) -> list[Card]:
    cards = []
    if story.evaluations:
        evaluation = story.evaluations[-1]
        tone, verdict = ("good", "blessed") if evaluation.blessed else ("bad", "not blessed")
        recall = evaluation.metrics.get(facts.HEADLINE)
        if recall is None:
            cards.append(Card("Quality", verdict, "metrics are not in the store", tone))
        else:
            note = ", ".join([verdict, *lists_in_words(evaluation)])
            cards.append(Card("Recall@10 on the test split", f"{recall:.4f}", note, tone))
    data = story.data
    fingerprint = f"SHA-256 {data.get('fingerprint', '')[:12]}…"
    cards.append(Card("Data", data.get("name", "not named"), ", ".join([*counts_in_words(data), fingerprint])))
    if not story.pushes:
        return [*cards, Card("Pushed", "no", "this model was not pushed")]
    push = story.pushes[-1]
    cards.append(Card("Pushed", f"version {push.version}", f"{push.pipeline}, {moment(push.when)}"))
    if push.code_version:
        note = "commit, with changes" if "+" in push.code_version else "commit"
        cards.append(Card("Code", push.code_version[:8], note))
    return cards


def _files(artifact: Artifact) -> list[str]:
    """Returns the full paths of an artifact's first files, if they are on this machine."""
    places = [artifact.uri, str(artifact.properties.get("pushed_destination", ""))]
    folders = [Path(place) for place in places if place.startswith("/")]
    paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.rglob("*")) if path.is_file()]
    return [str(path) for path in paths[:MAX_FILES]]


def _size(graph: Graph) -> int:
    return len(graph.artifacts) + len(graph.executions)


def _nearest(graph: Graph, focus: str) -> Graph:
    """Returns the nodes of a graph that are nearest to one of them, `MAX_NODES` at most."""
    if _size(graph) <= MAX_NODES:
        return graph
    neighbours = defaultdict(list)
    for link in sorted(graph.links):
        execution, artifact = f"e{link.execution}", f"a{link.artifact}"
        neighbours[execution].append(artifact)
        neighbours[artifact].append(execution)
    near, queue = {focus}, deque([focus])
    while queue:
        for other in neighbours[queue.popleft()]:
            if other not in near and len(near) < MAX_NODES:
                near.add(other)
                queue.append(other)
    return Graph(
        {i: artifact for i, artifact in graph.artifacts.items() if f"a{i}" in near},
        {i: execution for i, execution in graph.executions.items() if f"e{i}" in near},
        frozenset(link for link in graph.links if f"e{link.execution}" in near and f"a{link.artifact}" in near),
    )
