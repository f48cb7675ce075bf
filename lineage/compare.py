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
        """Returns whether the runs differ in this fact."""
        return bool(self.left != self.right)


@dataclass(frozen=True)
class Difference:
    """Two runs, and the facts of both by section: data, code, settings, metrics and push."""

    left: Run
    right: Run
    sections: dict[str, list[Line]]


def compare(left: Run, right: Run) -> Difference:
    """Compares two runs fact by fact."""
    left_sections, right_sections = _sections(left), _sections(right)
    sections = {}
    for section, left_facts in left_sections.items():
        right_facts = right_sections[section]
        names = dict.fromkeys([*left_facts, *right_facts])
        sections[section] = [Line(name, left_facts.get(name), right_facts.get(name)) for name in names]
    return Difference(left, right, sections)


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
