"""Chooses the baseline, the best of the last blessed models, so that slightly worse models do not lower the bar.

Each blessed model stores its Recall@10 minus the baseline's, on the same targets. Recall@10 itself is not comparable
between runs, because each run has its own test split. The sum of the differences from model to model shows which model
is the best, without evaluating any of them again.

    A, no baseline            0.000
    B, 0.004 below A          -0.004
    C, 0.003 below A          -0.003
    D, 0.002 above C          -0.001   so A stays the baseline until it is no longer among the last few models
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from tfx.dsl.io import fileio
from tfx.utils import path_utils

from components.errors import StepError

progress = logging.getLogger("recommender.progress")


@dataclass(frozen=True)
class Blessed:
    """A model that passed the gate.

    Attributes:
        model: name of the model: an id or a URI.
        baseline: name of its baseline; empty if it had none.
        change: its Recall@10 minus the baseline's, on the same targets; 0 without a baseline.
    """

    model: str
    baseline: str = ""
    change: float = 0.0


def best_first(blessed: Iterable[Blessed], runs: int, excluded: Collection[str] = ()) -> list[str]:
    """Returns the last blessed models, best first; of equally good models the latest first.

    Args:
        blessed: blessed models in the order of their blessings. A model may occur more than once.
        runs: the number of models to consider, counted from the latest.
        excluded: names of models to leave out.

    Returns:
        At most `runs` names. Models are left out if a later model has no baseline, or a baseline that is not listed,
        because they cannot be compared with it.
    """
    levels: dict[str, float] = {}
    for entry in blessed:
        if entry.baseline in levels:
            level = levels[entry.baseline] + entry.change
            levels.pop(entry.model, None)  # So that the model moves to the end.
            levels[entry.model] = level
        else:
            levels = {entry.model: 0.0}
    latest_first = [name for name in reversed(levels) if name not in excluded][:runs]
    return sorted(latest_first, key=lambda name: -levels[name])  # A stable sort.


def first_undamaged(names: Sequence[str], damage: Callable[[str], str], on_damage: str) -> str:
    """Returns the first model whose files are as they were written; empty if there is none.

    Args:
        names: names of models, the preferred baseline first.
        damage: returns the damage to a model's files, in one line; empty if there is none.
        on_damage: `stop` or `skip`, see `GateSettings.damaged_baseline`.

    Raises:
        StepError: a model is damaged and `on_damage` is `stop`.
    """
    for name in names:
        problem = damage(name)
        if not problem:
            return name
        if on_damage == "stop":
            raise StepError(
                f"{problem}: the baseline model is damaged; restore it, or set gate.damaged_baseline=skip to compare "
                "with the next best"
            )
        progress.info("%s: the baseline model is damaged and skipped", problem)
    return ""


def holds_model(uri: str) -> bool:
    """Returns whether the folder of a Model artifact has a SavedModel, on any file system that TFX supports."""
    return bool(fileio.exists(os.path.join(path_utils.serving_model_dir(uri), "saved_model.pb")))
