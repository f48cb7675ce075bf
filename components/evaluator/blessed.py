"""Which of the last blessed models a new one is compared with: the best, so that the bar does not sink run by run.

Every blessed model leaves by how much its Recall@10 was above its baseline's, on the same targets. Recall@10 itself
does not compare, because runs have test splits of their own. The differences do: added up from model to model, they say
which of several models was the best, without evaluating any of them again.

    A, compared with none      0.000
    B, 0.004 below A          -0.004
    C, 0.003 below A          -0.003
    D, 0.002 above C          -0.001   so A stays the one to compare with, until it is not among the last few
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
    """A model that the gate let pass.

    Attributes:
        model: its name, an id or a URI.
        baseline: name of the model that it was compared with; empty where there was none.
        change: its Recall@10 less the baseline's, on the same targets; 0 where there was none.
    """

    model: str
    baseline: str = ""
    change: float = 0.0


def best_first(blessed: Iterable[Blessed], runs: int, without: Collection[str] = ()) -> list[str]:
    """The last blessed models, best first; of equally good ones the latest first.

    Args:
        blessed: in the order in which they were blessed. A model may stand there more than once.
        runs: how many of the last models count.
        without: names of models that do not count.

    Returns:
        At most `runs` names. Models from before the last one that was compared with none, or with a model that is not
        among them, cannot be told from it, and are left out.
    """
    levels: dict[str, float] = {}
    for one in blessed:
        known = one.baseline in levels
        level = levels[one.baseline] + one.change if known else 0.0
        levels = {**{name: held for name, held in levels.items() if known and name != one.model}, one.model: level}
    latest_first = [name for name in reversed(levels) if name not in without][:runs]
    return sorted(latest_first, key=lambda name: -levels[name])  # A stable sort.


def first_whole(names: Sequence[str], damage: Callable[[str], str], on_damage: str, key: str) -> str:
    """The first model whose files are as they were written; empty where there is none.

    Args:
        names: of models, the one to compare with first.
        damage: what is wrong with a model, one line; empty where nothing is.
        on_damage: `stop` or `skip`, as in `GateSettings`.
        key: what the user sets to `skip`.

    Raises:
        StepError: a model is damaged and `on_damage` is `stop`.
    """
    for name in names:
        wrong = damage(name)
        if not wrong:
            return name
        if on_damage == "stop":
            raise StepError(
                f"{wrong}: the model to compare with is damaged; bring it back, or set {key}=skip to compare with the "
                "next best"
            )
        progress.info("%s: the model to compare with is damaged, and passed over", wrong)
    return ""


def holds_model(uri: str) -> bool:
    """Whether there is a SavedModel in the folder of a Model artifact, on any file system that TFX knows."""
    return bool(fileio.exists(os.path.join(path_utils.serving_model_dir(uri), "saved_model.pb")))
