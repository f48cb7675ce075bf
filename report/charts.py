"""Charts in SVG: a value by epoch, and a metric by slice with its standard error."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lineage.page.axis import decimals, ticks
from pipeline.console import duration

WIDTH = 340  # of a chart, in its own units; pages scale it a little
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, undefined=StrictUndefined
)


@dataclass(frozen=True)
class Share:
    """A metric between 0 and 1, and its standard error if it has one."""

    value: float
    error: float | None = None

    def __str__(self) -> str:
        return f"{self.value:.4f}" + ("" if self.error is None else f" ± {self.error:.4f}")

    @property
    def interval(self) -> tuple[float, float]:
        """Returns the value minus and plus one standard error."""
        return self.value - (self.error or 0.0), self.value + (self.error or 0.0)


def share(metrics: dict[str, float], name: str) -> Share:
    """Returns a metric with its standard error."""
    return Share(metrics[name], metrics.get(f"{name}_standard_error"))


def curve(title: str, history: Sequence[dict[str, Any]], name: str, best: int) -> Markup:
    """Draws a value by epoch, without values that are not finite.

    Args:
        title: title of the chart.
        history: `epoch`, `seconds` since training began, and values, of each epoch.
        name: key of the value.
        best: the epoch whose weights were kept.
    """
    shown = [epoch for epoch in history if math.isfinite(epoch[name])]
    if not shown:
        return Markup('<p class="note">{}: no finite value</p>').format(title)
    values = [epoch[name] for epoch in shown]
    marks = ticks(min(values), max(values))
    x = _scale(shown[0]["epoch"], shown[-1]["epoch"], 46, WIDTH - 14)
    y = _scale(marks[0], marks[-1], 158, 12)
    last = len(shown) - 1
    labelled = [shown[place] for place in sorted({0, last // 2, last})]
    return _draw(
        "curve.html", title=title, name=name, points=shown, labelled=labelled, best=best, marks=marks, x=x, y=y
    )


def slices(title: str, metrics: dict[str, dict[str, Any]]) -> Markup:
    """Draws Recall@10 by slice: the model's and the popularity list's, with one standard error to each side.

    Args:
        title: title of the chart.
        metrics: metrics of each slice, by its label.
    """
    names = ("recall_at_10", "popularity_recall_at_10")
    reach = max((share(values, name).interval[1] for values in metrics.values() for name in names), default=0)
    marks = ticks(0.0, min(max(reach, 1e-3), 1.0))
    x = _scale(0.0, max(reach, marks[-1]), 78, WIDTH - 54)
    return _draw("slices.html", title=title, metrics=metrics, share=share, marks=marks, x=x)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Returns a linear map from values to positions; values outside are moved to the edge."""

    def position(value: float) -> float:
        share = min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5
        return round(start + (end - start) * share, 1)

    return position


def _draw(template: str, *, marks: list[float], **values: Any) -> Markup:
    """Returns a template's SVG, with a label for each mark."""
    labels = [(mark, f"{mark:.{decimals(marks)}f}") for mark in marks]
    return Markup(_TEMPLATES.get_template(template).render(width=WIDTH, marks=labels, duration=duration, **values))
