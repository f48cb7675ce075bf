"""Draws Recall@10 over time with and without retraining, and below it the share of targets unknown to each model."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from benchmarks.recall_plot import COLOURS, STYLE, save, start_at_zero

RECALLS = {"retrained": COLOURS[1], "first": COLOURS[0]}
LABELS = {"retrained": "trained anew each period", "first": "the first model, never retrained"}


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Writes the plot as SVG. Each point is in the middle of its period; bars show one standard error.

    Args:
        rows: result of `replayed.report`, one row for each period.
        path: of the file.
    """
    middles = [datetime.fromtimestamp((row["start"] + row["stop"]) / 2, timezone.utc) for row in rows]
    with plt.rc_context(STYLE):
        figure, (above, below) = plt.subplots(
            2, 1, figsize=(8, 6), sharex=True, gridspec_kw={"height_ratios": [3, 2], "hspace": 0.12}
        )
        for name, colour in RECALLS.items():
            recalls = [row[name]["recall_at_10"] for row in rows]
            means, errors = ([recall[part] for recall in recalls] for part in ("mean", "standard_error"))
            above.errorbar(middles, means, errors, color=colour, marker="o", linewidth=2, capsize=2, label=LABELS[name])
            unknown = [row[name]["unknown"] for row in rows]
            below.plot(middles, unknown, color=colour, marker="o", linewidth=2, label=LABELS[name])
        above.set_ylabel("Recall@10, next period")
        below.set_ylabel("share of unknown items")
        below.xaxis.set_major_locator(locator := AutoDateLocator())
        below.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        for axes in (above, below):
            start_at_zero(axes)
        above.legend(frameon=False, fontsize=9, loc="lower left")
        save(figure, path)
