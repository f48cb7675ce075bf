"""What a person reads in the terminal."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from lineage import facts
from lineage.compare import Difference
from lineage.facts import Evaluation, Push, Story
from lineage.find import Found
from lineage.graph import COMPARED, Artifact, Execution, Graph
from lineage.proof import Proof
from lineage.runs import Run

LOG_WIDTH = 120  # where the output is a file or a pipe
WHOLE_LINE = 10_000
BRANCHES = 25  # of one artifact that are shown
_STATES = {"complete": "green", "running": "yellow", "failed": "red", "canceled": "red"}
_MISSING = "[dim]-[/dim]"


def make_console() -> Console:
    """The console that people read."""
    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else LOG_WIDTH)


def show_runs(runs: list[Run], hidden: bool, console: Console) -> None:
    """Print runs as a table; `hidden` says that there may be more."""
    if not runs:
        console.print("no runs yet")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("run", "pipeline", "when", "state", "time", "from the cache", "Recall@10", "outcome"):
        table.add_column(title, justify="right" if title in ("run", "time", "Recall@10") else "left")
    for run in runs:
        color = _STATES[run.state]
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
    if hidden:
        console.print(f"[dim]the newest {len(runs)}; --limit N shows more, --limit 0 all[/dim]")


def show_found(found: Found, console: Console) -> None:
    """Print where something comes from, and what came of it."""
    graph = found.graph
    if found.execution:
        console.print(f"[bold]{_execution(found.execution)}[/bold]", soft_wrap=True)
    elif found.artifact:
        console.print(f"[bold]{_artifact(graph, found.artifact)}[/bold]", soft_wrap=True)
    if found.model is not None:
        pushed = found.artifact.id if found.artifact and found.artifact.type == facts.PUSHED_MODEL else None
        show_story(facts.story(graph, found.model, pushed), console)
    console.print("\n[bold]Made from[/bold]")
    tree = Tree("", hide_root=True)
    seen: set[int] = set()
    if found.execution:
        _backwards_from_execution(tree, graph, found.execution.id, seen)
    elif found.artifact:
        _backwards(tree, graph, found.artifact.id, seen)
    _print_tree(tree, "nothing: no step of the store made it", console)
    console.print("\n[bold]What came of it[/bold]")
    tree, seen = Tree("", hide_root=True), set()
    if found.execution:
        for link in graph.outputs(found.execution.id):
            branch = tree.add(_artifact(graph, graph.artifacts[link.artifact]))
            _forwards(branch, graph, link.artifact, seen)
    elif found.artifact:
        # Of a pushed file: what came of its model.
        _forwards(tree, graph, found.artifact.id if found.model is None else found.model, seen)
    _print_tree(tree, "nothing yet", console)


def show_story(story: Story, console: Console) -> None:
    """Print how a model came to be, in facts."""
    _line("Data", data_in_words(story.data), console)
    _line("Code", code_in_words(story), console)
    for evaluation in story.evaluations:
        _line("Quality", quality_in_words(evaluation), console)
    if story.refitted_id is not None:
        _line(
            "Refitted", f"the pushed model is artifact {story.refitted_id}, fitted anew after the evaluation", console
        )
    for push in story.pushes:
        _line("Pushed", push_in_words(push), console)
    _line("Settings", "", console)
    sections: dict[str, list[str]] = {}
    for key, value in story.settings.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, []).append(f"{name} {value_in_words(value)}")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for section, words in sections.items():
        table.add_row(f"  {escape(section)}", escape(", ".join(words)))
    console.print(table)
    if story.tuned:
        console.print(f"  what the Tuner found wins over these: {escape(story.tuned)}", soft_wrap=True)


def show_proof(proof: Proof, console: Console) -> None:
    """Print where a file comes from."""
    console.print(f"[green]✓[/green] {escape(str(proof.file))} was pushed by this pipeline", soft_wrap=True)
    _line("SHA-256", proof.push.sha256, console)
    _line("Model", f"artifact {proof.story.model_id}, {proof.story.model_uri}", console)
    _line("Run", "not recorded" if proof.run_id is None else f"{proof.run_id}, pipeline {proof.push.pipeline}", console)
    show_story(proof.story, console)
    if proof.others:
        others = ", ".join(map(str, proof.others))
        console.print(f"The same content was pushed before: artifact {others}.", soft_wrap=True)


def show_difference(difference: Difference, every: bool, console: Console) -> None:
    """Print two runs side by side."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for run in (difference.left, difference.right):
        table.add_column(f"run {run.id}", overflow="fold")
    rows = 0
    for section, lines in difference.sections.items():
        shown = [line for line in lines if every or line.differs]
        if shown:
            table.add_row(f"[bold]{section}[/bold]")
        for line in shown:
            color = "yellow" if line.differs and every else "default"
            left, right = (_MISSING if v is None else escape(value_in_words(v)) for v in (line.left, line.right))
            table.add_row(f"  {escape(line.name)}", f"[{color}]{left}[/{color}]", f"[{color}]{right}[/{color}]")
        rows += len(shown)
    if rows:
        console.print(table)
    else:
        console.print("The runs agree in data, code, settings and metrics.")


def moment(milliseconds: int) -> str:
    """A time of day, here."""
    return datetime.fromtimestamp(milliseconds / 1000).strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def value_in_words(value: Any) -> str:
    """A setting or a metric for a person."""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cached_in_words(run: Run) -> str:
    """Which steps of a run came from the cache."""
    cached = [step.name for step in run.steps if step.state == "CACHED"]
    others = [step.name for step in run.steps if step.state != "CACHED"]
    return f"all but {', '.join(others)}" if len(cached) > len(others) else ", ".join(cached)


