"""Prints answers in the terminal."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from lineage import facts
from lineage.facts import Evaluation, Push, Story
from lineage.find import Match
from lineage.graph import Artifact, Execution, Graph
from lineage.proof import Proof
from lineage.runs import Run
from pipeline.console import duration

LOG_WIDTH = 120  # of the output in a file or a pipe
TREE_WIDTH = 10_000  # so that no address is cut off
MAX_BRANCHES = 25  # of one artifact
_COLORS = {"complete": "green", "running": "yellow", "failed": "red", "canceled": "red"}
_MISSING = "[dim]-[/dim]"


def make_console() -> Console:
    """Returns a console on the standard output."""
    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else LOG_WIDTH)


def show_runs(runs: list[Run], has_more: bool, console: Console) -> None:
    """Prints runs as a table; `has_more` says that there may be more."""
    if not runs:
        console.print("no runs yet")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("run", "pipeline", "when", "state", "time", "from the cache", "Recall@10", "outcome"):
        is_number, is_whole = title in ("run", "time", "Recall@10"), title in ("run", "when", "state", "Recall@10")
        table.add_column(title, justify="right" if is_number else "left", overflow="fold", no_wrap=is_whole)
    for run in runs:
        color = _COLORS[run.state]
        table.add_row(
            str(run.id),
            escape(run.pipeline),
            moment(run.started),
            f"[{color}]{run.state}[/{color}]",
            duration(run.seconds),
            escape(cached_in_words(run)),
            _MISSING if run.recall is None else f"{run.recall:.4f}",
            escape(run.outcome),
        )
    console.print(table)
    if has_more:
        console.print(f"[dim]the newest {len(runs)}; --limit N shows more, --limit 0 all[/dim]")


def show_match(match: Match, console: Console) -> None:
    """Prints the ancestors and the descendants of an artifact or an execution."""
    graph, node = match.graph, match.node
    before, after = Tree("", hide_root=True), Tree("", hide_root=True)
    title = _execution(node) if isinstance(node, Execution) else _artifact(node)
    # The descendants of a pushed file are those of its model.
    is_pushed = node.type == facts.PUSHED_MODEL and match.model is not None
    _grow(before, graph, node.key, {node.key}, is_up=True)
    _grow(after, graph, f"a{match.model}" if is_pushed else node.key, {node.key}, is_up=False)
    console.print(f"[bold]{title}[/bold]", soft_wrap=True)
    if match.story:
        show_story(match.story, console)
    wide = Console(file=console.file, highlight=False, width=TREE_WIDTH)
    console.print("\n[bold]Ancestors[/bold]")
    wide.print(before if before.children else "none: no step of the store made it")
    console.print("\n[bold]Descendants[/bold]")
    wide.print(after if after.children else "none yet")


def show_story(story: Story, console: Console) -> None:
    """Prints the story of a model."""
    _line("Data", data_in_words(story.data), console)
    _line("Code", code_in_words(story), console)
    for evaluation in story.evaluations:
        _line("Quality", quality_in_words(evaluation), console)
    if story.refitted_id is not None:
        _line("Refitted", f"the pushed model is artifact {story.refitted_id}, refitted after the evaluation", console)
    for push in story.pushes:
        _line("Pushed", push_in_words(push), console)
    _line("Settings", "", console)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for section, pairs in by_section(story.settings).items():
        words = ", ".join(f"{name} {value_in_words(value)}" for name, value in pairs)
        table.add_row(f"  {escape(section)}", escape(words))
    console.print(table)


def show_proof(proof: Proof, console: Console) -> None:
    """Prints where a file comes from."""
    console.print(f"[green]✓[/green] {escape(str(proof.file))} was pushed by this pipeline", soft_wrap=True)
    _line("SHA-256", proof.push.sha256, console)
    _line("Model", f"artifact {proof.story.model_id}, {proof.story.model_uri}", console)
    _line("Run", "not recorded" if proof.run_id is None else f"{proof.run_id}, pipeline {proof.push.pipeline}", console)
    show_story(proof.story, console)
    if proof.others:
        others = ", ".join(map(str, proof.others))
        console.print(f"The same content was pushed before: artifact {others}.", soft_wrap=True)


def show_difference(left: int, right: int, sections: dict[str, dict[str, tuple[Any, Any]]], console: Console) -> None:
    """Prints the facts of the runs with the ids `left` and `right`, as `compare` returns them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", overflow="fold")
    for run in (left, right):
        table.add_column(f"run {run}", overflow="fold")
    has_equal = any(first == second for pairs in sections.values() for first, second in pairs.values())
    for section, pairs in sections.items():
        if pairs:
            table.add_row(f"[bold]{section}[/bold]")
        for name, pair in pairs.items():
            color = "yellow" if has_equal and pair[0] != pair[1] else "default"
            values = (_MISSING if words is None else escape(words) for words in _pair_in_words(pair))
            table.add_row(f"  {escape(name)}", *(f"[{color}]{value}[/{color}]" for value in values))
    console.print(table if table.row_count else "The runs agree in data, code, settings and metrics.")


