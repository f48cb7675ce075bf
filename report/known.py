"""What is known of a run: its summary, its lineage, and what the pushed file answers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.pusher.rollback import open_store as open_versions
from lineage import facts, statistics
from lineage.errors import LineageError
from lineage.proof import Proof, prove
from lineage.runs import Run, list_runs
from lineage.store import open_store
from on_device.errors import ArtifactError
from on_device.recommender import Recommender
from report.examples import Example, read_users, recommend_for


@dataclass(frozen=True)
class Known:
    """The facts that a page shows.

    Attributes:
        summary: of the run, as `pipeline.summary.summarise` gives it.
        config: the configuration.
        run: from ML Metadata; None where it cannot be read.
        proof: that the pushed file is the one that the store knows; None where nothing was pushed.
        statistics: of the splits, as `lineage.statistics.summarise` gives them.
        examples: of what the pushed file recommends.
        missing: what could not be found out, and why; a line each.
    """

    summary: dict[str, Any]
    config: dict[str, Any]
    run: Run | None = None
    proof: Proof | None = None
    statistics: dict[str, Any] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def find_out(summary: dict[str, Any], config: dict[str, Any], metadata: Path) -> Known:
    """Collect the facts of the newest run of a store."""
    run, proof, told = None, None, {}
    missing: list[str] = []
    pushed = summary.get("artifact")
    try:
        store = open_store(str(metadata))
        run = next(iter(list_runs(store, limit=1)), None)
        proof = prove(store, pushed["path"]) if pushed else None
    except LineageError as error:
        missing.append(str(error))
    of_type = run.graph.of_type if run else lambda *types: []
    for artifact in of_type(facts.STATISTICS)[-1:]:
        told = statistics.summarise(artifact.uri)
    data = next((artifact.uri for artifact in of_type(facts.EXAMPLES) if "data_fingerprint" in artifact.properties), "")
    examples, unknown = recommendations(summary, data)
    return Known(summary, config, run, proof, told, examples, missing + unknown)


def recommendations(summary: dict[str, Any], examples: str) -> tuple[list[Example], list[str]]:
    """Returns what the pushed file recommends to some users, and why that is not known, a line each.

    Args:
        summary: of the run.
        examples: folder of ExampleGen's Examples artifact; empty where it is not known.
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
