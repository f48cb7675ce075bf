"""Draws Recall@10 by history length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from benchmarks.ranking import Estimate

# Readable on white and on black: colours of Okabe and Ito, which all readers can distinguish, in middle tones.
COLOURS = ("#d55e00", "#009e73", "#4a90d9", "#cc79a7", "#b8860b")
GREY = "#808080"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # keeps text as text
    "svg.hashsalt": "recall",  # makes the file reproducible
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}
MIN_GAP = 0.045  # between two labels, as a share of the height


def plot(lines: dict[str, dict[int, Estimate]], references: dict[str, float], path: Path) -> None:
    """Writes the plot as SVG. Bars show one standard error.

    Args:
        lines: Recall@10 by encoder and history length.
        references: Recall@10 of the baselines, which do not depend on the history length, by name: dashed lines.
        path: of the file.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4.5))
        lengths = sorted({length for line in lines.values() for length in line})
        ends: dict[str, tuple[float, str]] = {}
        for (name, line), colour in zip(lines.items(), COLOURS, strict=False):
            points = sorted(line)
            means, errors = [line[n].mean for n in points], [line[n].standard_error for n in points]
            axes.errorbar(points, means, errors, color=colour, marker="o", markersize=5, linewidth=2, capsize=2)
            ends[name] = (means[-1], colour)
        for name, value in references.items():
            axes.axhline(value, color=GREY, linewidth=1, linestyle="--")
            ends[name] = (value, GREY)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(lengths))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("items of the history that the device sends")
        axes.set_ylabel("Recall@10, test split")
        start_at_zero(axes)
        _label(axes, ends)
        save(figure, path)


def start_at_zero(axes: plt.Axes) -> None:
    """Draws an axis of values from 0, with a grid and without a frame."""
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=GREY, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: plt.Figure, path: Path) -> None:
    """Writes a figure as SVG, and closes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def _label(axes: plt.Axes, ends: dict[str, tuple[float, str]]) -> None:
    """Writes each name to the right of the end of its line, higher if it would overlap another name."""
    top = axes.get_ylim()[1]
    below = -1.0
    for name, (value, colour) in sorted(ends.items(), key=lambda end: end[1][0]):
        place = max(value / top, below + MIN_GAP)
        axes.text(1.02, place, name, color=colour, transform=axes.transAxes, va="center")
        below = place
