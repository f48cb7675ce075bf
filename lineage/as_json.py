"""Converts answers to JSON values, for `--json` and for the pages."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from lineage import facts
from lineage.find import Match
from lineage.graph import NO_GRAPH, Artifact, Execution, Graph
from lineage.proof import Proof
from lineage.runs import Run


def run(run: Run) -> dict[str, Any]:
    """Converts a run without its graph; times are in milliseconds since the epoch."""
    values = asdict(replace(run, graph=NO_GRAPH))
    del values["graph"]
    return {**values, "recall_at_10": run.recall, "cached": run.cached}


def match(match: Match) -> dict[str, Any]:
    """Converts an artifact or an execution with its graph; a model also has its story."""
    return {
        "artifact": match.node.id if isinstance(match.node, Artifact) else None,
        "execution": match.node.id if isinstance(match.node, Execution) else None,
        "story": asdict(match.story) if match.story else None,
        "graph": graph(match.graph),
    }


def graph(graph: Graph) -> dict[str, Any]:
    """Converts artifacts, executions and their links."""
    return {
        "artifacts": [asdict(artifact) for _, artifact in sorted(graph.artifacts.items())],
        "executions": [
            {**asdict(execution), "step": facts.step_name(execution), "properties": facts.parameters(execution)}
            for _, execution in sorted(graph.executions.items())
        ],
        "links": [asdict(link) for link in sorted(graph.links)],
    }


def proof(proof: Proof) -> dict[str, Any]:
    """Converts the proof of a file."""
    return {
        "file": str(proof.file),
        "known": True,
        "push": asdict(proof.push),
        "run": proof.run_id,
        "story": asdict(proof.story),
        "earlier_pushes": proof.others,
    }
