"""The sections of the page, in order; each is None where nothing is known of what it tells."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from components import features
from lineage import facts
from lineage.graph import Artifact
from lineage.page import FOLDER as GRAPH_FOLDER
from lineage.text import duration
from pipeline.summary import refit_in_words, repeated, unreachable
from report.charts import Bar, Point, Share, curve, slices
from report.examples import Example
from report.html import Content, Html, tag
from report.known import Known

RECALL, POPULARITY, MARKOV = "recall_at_10", "popularity_recall_at_10", "markov_recall_at_10"
CURVES = {"loss": "Training loss, nats", "recall_at_10": "Recall@10, eval split", "ndcg_at_10": "NDCG@10, eval split"}
SLICES = {
    features.HISTORY_BUCKET: ("By items in the user's history", list(features.HISTORY_BUCKETS)),
    features.POPULARITY_BUCKET: ("By popularity of the item that came next", list(features.POPULARITY_BUCKETS)),
}
KINDS = {features.HISTORY_BUCKET: "history", features.POPULARITY_BUCKET: "popularity"}
DROPPED = {
    "duplicates": "duplicates dropped",
    "dropped_repeats": "repeats dropped",
    "other_events": "interactions of other kinds left out",
    "bad_rows": "rows that could not be read skipped",
    "short_users": "users with too few interactions left out",
    "unknown_items": "items without a title",
}
OTHER_TOOLS = {
    facts.EVALUATION: "TFMA: tfma.load_eval_result(PATH)",
    facts.STATISTICS: "TFDV: tfdv.load_stats_binary(PATH/Split-train/FeatureStats.pb)",
    "ExampleAnomalies": "TFDV: what ExampleValidator found",
    "Schema": "TFDV: tfdv.load_schema_text(PATH/schema.pbtxt)",
    facts.MODEL: "TensorFlow: tf.saved_model.load(PATH/Format-Serving)",
}
GOOD, BAD, BUSY = "good", "bad", "busy"


def verdict(known: Known) -> tuple[str, str, str]:
    """What came of the run: a tone, some words, and why."""
    told = known.summary
    if told["outcome"] == "pushed":
        artifact = told["artifact"]
        version, reasons = artifact["version"], "; ".join(told.get("gate", {}).get("reasons", []))
        if told["steps"].get("Pusher", {}).get("cached"):
            why = f"All that decides the file is as in an earlier run: {artifact['path']} stands. {reasons}"
            return GOOD, f"unchanged, version {version}", why
        return GOOD, f"pushed as version {version}", f"Pushed to {artifact['path']}. {reasons}".strip()
    if told["outcome"] == "not blessed":
        return BAD, "not pushed", f"The gate did not bless the model: {'; '.join(told['gate']['reasons'])}."
    if told["outcome"] == "failed":
        return BAD, f"failed at {told['step']}", f"Nothing was pushed. {told['step']} failed: {told['error']}"
    if told["outcome"] == "interrupted":
        return (
            BUSY,
            f"interrupted in {told['step']}",
            "Nothing was pushed. The next run goes on where this one stopped.",
        )
    last = next(reversed(told["steps"]), "an early step")
    why = f"Nothing was pushed: the run was to end with {last}; later steps did not run."
    return BUSY, "stopped before the push", why


def quality(known: Known, folder: Path) -> Html | None:
    """All metrics with their standard errors, beside the two lists and the file."""
    metrics = known.summary.get("metrics")
    if not metrics:
        return None
    columns = {
        whose: {
            name: str(Share(value, metrics["standard_errors"][whose].get(name)))
            for name, value in metrics[whose].items()
        }
        for whose in ("model", "popularity", "markov")
    }
    if artifact := known.summary.get("artifact"):
        columns["TFLite file"] = {name: f"{value:.4f}" for name, value in artifact["metrics"]["tflite"].items()}
    rows = [
        [facts.METRICS.get(name, name), *(values[name] for values in columns.values())] for name in metrics["model"]
    ]
    note = (
        f"{metrics['examples']:,} targets of the test split{repeated(known.summary)}, each ranked among all items that "
        f"may be recommended{unreachable(known.summary)}. "
        "Markov lists what followed the last item in the train split. ± is one standard error, over users."
    )
    if artifact and artifact.get("refit"):
        note += f" The pushed file is refitted: {refit_in_words(artifact)}."
    return _section("Quality", tag("p", note, class_="note"), _table(["", *columns], rows, bold=1))


def by_slice(known: Known, folder: Path) -> Html | None:
    """Recall@10 of every slice, with its error."""
    found = known.summary.get("metrics", {}).get("slices") or {}
    charts, rows = [], []
    for feature, (title, labels) in SLICES.items():
        held = {label: found[f"{feature}:{label}"] for label in labels if f"{feature}:{label}" in found}
        bars = [
            Bar(label, int(one["example_count"]), *(_with_error(one, name) for name in (RECALL, POPULARITY)))
            for label, one in held.items()
        ]
        if bars:
            charts.append(tag("div", tag("h3", title), slices(title, bars)))
        for bar, one in zip(bars, held.values(), strict=True):
            recalls = [str(_with_error(one, name)) for name in (RECALL, POPULARITY, MARKOV)]
            rows.append([f"{KINDS[feature]}: {bar.label}", f"{bar.count:,}", *recalls, f"{one['ndcg_at_10']:.4f}"])
    if not charts:
        return None
    legend = tag(
        "p", tag("i", class_="dot model"), "model  ", tag("i", class_="dot other"), "popularity list. ",
        "Lines reach one standard error, over users, to each side; the small number is how many targets there are.",
        class_="note",
    )  # fmt: skip
    table = _table(["slice", "targets", "Recall@10", "popularity", "Markov", "NDCG@10"], rows)
    return _section("Recall@10 by slice", legend, tag("div", charts, class_="charts"), _folded("The numbers", table))


def training(known: Known, folder: Path) -> Html | None:
    """Curves of the fit."""
    told = known.summary.get("training")
    if not told or not told["history"]:
        return None
    history, best = told["history"], told["best_epoch"]
    kept = next((epoch for epoch in history if epoch["epoch"] == best), history[-1])
    note = (
        f"{told['encoder']}, {told['parameters']:,} parameters; {_count(len(history), 'epoch')} in "
        f"{duration(history[-1]['seconds'])}. Epoch {kept['epoch']} was kept, the best on the eval split: Recall@10 "
        f"{kept['recall_at_10']:.4f}."
    )
    charts = [
        tag("div", tag("h3", title), curve(title, [Point(e["epoch"], e["seconds"], e[name]) for e in history], best))
        for name, title in CURVES.items()
    ]
    cached = known.summary["steps"].get("Trainer", {}).get("cached")
    note += " The model is that of an earlier run, from the cache." if cached else ""
    tuned = known.summary.get("tuner")
    words = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in (tuned or {}).get("chosen", {}).items()
    ]
    found = (
        tag("p", f"The Tuner chose {', '.join(words)}, the best of {len(tuned['trials'])} trials.") if tuned else None
    )
    return _section("Training", tag("p", note, class_="note"), found, tag("div", charts, class_="charts three"))


def gate(known: Known, folder: Path) -> Html | None:
    """Each condition of the gate, and what came of it."""
    told = known.summary.get("gate")
    if not told:
        return None
    rows = [_condition(condition) for condition in told["conditions"]]
    if not any(condition["is_change"] for condition in told["conditions"]):
        rows.append(["Recall@10 against an earlier model's", "-", "-", "not checked: there was none to compare with"])
    word = "blessed" if told["blessed"] else "not blessed"
    reasons = tag("p", tag("b", word, class_=GOOD if told["blessed"] else BAD), f": {'; '.join(told['reasons'])}.")
    return _section("The gate", reasons, _table(["condition", "value", "at least", "verdict"], rows, words=(0, 3)))


def precisions(known: Known, folder: Path) -> Html | None:
    """The files that were tried."""
    tried = (known.summary.get("artifact") or {}).get("precisions")
    if not tried:
        return None
    rows = [
        [
            [one["precision"], tag("span", " chosen", class_="tag") if one["chosen"] else None],
            f"{one['size_bytes'] / 1e6:.2f} MB",
            f"{one['latency_us']:,.0f} µs",
            f"{one[RECALL]:.4f}",
            f"{one['agreement_at_10']:.2%}",
        ]
        for one in tried
    ]
    head = ["precision", "size", "an answer", "eval Recall@10", "agreement"]
    note = (
        "Agreement: how much of the SavedModel's top 10 the file returns. An answer: the median, on one thread of the "
        "machine that ran this."
    )
    return _section("Precision of the file", _table(head, rows), tag("p", note, class_="note"))


def recommendations(known: Known, folder: Path) -> Html | None:
    """What the file answers to some users."""
    if not known.examples:
        return None
    note = (
        "What the pushed file answers to users of the test split with a short, a middling and a long history, and to "
        "one of whom nothing is known."
    )
    if (known.summary.get("artifact") or {}).get("refit"):
        note += " The refitted model has learnt from these users, too."
    return _section(
        "Some answers", tag("p", note, class_="note"), tag("div", map(_example, known.examples), class_="examples")
    )


def data(known: Known, folder: Path) -> Html | None:
    """What the data was."""
    told = known.summary.get("data")
    if not told:
        return None
    counts = [f"{told[key]:,} {word}" for key, word in facts.COUNTS.items()]
    left_out = {words: told.get(key, 0) for key, words in DROPPED.items()}
    dropped = {words: len(count) if isinstance(count, list) else count for words, count in left_out.items()}
    leavings = ", ".join(f"{count:,} {words}" for words, count in dropped.items() if count)
    rows = []
    for split, timelines in told["split"].items():
        found = known.statistics.get(split, {}).get("features", [])
        item: dict[str, Any] = next((feature for feature in found if feature["name"] == features.ITEM_ID), {})
        lengths = [f"{length:,.0f}" for length in item.get("lengths", [])] or ["-"] * 3
        counted = [f"{item['values']:,}" if item else "-", *lengths] if known.statistics else []
        rows.append([split, f"{timelines:,}", *counted])
    listed = {"Name": told["name"], "Size": ", ".join(counts), "Left out": leavings or "nothing"}
    listed |= {"Read from": known.run.data["path"]} if known.run and known.run.data.get("path") else {}
    of_what = told.get("fingerprint_of", "content")
    listed |= {"SHA-256" if of_what == "content" else f"SHA-256 of {of_what}": tag("code", told["fingerprint"])}
    head, note = ["split", "timelines"], None
    if known.statistics:
        head += ["interactions", "shortest", "median", "longest"]
        words = (
            "Interactions are those of the histories, without the items that are to be found. Lengths are of histories."
        )
        note = tag("p", words, class_="note")
    return _section("Data", _facts(listed), _table(head, rows), note)


def drift(known: Known, folder: Path) -> Html | None:
    """How far the data is from the last run's."""
    told = known.summary.get("drift")
    if not told:
        return None
    if not told["compared_with"]:
        return _section("Drift", tag("p", f"Not compared: {told['why_not']}.", class_="note"))
    tones = {"ok": tag("b", "✓ within", class_=GOOD), "warn": tag("b", "! warning", class_=BAD)}
    rows = []
    for one in told["measures"]:
        limits = ["-" if one[level] is None else f"{one[level]:g}" for level in ("warn", "stop")]
        rows.append([one["name"], one["words"], f"{one['value']:.4f}", *limits, tones[one["level"]]])
    note = ["Since the last run, whose data was ", tag("code", told["compared_with"]["fingerprint"][:12]), "."]
    table = _table(["measure", "found", "value", "warns over", "stops over", ""], rows, words=(0, 1, 5))
    return _section("Drift", tag("p", note, class_="note"), table)


