"""Collects the facts about a run: its summary, its lineage, and recommendations of the pushed file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.pusher.rollback import open_store as open_versions
from lineage import facts, statistics
from lineage.errors import LineageError
from lineage.graph import NO_GRAPH
from lineage.proof import Proof, prove
from lineage.runs import Run, list_runs
from lineage.store import open_store
from on_device.errors import ArtifactError
from on_device.recommender import Recommender
from report.examples import Example, read_users, recommend_for


@dataclass(frozen=True)
class RunFacts:
    """The facts about a run that its page shows.

    Attributes:
        summary: of the run, as `pipeline.summary.summarise` returns it.
        config: the configuration.
        run: from ML Metadata; None if it cannot be read.
        proof: that the store has the pushed file; None if nothing was pushed.
        statistics: of the splits, as `lineage.statistics.summarise` returns them.
        examples: recommendations of the pushed file.
        errors: reasons for missing facts, a line each.
    """

    summary: dict[str, Any]
    config: dict[str, Any]
    run: Run | None = None
    proof: Proof | None = None
    statistics: dict[str, Any] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def collect(summary: dict[str, Any], config: dict[str, Any], metadata: Path) -> RunFacts:
    """Returns the facts about the newest run of a store."""
    run, proof, summaries = None, None, {}
    errors: list[str] = []
    pushed = summary.get("artifact")
    try:
        store = open_store(str(metadata))
        run = next(iter(list_runs(store, limit=1)), None)
        proof = prove(store, pushed["path"]) if pushed else None
    except LineageError as error:
        errors.append(str(error))
    graph = run.graph if run else NO_GRAPH
    for artifact in graph.of_type(facts.STATISTICS)[-1:]:
        summaries = statistics.summarise(artifact.uri)
    raw_examples = [a.uri for a in graph.of_type(facts.EXAMPLES) if "data_fingerprint" in a.properties]
    examples, recommendation_errors = recommendations(summary, next(iter(raw_examples), ""))
    return RunFacts(summary, config, run, proof, summaries, examples, errors + recommendation_errors)


def recommendations(summary: dict[str, Any], examples: str) -> tuple[list[Example], list[str]]:
    """Returns recommendations of the pushed file to some users, and the errors that prevented them, a line each.

    Args:
        summary: of the run.
        examples: folder of ExampleGen's Examples artifact; empty if it is unknown.
    """
    if not summary.get("artifact"):
        return [], []
    folder, version = os.path.split(summary["artifact"]["path"])
    root, pipeline = os.path.split(folder)
    try:
        with open_versions(root, pipeline, create=False).here(version) as copy:
            return recommend_for(Recommender.load(copy), read_users(Path(examples)) if examples else []), []
    except ArtifactError as error:
        return [], [str(error)]