def by_section(settings: dict[str, Any]) -> dict[str, list[tuple[str, Any]]]:
    """Returns the names and values of settings by the section of their keys, the part before the first dot."""
    sections = defaultdict(list)
    for key, value in settings.items():
        section, _, name = key.partition(".")
        sections[section].append((name, value))
    return sections


def name_of(node: Artifact | Execution) -> str:
    """Returns the name of an execution's step, or the type of an artifact."""
    return facts.step_name(node) if isinstance(node, Execution) else node.type


def main_fact(artifact: Artifact) -> str:
    """Returns Recall@10, the verdict, the pushed version or the fingerprint of data; empty for other artifacts."""
    properties = artifact.properties
    if artifact.type == facts.EVALUATION and facts.HEADLINE in properties:
        return f"Recall@10 {properties[facts.HEADLINE]:.4f}"
    if artifact.type == facts.BLESSING:
        return "blessed" if properties.get("blessed") == 1 else "not blessed"
    if artifact.type == facts.PUSHED_MODEL:
        return f"version {properties.get('pushed_version', '')}" if properties.get("pushed") else "nothing was pushed"
    return f"of data {properties['data_fingerprint']}" if "data_fingerprint" in properties else ""


def moment(milliseconds: float) -> str:
    """Returns a date and time of this time zone."""
    return datetime.fromtimestamp(milliseconds / 1000).strftime("%Y-%m-%d %H:%M:%S")


def value_in_words(value: Any, digits: int = 4) -> str:
    """Returns a setting or a metric in words; a fraction is rounded to about `digits` significant digits."""
    if isinstance(value, float):
        return f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:,.{digits - 4}f}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return (value or '""') if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pair_in_words(pair: tuple[Any, Any]) -> tuple[str | None, ...]:
    """Returns two values in words, None for a missing value; different numbers have enough digits to differ."""
    for digits in range(4, 18):
        words = tuple(None if value is None else value_in_words(value, digits) for value in pair)
        if pair[0] == pair[1] or words[0] != words[1]:
            break
    return words


def cached_in_words(run: Run) -> str:
    """Returns the names of a run's cached steps."""
    others = [step.name for step in run.steps if step.state != "CACHED"]
    return f"all but {', '.join(others)}" if len(run.cached) > len(others) else ", ".join(run.cached)


def data_in_words(data: dict[str, Any]) -> str:
    """Returns the facts about data, in one line."""
    parts = [str(data.get("name", "")), *counts_in_words(data)]
    if data.get("fingerprint"):
        source = data.get("fingerprint_of", "content")
        parts.append(f"SHA-256 {data['fingerprint']}" + (f" of {source}" if source != "content" else ""))
    if data.get("path"):
        parts.append(f"read from {data['path']}")
    return ", ".join(filter(None, parts)) or "not recorded"