def lineage(known: Known, folder: Path) -> Html | None:
    """The steps and what they made, the proof, and the graph; None on a cluster, whose own pages have them."""
    if not known.run and not known.summary["seconds"]:
        return None
    stopped = known.summary.get("step")
    if known.run:
        steps = [_step(known, step.execution, step.name, step.state, step.seconds, folder) for step in known.run.steps]
    else:
        steps = [
            _line(n, "CACHED" if s["cached"] else "COMPLETE", s["seconds"], None)
            for n, s in known.summary["steps"].items()
        ]
        steps += [_line(stopped, known.summary["outcome"].upper(), None, None)] if stopped else []
    proof = None
    if known.proof:
        run = "" if known.proof.run_id is None else f" of run {known.proof.run_id}"
        proof = tag(
            "p",
            tag("b", "✓ proved ", class_=GOOD),
            f"The pushed file is artifact {known.proof.push.id}{run}, SHA-256 ",
            tag("code", known.proof.push.sha256),
            ". To check a file again: ",
            tag("code", f"python -m lineage prove {known.proof.file}"),
            class_="proof",
        )
    missing = [tag("p", f"Not known: {line}", class_=BAD) for line in known.missing]
    files = [
        tag("li", _link(artifact, folder), tag("span", f" {artifact.uri}  ({words})", class_="note"))
        for kind, words in OTHER_TOOLS.items()
        for artifact in (known.run.graph.of_type(kind)[-1:] if known.run else [])
    ]
    graph = Html((GRAPH_FOLDER / "graph.html").read_text(encoding="utf-8"))
    return _section(
        "Lineage",
        proof,
        missing,
        tag("ol", steps, class_="steps"),
        _folded("Files for other tools", tag("ul", files, class_="files")) if files else None,
        tag("details", tag("summary", "The graph"), graph, class_="drawn") if known.run else None,
    )


