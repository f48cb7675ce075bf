"""Chooses each baseline's hyperparameters on the eval split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import product, starmap
from typing import Any

from benchmarks.baselines import Baseline, Ease, ItemKNN, Markov, Popularity, RecentPopularity, SessionKNN
from benchmarks.ranking import Estimate, quality, rank_targets
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


@dataclass(frozen=True)
class Chosen:
    """A fitted baseline with the hyperparameters that are best on the eval split.

    Attributes:
        baseline: fitted on the train split.
        holdout: metrics on the eval split, by name.
    """

    baseline: Baseline
    holdout: dict[str, Estimate]

    @property
    def hyperparameters(self) -> str:
        """Returns the hyperparameters as text; see `describe`."""
        return describe(self.baseline)


def choose(
    name: str, candidates: Sequence[Baseline], train: Timelines, holdout: Timelines, size: int, repeats: bool = False
) -> Chosen:
    """Fits all candidates on the train split and returns the one with the best Recall@10 on the eval split.

    Args:
        name: in the tables.
        candidates: not fitted yet; the first of equals wins.
        train: timelines of the train split.
        holdout: timelines and targets of the eval split.
        size: number of item indices V.
        repeats: whether items of the timeline are recommended.

    Raises:
        TooLarge: the baseline cannot be fitted to so many items.
        ValueError: there are no candidates.
    """
    trials = (
        Chosen(candidate, quality(rank_targets(candidate.fit(train, size), holdout, repeats).ranks))
        for candidate in candidates
    )
    best = max(trials, key=lambda trial: trial.holdout["recall_at_10"].mean, default=None)
    if best is None:
        raise ValueError(f"{name}: no candidates")
    return best


def describe(baseline: Any) -> str:
    """Returns hyperparameters as text, such as `weighting=tfidf neighbours=100`; empty if there are none."""
    values = {field.name: getattr(baseline, field.name) for field in fields(baseline) if field.init}
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )
