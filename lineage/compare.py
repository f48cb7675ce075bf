"""Compares two runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lineage import facts
from lineage.runs import Run


@dataclass(frozen=True)
class Line:
    """One fact of two runs; None if a run does not have it."""

    name: str
    left: Any
    right: Any

    @property
    def differs(self) -> bool:
        """Whether the runs differ in this fact."""
        return bool(self.left != self.right)


@dataclass(frozen=True)
class Difference:
    """Two runs, and the facts of both by section: data, code, settings, metrics and push."""

    left: Run
    right: Run
    sections: dict[str, list[Line]]


def compare(left: Run, right: Run) -> Difference:
    """Compares two runs fact by fact."""
    of_left, of_right = _sections(left), _sections(right)
    sections = {}
    for section, facts_of_left in of_left.items():
        facts_of_right = of_right[section]
        names = dict.fromkeys([*facts_of_left, *facts_of_right])
        sections[section] = [Line(name, facts_of_left.get(name), facts_of_right.get(name)) for name in names]
    return Difference(left, right, sections)


def _sections(run: Run) -> dict[str, dict[str, Any]]:
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