def configuration(known: Known, folder: Path) -> Html | None:
    """All settings; None where only the name of the pipeline is known."""
    if set(known.config) == {"name"}:
        return None
    text = yaml.safe_dump(known.config, sort_keys=False, allow_unicode=True)
    code = known.run.code_version if known.run else ""
    commit = tag("p", "Commit ", tag("code", code), class_="note") if code else None
    note = "What the Tuner chose wins over these." if known.summary.get("tuner") else None
    return _section("Configuration", commit, note, _folded("All settings", tag("pre", text)))


SECTIONS = (quality, by_slice, training, gate, precisions, recommendations, data, drift, lineage, configuration)


def _section(title: str, *content: Content) -> Html:
    name = f"about-{title.lower().replace(' ', '-').replace('@', '-at-')}"
    return tag("section", tag("h2", title, id=name), content, class_="card", aria_labelledby=name)


def _folded(title: str, content: Content) -> Html:
    return tag("details", tag("summary", title), content)


def _facts(rows: dict[str, Content]) -> Html:
    return tag("dl", [(tag("dt", name), tag("dd", value)) for name, value in rows.items()])


def _table(head: list[str], rows: list[list[Any]], words: tuple[int, ...] = (0,), bold: int | None = None) -> Html:
    """A table of numbers, but for the columns `words`."""

    def kind(at: int) -> str | None:
        return None if at in words else "number strong" if at == bold else "number"

    top = tag("tr", [tag("th", title, class_=kind(at), scope="col") for at, title in enumerate(head)])
    body = [tag("tr", [tag("td", cell, class_=kind(at)) for at, cell in enumerate(row)]) for row in rows]
    return tag("div", tag("table", tag("thead", top), tag("tbody", body)), class_="wide")


