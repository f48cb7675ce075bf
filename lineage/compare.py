"""Two runs side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lineage import facts
from lineage.runs import Run


@dataclass(frozen=True)
class Line:
    """One fact of both runs; None where a run does not have it."""

    name: str
    left: Any
    right: Any

    @property
    def differs(self) -> bool:
        """Whether the runs disagree."""
        return bool(self.left != self.right)


@dataclass(frozen=True)
class Difference:
    """Two runs, and what they say of data, code, settings and metrics, by section."""

    left: Run
    right: Run
    sections: dict[str, list[Line]]


def compare(left: Run, right: Run) -> Difference:
    """Everything that two runs say, line by line."""
    told = [_tell(run) for run in (left, right)]
    sections = {}
    for section in told[0]:
        names = dict.fromkeys([*told[0][section], *told[1][section]])
        sections[section] = [Line(name, told[0][section].get(name), told[1][section].get(name)) for name in names]
    return Difference(left, right, sections)


def _tell(run: Run) -> dict[str, dict[str, Any]]:
    found = run.evaluation
    metrics = {facts.METRICS.get(name, name): value for name, value in sorted(found.metrics.items())} if found else {}
    verdict = {"blessed": found.blessed, "compared with model": found.baseline_id} if found else {}
    pushed = {"version": run.push.version, "sha256": run.push.sha256} if run.push else {}
    commit = {"commit": run.code_version} if run.code_version else {}
    return {
        "Run": {"pipeline": run.pipeline, "state": run.state, "outcome": run.outcome},
        "Data": run.data,
        "Code": {**commit, **run.code},
        "Settings": run.settings,
        "Metrics": {**metrics, **verdict},
        "Push": pushed,
    }
