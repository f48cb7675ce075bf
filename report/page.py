"""One self-contained page about a run: nothing is fetched, and what is not known is left out or said."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from lineage import facts, page
from lineage.text import duration
from report.html import Html, join, tag
from report.known import Known
from report.sections import SECTIONS, verdict

FOLDER = Path(__file__).parent
MARK = Html(
    '<svg class="mark" viewBox="0 0 36 36" width="36" height="36" aria-hidden="true">'
    '<rect width="36" height="36" rx="9"/>'
    '<path d="M9 24l6-7 5 4 7-10"/><circle cx="27" cy="11" r="2.5"/></svg>'
)


def render(known: Known, folder: Path) -> str:
    """The page, for a file in `folder`: links to files within it are relative."""
    told = known.summary
    name = known.config["name"]
    when = datetime.fromtimestamp(known.run.started / 1000) if known.run else datetime.now()
    note = [f"{when:%d %B %Y, %H:%M}"] + ([duration(told["seconds"])] if told["seconds"] else [])
    note += [f"run {known.run.id}"] if known.run else []
    tone, word, why = verdict(known)
    header = tag(
        "header",
        MARK,
        tag("div", tag("h1", name), tag("p", "Report of the run of ", " · ".join(note), class_="note")),
        tag("p", word, class_=f"verdict {tone}"),
        class_="top",
    )
    sections = [tag("p", why, class_=f"card why {tone}"), _cards(known)]
    sections += [section(known, folder) for section in SECTIONS]
    graph = known.run.graph if known.run else None
    if graph:
        pushed = graph.of_type(facts.PUSHED_MODEL)
        data = page.data_of(graph, focus=f"a{pushed[-1].id}" if pushed and told.get("artifact") else None)
        scripts = (
            f'<script type="application/json" id="data">{data}</script>\n<script type="module">\n/*SCRIPT*/\n</script>'
        )
    parts = {
        "TITLE": join(f"{name}: {word}"),
        "STYLE": (FOLDER / "style.css").read_text(encoding="utf-8"),
        "HEADER": header,
        "SECTIONS": join(sections),
        "SCRIPTS": page.fill(scripts, {"SCRIPT": "draw(null, page.focus);\nchoose(page.focus);"}) if graph else "",
    }
    return page.fill((FOLDER / "template.html").read_text(encoding="utf-8"), parts)


def _cards(known: Known) -> Html | None:
    told, cards = known.summary, []
    if metrics := told.get("metrics"):
        recall = metrics["model"]["recall_at_10"]
        error = metrics["standard_errors"]["model"]["recall_at_10"]
        cards.append(
            _card("Recall@10, test split", [f"{recall:.4f}", tag("small", f" ± {error:.4f}")], "one standard error")
        )
        for title, whose in (("Popularity list", "popularity"), ("Markov", "markov")):
            other = metrics[whose]["recall_at_10"]
            lift = f"the model has {recall / other:.1f} times as much" if other else "no hit at all"
            cards.append(_card(title, f"{other:.4f}", lift))
    if artifact := told.get("artifact"):
        size = f"{artifact['size_bytes'] / 1e6:.2f} MB"
        cards.append(_card("The file", size, f"{artifact['precision']}, {artifact['latency_us']:,.0f} µs an answer"))
    if data := told.get("data"):
        cards.append(_card("Data", data["name"], f"{data['ratings']:,} interactions of {data['items']:,} items"))
    return tag("section", cards, class_="cards", aria_label="In short") if cards else None


def _card(name: str, value: str | list[Any], note: str) -> Html:
    return tag(
        "div", tag("span", name, class_="note"), tag("b", value), tag("span", note, class_="note"), class_="card fact"
    )