def _with_error(metrics: dict[str, float], name: str) -> Share:
    return Share(metrics[name], metrics.get(f"{name}_standard_error"))


def _condition(told: dict[str, Any]) -> list[Content]:
    name = facts.METRICS.get(told["metric"], told["metric"])
    passed = tag("b", "✓ pass", class_=GOOD) if told["passed"] else tag("b", "✗ fail", class_=BAD)
    if told["is_change"]:
        words = f"{name} above the best of the last blessed models'; two standard errors below it pass"
        return [words, f"{told['value']:+.4f}", f"{told['bound']:+.4f}", passed]
    return [name, f"{told['value']:.4f}", f"{told['bound']:.4f}", passed]


def _example(example: Example) -> Html:
    found = [
        tag(
            "li",
            tag("b", one.title),
            tag("span", ", ".join(one.genres), class_="note"),
            class_="hit" if one.title == example.target else None,
        )
        for one in example.found
    ]
    if not example.length:
        asked: list[Html | None] = [tag("h3", "Nothing yet"), tag("p", "A new user: the popular items.", class_="note")]
    else:
        earlier = example.length - len(example.history)
        rows = [tag("li", title) for title in example.history]
        more = tag("p", f"{_count(earlier, 'item')} before, then", class_="note") if earlier else None
        asked = [tag("h3", f"{_count(example.length, 'item')} so far"), more, tag("ul", rows, class_="had")]
    place = f"number {example.rank} of the answer" if example.rank else "not among the best 10"
    then = tag("p", "Came next: ", tag("b", example.target), f", {place}.", class_="next") if example.target else None
    return tag("div", asked, tag("ol", found, class_="answer"), then, class_="example")


def _step(known: Known, execution: int, name: str, state: str, seconds: float | None, folder: Path) -> Html:
    graph = known.run.graph if known.run else None
    made = [graph.artifacts[link.artifact] for link in graph.outputs(execution)] if graph else []
    took = [graph.artifacts[link.artifact] for link in graph.inputs(execution)] if graph else []
    links: list[Content] = []
    for artifact in made:
        links += [", " if links else None, _link(artifact, folder)]
    source = ", ".join(f"{artifact.type} {artifact.id}" for artifact in took)
    told: list[Content] = ["made " if links else None, links, f" from {source}" if source and links else None]
    return _line(name, state, seconds, told if links else None)


def _line(name: str, state: str, seconds: float | None, made: Content) -> Html:
    words = {
        "CACHED": "from the cache",
        "COMPLETE": duration(seconds or 0),
        "FAILED": "failed",
        "RUNNING": "did not end",
    }
    return tag(
        "li",
        tag("b", name),
        tag("span", words.get(state, state.lower()), class_="took"),
        tag("span", made, class_="note") if made else None,
        class_=state.lower(),
    )


def _link(artifact: Artifact, folder: Path) -> Html:
    name = f"{artifact.type} {artifact.id}"
    place = Path(str(artifact.properties.get("pushed_destination") or artifact.uri))
    if not place.is_absolute():
        return tag("span", name)
    within = place.is_relative_to(folder)
    return tag(
        "a", name, href=Path(os.path.relpath(place, folder)).as_posix() if within else place.as_uri(), title=str(place)
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