def counts_in_words(data: dict[str, Any]) -> list[str]:
    """Returns the known counts of interactions, users and items, each in words."""
    return [f"{data[key]:,} {word}" for key, word in facts.COUNTS.items() if key in data]


def code_in_words(story: Story) -> str:
    """Returns the commit that pushed a model, and the fingerprints of the steps' code."""
    commits = {f"commit {push.code_version}" for push in story.pushes if push.code_version}
    return "; ".join([*sorted(commits), ", ".join(f"{step} {code}" for step, code in story.code.items())])


def quality_in_words(evaluation: Evaluation) -> str:
    """Returns the metrics and the verdict of an evaluation, in one line."""
    metrics = evaluation.metrics
    names = [name for name in ("recall_at_10", "ndcg_at_10", "mrr", "coverage_at_10") if name in metrics]
    words = [f"{facts.METRICS[name]} {metrics[name]:.4f}" for name in names] or ["metrics not recorded in the store"]
    if lists := lists_in_words(metrics):
        words[0] += f" ({', '.join(lists)})"
    verdict = "blessed" if evaluation.blessed else "not blessed"
    by = f"evaluation {evaluation.id}, blessing {evaluation.blessing_id or 'none'}"
    return f"{', '.join(words)}; {verdict} ({by})"


def lists_in_words(metrics: dict[str, Any]) -> list[str]:
    """Returns the known Recall@10 of the two lists that the model is compared with, each in words."""
    return [f"{title} {metrics[name]:.4f}" for title, name in facts.LISTS.items() if name in metrics]


def push_in_words(push: Push) -> str:
    """Returns a push in one line."""
    return f"version {push.version} of {push.pipeline}, {moment(push.when)}, {push.destination}"


def _line(title: str, words: str, console: Console) -> None:
    console.print(f"[bold]{title:<10}[/bold]{escape(words)}", soft_wrap=True)


def _artifact(artifact: Artifact, name: str = "") -> str:
    """Returns an artifact's type, id, and its main fact or its address, in one line."""
    about = main_fact(artifact) or artifact.uri
    if destination := artifact.properties.get("pushed_destination"):
        about += f", {destination}"
    prefix = f"{name}: " if name else ""
    return f"{prefix}[cyan]{escape(artifact.type)}[/cyan] {artifact.id}  {escape(about)}"


def _execution(execution: Execution) -> str:
    """Returns an execution's step, state, times and data, in one line."""
    state = execution.state.lower()
    color = {"failed": "red", "running": "yellow"}.get(state, "default")
    took = "" if execution.seconds is None else f", {duration(execution.seconds)}"
    given = facts.parameters(execution)
    data = f"  {given.get('data', '')}, SHA-256 {given['data_fingerprint']}" if given.get("data_fingerprint") else ""
    when = moment(execution.started)
    name = escape(facts.step_name(execution))
    return f"{name} (execution {execution.id}, [{color}]{state}[/{color}], {when}{took}){escape(data)}"


def _grow(tree: Tree, graph: Graph, key: str, seen: set[str], *, is_up: bool) -> None:
    """Adds the ancestors of a node to a tree, or its descendants: each execution with its own branches once."""
    if is_up:
        links = graph.before(key)
        if isinstance(graph.nodes[key], Artifact):
            links = links[:1]  # The first execution that has an artifact as an output made it.
    else:
        links = list({link.end: link for link in graph.after(key) if not link.is_compared}.values())
    for number, link in enumerate(links):
        node = graph.nodes[link.start if is_up else link.end]
        if isinstance(node, Artifact):
            _grow(tree.add(_artifact(node, link.name if is_up else "")), graph, node.key, seen, is_up=is_up)
        elif not is_up and number == MAX_BRANCHES:
            tree.add(f"and {len(links) - MAX_BRANCHES:,} more; --json has all")
            return
        elif node.key not in seen:
            seen.add(node.key)
            _grow(tree.add(_execution(node)), graph, node.key, seen, is_up=is_up)
        elif is_up:
            tree.add(f"{escape(facts.step_name(node))} (execution {node.id}), see above")
