"""The answers for machines: what `--json` prints, and what a page draws."""

from __future__ import annotations

import dataclasses
from typing import Any

from lineage import facts
from lineage.compare import Difference
from lineage.find import Found
from lineage.graph import Graph
from lineage.proof import Proof
from lineage.runs import Run


def runs(listed: list[Run]) -> list[dict[str, Any]]:
    """The runs, newest first; times in milliseconds since the epoch."""
    return [run(one) for one in listed]


def run(one: Run) -> dict[str, Any]:
    """A run, without its graph."""
    return {
        "id": one.id,
        "name": one.name,
        "pipeline": one.pipeline,
        "started": one.started,
        "seconds": one.seconds,
        "state": one.state,
        "outcome": one.outcome,
        "recall_at_10": one.recall,
        "cached": [step.name for step in one.steps if step.state == "CACHED"],
        "steps": [dataclasses.asdict(step) for step in one.steps],
        "data": one.data,
        "code_version": one.code_version,
        "code": one.code,
        "settings": one.settings,
        "evaluation": dataclasses.asdict(one.evaluation) if one.evaluation else None,
        "push": dataclasses.asdict(one.push) if one.push else None,
    }


def found(one: Found) -> dict[str, Any]:
    """What was found, its story where it is of a model, and the graph."""
    pushed = one.artifact.id if one.artifact and one.artifact.type == facts.PUSHED_MODEL else None
    return {
        "artifact": one.artifact.id if one.artifact else None,
        "execution": one.execution.id if one.execution else None,
        "story": None if one.model is None else dataclasses.asdict(facts.story(one.graph, one.model, pushed)),
        "graph": graph(one.graph),
    }


def graph(one: Graph) -> dict[str, Any]:
    """Artifacts, executions, and the links between them."""
    return {
        "artifacts": [dataclasses.asdict(a) for a in sorted(one.artifacts.values(), key=lambda a: a.id)],
        "executions": [
            {**dataclasses.asdict(e), "step": facts.step_name(e), "properties": facts.parameters(e)}
            for e in sorted(one.executions.values(), key=lambda e: e.id)
        ],
        "links": [dataclasses.asdict(link) for link in sorted(one.links)],
    }


def difference(one: Difference, every: bool) -> dict[str, Any]:
    """Two runs side by side: by section and name, the values of both."""
    return {
        "runs": [one.left.id, one.right.id],
        **{
            section.lower(): {line.name: [line.left, line.right] for line in lines if every or line.differs}
            for section, lines in one.sections.items()
        },
    }


def proof(one: Proof) -> dict[str, Any]:
    """Where a file comes from."""
    return {
        "file": str(one.file),
        "known": True,
        "push": dataclasses.asdict(one.push),
        "run": one.run_id,
        "story": dataclasses.asdict(one.story),
        "earlier_pushes": one.others,
    }
