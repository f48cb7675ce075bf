"""Renders the report: one self-contained page that loads nothing and leaves out unknown facts."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from components import features
from lineage import facts
from lineage.graph import Artifact
from lineage.page import Card
from lineage.page import render as render_page
from lineage.page.drawing import draw
from lineage.runs import Step
from lineage.text import counts_in_words
from pipeline.console import duration
from pipeline.summary import left_out_of, refit_in_words, repeated, unreachable
from report.charts import curve, share, slices
from report.run_facts import RunFacts

TEMPLATE = Path(__file__).with_name("report.html")
CURVES = {"loss": "Training loss, nats", "recall_at_10": "Recall@10, eval split", "ndcg_at_10": "NDCG@10, eval split"}
SLICES = {
    "history": (features.HISTORY_BUCKET, features.HISTORY_BUCKETS),
    "popularity": (features.POPULARITY_BUCKET, features.POPULARITY_BUCKETS),
}
OTHER_TOOLS = {
    facts.EVALUATION: "TFMA: tfma.load_eval_result(PATH)",
    facts.STATISTICS: "TFDV: tfdv.load_stats_binary(PATH/Split-train/FeatureStats.pb)",
    "ExampleAnomalies": "TFDV: ExampleValidator's anomalies",
    "Schema": "TFDV: tfdv.load_schema_text(PATH/schema.pbtxt)",
    facts.MODEL: "TensorFlow: tf.saved_model.load(PATH/Format-Serving)",
}
STATES = {"CACHED": "from the cache", "FAILED": "failed", "RUNNING": "did not end"}


def render(run_facts: RunFacts, folder: Path) -> str:
    """Returns the HTML of the page for a file in `folder`; links to files in that folder are relative."""
    summary, run, config = run_facts.summary, run_facts.run, run_facts.config
    started = datetime.fromtimestamp(run.started / 1000) if run else datetime.now()
    about = [f"{started:%d %B %Y, %H:%M}"]
    about += [duration(summary["seconds"])] if summary["seconds"] else []
    about += [f"run {run.id}"] if run else []
    pushed = run.graph.of_type(facts.PUSHED_MODEL) if run and summary.get("artifact") else []
    tone, verdict, reason = _verdict(summary)
    return render_page(
        TEMPLATE,
        [draw(run.graph, pushed[-1].key if pushed else "")] if run else [],
        title=config["name"],
        about=" · ".join(about),
        tone=tone,
        verdict=verdict,
        reason=reason,
        cards=_cards(summary),
        run_facts=run_facts,
        summary=summary,
        **{key: summary.get(key) for key in ("artifact", "metrics", "training", "tuner", "gate", "data", "drift")},
        slices=_slices(summary),
        curves=_curves(summary),
        steps=_steps(run_facts, folder),
        files=_files(run_facts, folder),
        # On a cluster only the name of the pipeline is known.
        settings="" if set(config) == {"name"} else yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        titles=facts.METRICS,
        share=share,
        slice_chart=slices,
        counts_in_words=counts_in_words,
        left_out_of=left_out_of,
        refit_in_words=refit_in_words,
        repeated=repeated,
        unreachable=unreachable,
    )


def _verdict(summary: dict[str, Any]) -> tuple[str, str, str]:
    """Returns the outcome of the run: a tone, a verdict and the reason."""
    outcome = summary["outcome"]
    reasons = "; ".join(summary.get("gate", {}).get("reasons", []))
    if outcome == "pushed":
        artifact = summary["artifact"]
        if summary["steps"].get("Pusher", {}).get("cached"):
            reason = (
                f"Everything that the file depends on is as in an earlier run: {artifact['path']} stands. {reasons}"
            )
            return "good", f"unchanged, version {artifact['version']}", reason
        return "good", f"pushed as version {artifact['version']}", f"Pushed to {artifact['path']}. {reasons}".strip()
    if outcome == "not blessed":
        return "bad", "not pushed", f"The gate did not bless the model: {reasons}."
    step = summary.get("step")
    if outcome == "failed":
        return "bad", f"failed at {step}", f"Nothing was pushed. {step} failed: {summary['error']}"
    if outcome == "interrupted":
        return "busy", f"interrupted in {step}", "Nothing was pushed. The next run goes on where this one stopped."
    last = next(reversed(summary["steps"]), "an early step")
    reason = f"Nothing was pushed: the run was to end with {last}; later steps did not run."
    return "busy", "stopped before the push", reason


def _cards(summary: dict[str, Any]) -> list[Card]:
    cards = []
    if metrics := summary.get("metrics"):
        recall = metrics["model"]["recall_at_10"]
        value = Markup("{:.4f} <small>± {:.4f}</small>").format(
            recall, metrics["standard_errors"]["model"]["recall_at_10"]
        )
        cards.append(Card("Recall@10, test split", value, "one standard error"))
        for title, name in (("Popularity list", "popularity"), ("Markov", "markov")):
            other = metrics[name]["recall_at_10"]
            note = f"the model has {recall / other:.1f} times as much" if other else "no hit at all"
            cards.append(Card(title, f"{other:.4f}", note))
    if artifact := summary.get("artifact"):
        note = f"{artifact['precision']}, {artifact['latency_us']:,.0f} µs an answer"
        cards.append(Card("The file", f"{artifact['size_bytes'] / 1e6:.2f} MB", note))
    if data := summary.get("data"):
        note = f"{data['ratings']:,} interactions of {data['items']:,} items"
        cards.append(Card("Data", data["name"], note))
    return cards


def _slices(summary: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns the metrics of the slices by kind and label; kinds without slices are left out."""
    metrics = (summary.get("metrics") or {}).get("slices") or {}
    kinds = {
        kind: {label: metrics[f"{feature}:{label}"] for label in labels if f"{feature}:{label}" in metrics}
        for kind, (feature, labels) in SLICES.items()
    }
    return {kind: labels for kind, labels in kinds.items() if labels}


