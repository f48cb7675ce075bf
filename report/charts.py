"""Drawings in SVG: how a value went with the epochs, and a metric by slices with its error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from report.html import Content, Html, tag

WIDTH = 340  # of a drawing, in its own units; pages scale it a little


@dataclass(frozen=True)
class Point:
    """A value after an epoch, and the seconds since fitting began."""

    epoch: int
    seconds: float
    value: float


@dataclass(frozen=True)
class Share:
    """A metric between 0 and 1, and its standard error where it has one."""

    value: float
    error: float | None = None

    def __str__(self) -> str:
        return f"{self.value:.4f}" + ("" if self.error is None else f" ± {self.error:.4f}")

    @property
    def reach(self) -> tuple[float, float]:
        """One standard error below the value, and one above it."""
        return self.value - (self.error or 0.0), self.value + (self.error or 0.0)


@dataclass(frozen=True)
class Bar:
    """A metric of a slice.

    Attributes:
        label: of the slice.
        count: of its examples.
        value: of the model.
        other: of what it is compared with.
    """

    label: str
    count: int
    value: Share
    other: Share


def curve(title: str, points: Sequence[Point], best: int) -> Html:
    """A value by epoch; `best` is the epoch whose weights were kept. Values that are not finite are left out."""
    shown = [point for point in points if math.isfinite(point.value)]
    if not shown:
        return tag("p", f"{title}: no finite value", class_="note")
    height, left, right, top, bottom = 200, 46, 14, 12, 42
    low, high = min(point.value for point in shown), max(point.value for point in shown)
    marks = ticks(low, high)
    low, high = min(low, marks[0]), max(high, marks[-1])
    first, last = shown[0].epoch, shown[-1].epoch

    def x(epoch: float) -> float:
        return left + (WIDTH - left - right) * ((epoch - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (high - value) / (high - low)

    digits = decimals(marks)
    grid = [
        (
            tag("line", x1=left, x2=WIDTH - right, y1=y(mark), y2=y(mark), class_="grid"),
            tag("text", f"{mark:.{digits}f}", x=left - 7, y=y(mark) + 4, text_anchor="end"),
        )
        for mark in marks
    ]
    labels = []
    for point in _some(shown, 4):
        anchor = "end" if point.epoch == last > first else "middle"
        at = x(point.epoch) + (6 if anchor == "end" else 0)
        labels.append(tag("text", str(point.epoch), x=at, y=height - 22, text_anchor=anchor))
        labels.append(tag("text", _seconds(point.seconds), x=at, y=height - 7, text_anchor=anchor, class_="second"))
    labels.append(tag("text", "epoch", x=0, y=height - 22))
    path = "".join(f"{'L' if at else 'M'}{x(p.epoch):.1f} {y(p.value):.1f}" for at, p in enumerate(shown))
    dots = [
        tag(
            "circle",
            tag("title", f"epoch {p.epoch}, {_seconds(p.seconds)}: {p.value:.4f}{', kept' if p.epoch == best else ''}"),
            cx=x(p.epoch),
            cy=y(p.value),
            r=5 if p.epoch == best else 2.5,
            class_="best" if p.epoch == best else None,
        )
        for p in shown
    ]
    words = f"{title} by epoch: {shown[0].value:.4f} after epoch {first}, {shown[-1].value:.4f} after epoch {last}"
    return _drawing(words, height, "curve", [*grid, *labels, tag("path", d=path), *dots])


def slices(title: str, bars: Sequence[Bar]) -> Html:
    """A metric by slices, the model's beside another, with one standard error to each side."""
    row, left, right, bottom = 40, 78, 54, 22
    height = row * len(bars) + bottom
    reach = max((share.reach[1] for bar in bars for share in (bar.value, bar.other)), default=0)
    marks = ticks(0.0, min(max(reach, 1e-3), 1.0))
    high = max(reach, marks[-1])

    def x(share: float) -> float:
        return left + (WIDTH - left - right) * min(max(share, 0.0), high) / high

    drawn: list[Html] = []
    digits = decimals(marks)
    for mark in marks:
        drawn.append(tag("line", x1=x(mark), x2=x(mark), y1=0, y2=row * len(bars), class_="grid"))
        drawn.append(tag("text", f"{mark:.{digits}f}", x=x(mark), y=height - 6, text_anchor="middle"))
    for at, bar in enumerate(bars):
        middle = row * at + row / 2
        drawn.append(tag("text", bar.label, x=0, y=middle - 3, class_="label"))
        drawn.append(tag("text", f"{bar.count:,}", x=0, y=middle + 11))
        for share, offset, kind in ((bar.other, 8, "other"), (bar.value, -6, "model")):
            level = middle + offset
            told = f"{bar.label}: {share}, {'the popularity list' if kind == 'other' else 'the model'}"
            start, end_of_line = share.reach
            drawn.append(
                tag(
                    "g",
                    tag("title", told),
                    tag("line", x1=x(start), x2=x(end_of_line), y1=level, y2=level),
                    [tag("line", x1=x(end), x2=x(end), y1=level - 4, y2=level + 4) for end in share.reach],
                    tag("circle", cx=x(share.value), cy=level, r=4.5 if kind == "model" else 3.5),
                    tag("text", f"{share.value:.3f}", x=WIDTH, y=level + 4, text_anchor="end"),
                    class_=kind,
                )
            )
    words = f"{title}: " + "; ".join(
        f"{bar.label} {bar.value.value:.3f}, popularity {bar.other.value:.3f}" for bar in bars
    )
    return _drawing(words, height, "slices", drawn)


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers around low to high, two at least."""
    span = high - low or abs(high) or 1.0
    raw = span / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * number for number in range(first, max(last, first + 1) + 1)]


def decimals(marks: Sequence[float]) -> int:
    """How many decimals tell the marks apart."""
    return next((n for n in range(7) if all(abs(round(mark, n) - mark) < 1e-9 for mark in marks)), 6)


def _some(points: Sequence[Point], most: int) -> list[Point]:
    """The first, the last, and some between."""
    chosen = {round(at * (len(points) - 1) / (most - 1)) for at in range(most)}
    return [points[at] for at in sorted(chosen)]


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _drawing(words: str, height: float, kind: str, content: Content) -> Html:
    # The name of a place, not an address; within HTML it is not needed.
    return tag("svg", content, viewBox=f"0 0 {WIDTH} {height:g}", role="img", aria_label=words, class_=f"chart {kind}")
