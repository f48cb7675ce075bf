"""Chooses each baseline's hyperparameters on the eval split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import product, starmap
from typing import Any

from benchmarks.baselines import Baseline, Ease, ItemKNN, Markov, Popularity, RecentPopularity, SessionKNN
from benchmarks.ranking import rank_targets, recall
from components.trainer.input_pipeline import Timelines

# Candidates by name in the tables. `study_runs` finds finished rows by the text of these: renaming a field or class
# discards the rows.
GRIDS: dict[str, tuple[Baseline, ...]] = {
    "popularity": (Popularity(),),
    "recent popularity": tuple(map(RecentPopularity, (0.01, 0.03, 0.1, 0.3))),
    "item-kNN": tuple(starmap(ItemKNN, product(("cosine", "tfidf"), (3, 5, 10, 20, 50, 100, 200)))),
    "EASE": tuple(map(Ease, (3.0, 10.0, 30.0, 100.0, 200.0, 500.0, 1000.0))),
    "Markov": tuple(map(Markov, (1.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0))),
    "V-SkNN": tuple(starmap(SessionKNN, product((50, 100, 300), ("div", "linear"), (False, True)))),
}


def choose(
    name: str, candidates: Sequence[Baseline], train: Timelines, holdout: Timelines, size: int, repeats: bool = False
) -> tuple[Baseline, float]:
    """Fits all candidates on the train split, and chooses the one with the best Recall@10 on the eval split.

    Args:
        name: in the tables.
        candidates: not fitted yet; the first of equals wins.
        train: timelines of the train split.
        holdout: timelines and targets of the eval split.
        size: number of item indices V.
        repeats: whether items of the timeline are recommended.

    Returns:
        The fitted baseline, and its Recall@10 on the eval split.

    Raises:
        TooLarge: the baseline cannot be fitted to so many items.
        ValueError: there are no candidates.
    """
    trials = (
        (candidate, recall(rank_targets(candidate.fit(train, size), holdout, repeats).ranks, 10).mean)
        for candidate in candidates
    )
    best = max(trials, key=lambda trial: trial[1], default=None)
    if best is None:
        raise ValueError(f"{name}: no candidates")
    return best


def describe(baseline: Any) -> str:
    """Returns hyperparameters as text, such as `weighting=tfidf neighbours=100`; empty if there are none."""
    values = {field.name: getattr(baseline, field.name) for field in fields(baseline) if field.init}
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )
