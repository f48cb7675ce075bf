"""Compares two runs."""

from __future__ import annotations

from typing import Any

from lineage import facts
from lineage.runs import Run


def compare(left: Run, right: Run, *, with_equal: bool = False) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Returns the facts in which two runs differ.

    Args:
        left: a run.
        right: the run to compare with it.
        with_equal: whether to include the facts that are equal.

    Returns:
        Both values of each fact, by section (run, data, code, settings, metrics, push) and name. The value is None if
        a run does not have the fact.
    """
    sections = {}
    for (section, left_facts), right_facts in zip(_sections(left).items(), _sections(right).values(), strict=True):
        pairs = {name: (left_facts.get(name), right_facts.get(name)) for name in left_facts | right_facts}
        sections[section] = {name: pair for name, pair in pairs.items() if with_equal or pair[0] != pair[1]}
    return sections


def _sections(run: Run) -> dict[str, dict[str, Any]]:
    """Returns the facts of a run by section and name."""
    metrics: dict[str, Any] = {}
    if run.evaluation:
        metrics = {facts.METRICS.get(name, name): value for name, value in sorted(run.evaluation.metrics.items())}
        metrics |= {"blessed": run.evaluation.blessed, "compared with model": run.evaluation.baseline_id}
    commit = {"commit": run.code_version} if run.code_version else {}
    return {
        "Run": {"pipeline": run.pipeline, "state": run.state, "outcome": run.outcome},
        "Data": run.data,
        "Code": {**commit, **run.code},
        "Settings": run.settings,
        "Metrics": metrics,
        "Push": {"version": run.push.version, "sha256": run.push.sha256} if run.push else {},
    }