def _curves(summary: dict[str, Any]) -> dict[str, Markup]:
    training = summary.get("training") or {"history": []}
    if not training["history"]:
        return {}
    return {title: curve(title, training["history"], name, training["best_epoch"]) for name, title in CURVES.items()}


def _steps(run_facts: RunFacts, folder: Path) -> list[dict[str, Any]]:
    """Returns the steps in order, with their inputs and outputs if ML Metadata has the run."""
    summary, run = run_facts.summary, run_facts.run
    steps = [
        Step(name, 0, "CACHED" if step["cached"] else "COMPLETE", step["seconds"])
        for name, step in summary["steps"].items()
    ]
    if summary.get("step"):
        steps.append(Step(summary["step"], 0, summary["outcome"].upper(), None))
    if run:
        steps = run.steps
    rows, artifacts = [], run.graph.artifacts if run else {}
    for step in steps:
        took = step.state.lower() if step.seconds is None else duration(step.seconds)
        inputs = run.graph.inputs(step.execution) if run else []
        outputs = run.graph.outputs(step.execution) if run else []
        row = {
            "name": step.name,
            "state": step.state,
            "took": STATES.get(step.state, took),
            "inputs": [_name(artifacts[link.artifact]) for link in inputs],
            "outputs": [_link(artifacts[link.artifact], folder) for link in outputs],
        }
        rows.append(row)
    return rows


def _files(run_facts: RunFacts, folder: Path) -> list[tuple[Markup, str, str]]:
    """Returns the artifacts that other tools read: a link, the address, and the tool."""
    if not run_facts.run:
        return []
    graph = run_facts.run.graph
    latest = [(artifact, tool) for kind, tool in OTHER_TOOLS.items() for artifact in graph.of_type(kind)[-1:]]
    return [(_link(artifact, folder), artifact.uri, tool) for artifact, tool in latest]


def _name(artifact: Artifact) -> str:
    return f"{artifact.type} {artifact.id}"


def _link(artifact: Artifact, folder: Path) -> Markup:
    """Returns a link to an artifact's files, or its name if they are not on this machine."""
    place = Path(str(artifact.properties.get("pushed_destination") or artifact.uri))
    if not place.is_absolute():
        return Markup("<span>{}</span>").format(_name(artifact))
    is_inside = place.is_relative_to(folder)
    address = Path(os.path.relpath(place, folder)).as_posix() if is_inside else place.as_uri()
    return Markup('<a href="{}" title="{}">{}</a>').format(address, place, _name(artifact))