def data_in_words(data: dict[str, Any]) -> str:
    """Facts about data, one line."""
    counts = [f"{data[key]:,} {word}" for key, word in facts.COUNTS.items() if key in data]
    parts = [str(data.get("name", "")), *counts]
    if data.get("fingerprint"):
        of_what = data.get("fingerprint_of", "content")
        parts.append(f"SHA-256 {data['fingerprint']}" + (f" of {of_what}" if of_what != "content" else ""))
    parts += [f"read from {data['path']}"] if data.get("path") else []
    return ", ".join(filter(None, parts)) or "not recorded"


def code_in_words(story: Story) -> str:
    """The commit that pushed a model, and the fingerprints of the steps' code."""
    commits = {f"commit {push.code_version}" for push in story.pushes if push.code_version}
    return "; ".join([*sorted(commits), ", ".join(f"{step} {code}" for step, code in story.code.items())])


def quality_in_words(evaluation: Evaluation) -> str:
    """What an evaluation says, one line."""
    found = evaluation.metrics
    names = [name for name in ("recall_at_10", "ndcg_at_10", "mrr", "coverage_at_10") if name in found]
    words = [f"{facts.METRICS[name]} {found[name]:.4f}" for name in names] or ["metrics not recorded in the store"]
    lists = {"popularity list": "popularity_recall_at_10", "Markov": "markov_recall_at_10"}
    if beside := [f"{title} {found[name]:.4f}" for title, name in lists.items() if name in found]:
        words[0] += f" ({', '.join(beside)})"
    verdict = "blessed" if evaluation.blessed else "not blessed"
    by = f"evaluation {evaluation.id}, blessing {evaluation.blessing_id or 'none'}"
    return f"{', '.join(words)}; {verdict} ({by})"


def push_in_words(push: Push) -> str:
    """A push, one line."""
    return f"version {push.version} of {push.pipeline}, {moment(push.when)}, {push.destination}"


def _line(title: str, words: str, console: Console) -> None:
    console.print(f"[bold]{title:<10}[/bold]{escape(words)}", soft_wrap=True)


def _print_tree(tree: Tree, otherwise: str, console: Console) -> None:
    # As wide as it is: an address that is cut off is worth nothing.
    wide = Console(file=console.file, highlight=False, width=WHOLE_LINE)
    wide.print(tree if tree.children else otherwise)


def _artifact(graph: Graph, artifact: Artifact, name: str = "") -> str:
    """An artifact, one line: its type, id and address, and what is worth knowing of it."""
    held = artifact.properties
    about = ""
    if artifact.type == facts.EVALUATION and facts.HEADLINE in held:
        about = f"Recall@10 {held[facts.HEADLINE]:.4f}"
    elif artifact.type == facts.BLESSING:
        about = "blessed" if held.get("blessed") == 1 else "not blessed"
    elif artifact.type == facts.PUSHED_MODEL:
        push = facts.push(graph, artifact)
        about = f"version {push.version}, {push.destination}" if push else "nothing was pushed"
    elif "data_fingerprint" in held:
        about = f"of data {held['data_fingerprint']}"
    called = f"{name}: " if name else ""
    return f"{called}[cyan]{escape(artifact.type)}[/cyan] {artifact.id}  {escape(about or artifact.uri)}"


def _execution(execution: Execution) -> str:
    """An execution, one line."""
    state = execution.state.lower()
    took = "" if state == "running" else f", {duration((execution.changed - execution.started) / 1000)}"
    color = {"failed": "red", "running": "yellow"}.get(state, "default")
    name, about = escape(facts.step_name(execution)), ""
    given = facts.parameters(execution)
    if given.get("data_fingerprint"):
        about = f"  {given.get('data', '')}, SHA-256 {given['data_fingerprint']}"
    when = moment(execution.started)
    return f"{name} (execution {execution.id}, [{color}]{state}[/{color}], {when}{took}){escape(about)}"


def _backwards(tree: Tree, graph: Graph, artifact: int, seen: set[int]) -> None:
    maker = graph.maker(artifact)
    if maker is None or maker not in graph.executions:
        return
    if maker in seen:
        tree.add(f"{escape(facts.step_name(graph.executions[maker]))} (execution {maker}), see above")
        return
    _backwards_from_execution(tree.add(_execution(graph.executions[maker])), graph, maker, seen)


def _backwards_from_execution(tree: Tree, graph: Graph, execution: int, seen: set[int]) -> None:
    seen.add(execution)
    for link in graph.inputs(execution):
        _backwards(tree.add(_artifact(graph, graph.artifacts[link.artifact], link.name)), graph, link.artifact, seen)


def _forwards(tree: Tree, graph: Graph, artifact: int, seen: set[int]) -> None:
    takers = dict.fromkeys(link.execution for link in graph.takers(artifact) if link.name not in COMPARED)
    for number, execution in enumerate(takers):
        if number == BRANCHES:
            tree.add(f"and {len(takers) - BRANCHES:,} more; --json has all")
            return
        if execution in seen or execution not in graph.executions:
            continue
        seen.add(execution)
        branch = tree.add(_execution(graph.executions[execution]))
        for link in graph.outputs(execution):
            made = branch.add(_artifact(graph, graph.artifacts[link.artifact]))
            _forwards(made, graph, link.artifact, seen)
