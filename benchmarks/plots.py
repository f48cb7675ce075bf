"""Draws Recall@10 by history length, and over time with and without retraining."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
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
RECALLS = {"retrained": COLOURS[1], "first": COLOURS[0]}
LABELS = {"retrained": "trained anew each period", "first": "the first model, never retrained"}


def plot_lengths(lines: dict[str, dict[int, Estimate]], references: dict[str, float], path: Path) -> None:
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
        _start_at_zero(axes)
        _label(axes, ends)
        _save(figure, path)


def plot_periods(rows: list[dict[str, Any]], path: Path) -> None:
    """Writes the plot over time as SVG, and below it the share of targets unknown to each model.

    Each point is in the middle of its period; bars show one standard error.

    Args:
        rows: for each period its `start` and `stop` in seconds since 1970, and the result of `replayed.compare`.
        path: of the file.
    """
    middles = [datetime.fromtimestamp((row["start"] + row["stop"]) / 2, timezone.utc) for row in rows]
    with plt.rc_context(STYLE):
        figure, (above, below) = plt.subplots(
            2, 1, figsize=(8, 6), sharex=True, gridspec_kw={"height_ratios": [3, 2], "hspace": 0.12}
        )
        for name, colour in RECALLS.items():
            recalls = [row[name]["recall_at_10"] for row in rows]
            means, errors = [recall.mean for recall in recalls], [recall.standard_error for recall in recalls]
            above.errorbar(middles, means, errors, color=colour, marker="o", linewidth=2, capsize=2, label=LABELS[name])
            unknown = [row[name]["unknown"] for row in rows]
            below.plot(middles, unknown, color=colour, marker="o", linewidth=2, label=LABELS[name])
        above.set_ylabel("Recall@10, next period")
        below.set_ylabel("share of unknown items")
        below.xaxis.set_major_locator(locator := AutoDateLocator())
        below.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        for axes in (above, below):
            _start_at_zero(axes)
        above.legend(frameon=False, fontsize=9, loc="lower left")
        _save(figure, path)


def _start_at_zero(axes: plt.Axes) -> None:
    """Draws an axis of values from 0, with a grid and without a frame."""
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=GREY, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: plt.Figure, path: Path) -> None:
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
