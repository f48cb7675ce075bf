"""Self-contained pages about runs or about one artifact: graph, properties, metrics, statistics of the data."""

from __future__ import annotations

import functools
import json
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lineage import facts, statistics, text
from lineage.errors import StoreError
from lineage.facts import Story
from lineage.find import Match
from lineage.graph import NO_GRAPH, Artifact, Execution, Graph
from lineage.page.axis import decimals, ticks
from lineage.page.drawing import Drawing, draw, nearest
from lineage.runs import Run
from pipeline.console import duration

FOLDER = Path(__file__).parent
BASE_STYLE = files("on_device.demo") / "page" / "base.css"
TONES = {"complete": "good", "failed": "bad", "canceled": "bad", "running": "busy"}
MAX_FILES = 12  # listed of an artifact
HIDDEN = {"custom_config", "is_external", "stats_dashboard_link", "tfx_version"}  # properties that say little


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
    pipelines = sorted({run.pipeline for run in runs if run.pipeline})
    _write(
        path,
        [draw(run.graph, run=run.id) for run in runs],
        title=f"Runs of {', '.join(pipelines) or 'no pipeline'}",
        store=store,
        cards=_cards_of_runs(runs),
        runs=runs,
        chart=_chart(runs),
        several_pipelines=len(pipelines) > 1,
        settings={run.id: run.settings for run in runs},
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
    node, story = match.node, match.story
    title = f"{node.type} {node.id}" if isinstance(node, Artifact) else f"{text.name_of(node)}, execution {node.id}"
    graph = nearest(match.graph, node.key)
    _write(
        path,
        [draw(graph, node.key)],
        title=query if "/" in query else title,  # A path is clearer than the type and the id.
        store=store,
        cards=_cards_of_story(story) if story else [],
        settings={None: story.settings} if story else {},
        left_out=len(match.graph.nodes) - len(graph.nodes),
    )


def render(template: Path, drawings: list[Drawing], **values: Any) -> str:
    """Returns a page. Its stylesheet lies beside the template: `page.css` of `page.html`.

    Args:
        template: extends `layout.html`, and may include `cards.html` and `graph.html`.
        drawings: for `graph.html`, which shows one of them; without any, the page has no script.
        values: of the template's variables. Text is escaped.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, FOLDER]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "about": _about,
        "by_section": lambda settings: text.by_section(settings).items(),
        "decimals": "{:.4f}".format,
        "duration": duration,
        "files": _files,
        "json": functools.partial(json.dumps, indent=1, ensure_ascii=False, default=str),
        "link": _link,
        "lists": text.lists_in_words,
        "main_fact": text.main_fact,
        "moment": text.moment,
        "name": text.name_of,
        "numbers": lambda values: {key: value for key, value in values.items() if isinstance(value, int | float)},
        "parameters": facts.parameters,
        "percent": "{:.2%}".format,
        "statistics": lambda artifact: statistics.summarise(artifact.uri) if artifact.type == facts.STATISTICS else {},
        "titled": lambda pair: (facts.METRICS.get(pair[0], pair[0]), pair[1]),
        "thousands": "{:,.0f}".format,
        "words": text.value_in_words,
    }
    environment.tests["execution"] = lambda node: isinstance(node, Execution)
    styles = [BASE_STYLE, FOLDER / "style.css", template.with_suffix(".css")]
    return environment.get_template(template.name).render(
        {"left_out": 0, "runs": [], **values},
        style=Markup("\n".join(path.read_text(encoding="utf-8") for path in styles)),
        script=Markup((FOLDER / "graph.js").read_text(encoding="utf-8")),
        drawings=drawings,
        graph=functools.reduce(Graph.merge, (drawing.graph for drawing in drawings), NO_GRAPH),
        quality=facts.QUALITY,
        hidden=HIDDEN,
        tones=TONES,
    )


def _write(path: Path, drawings: list[Drawing], **values: Any) -> None:
    content = render(FOLDER / "page.html", drawings, written=time.time() * 1000, zone=time.strftime("%Z"), **values)
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"--html {path}: cannot be written ({error.strerror}); choose another file") from None


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
            note = ", ".join([verdict, *text.lists_in_words(evaluation.metrics)])
            cards.append(Card("Recall@10 on the test split", f"{recall:.4f}", note, tone))
    data = story.data
    fingerprint = f"SHA-256 {data.get('fingerprint', '')[:12]}…"
    cards.append(Card("Data", data.get("name", "not named"), ", ".join([*text.counts_in_words(data), fingerprint])))
    if not story.pushes:
        return [*cards, Card("Pushed", "no", "this model was not pushed")]
    push = story.pushes[-1]
    cards.append(Card("Pushed", f"version {push.version}", f"{push.pipeline}, {text.moment(push.when)}"))
    if push.code_version:
        note = "commit, with changes" if "+" in push.code_version else "commit"
        cards.append(Card("Code", push.code_version[:8], note))
    return cards


def _chart(runs: list[Run]) -> dict[str, Any] | None:
    """Returns the places of the runs' Recall@10 over time, from 0 to 1 each; None for fewer than two.

    `dots` has a run, its x and its y for each run, and `grid` a label and its y for each mark of the axis.
    """
    evaluated = [(run, run.recall) for run in reversed(runs) if run.recall is not None]
    if len(evaluated) < 2:
        return None
    recalls = [recall for _, recall in evaluated]
    marks = ticks(min(recalls), max(recalls), 2)
    low, high = marks[0], marks[-1]
    return {
        "dots": [
            (run, at / (len(evaluated) - 1), (high - recall) / (high - low))
            for at, (run, recall) in enumerate(evaluated)
        ],
        "grid": [(f"{mark:.{decimals(marks)}f}", (high - mark) / (high - low)) for mark in marks],
    }


def _about(node: Artifact | Execution, graph: Graph) -> str:
    """Returns the second line of a drawn node."""
    if isinstance(node, Execution):
        return f"{node.state.lower()}, execution {node.id}"
    if fingerprint := node.properties.get("data_fingerprint"):
        return f"data {str(fingerprint)[:12]}"
    is_only_compared = not graph.before(node.key) and any(link.is_compared for link in graph.after(node.key))
    return text.main_fact(node) or (f"{node.id}, compared with" if is_only_compared else f"artifact {node.id}")


def _files(artifact: Artifact) -> list[Path]:
    """Returns the full paths of an artifact's first files, if they are on this machine."""
    places = [artifact.uri, str(artifact.properties.get("pushed_destination", ""))]
    folders = [Path(place) for place in places if place.startswith("/")]
    paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.rglob("*")) if path.is_file()]
    return paths[:MAX_FILES]


def _link(place: Path | str, text: str = "") -> Markup | str:
    """Returns a link to a file of this machine; another address as it is."""
    if not Path(place).is_absolute():
        return str(place)
    return Markup('<a href="{}" title="{}">{}</a>').format(Path(place).as_uri(), place, text or place)
