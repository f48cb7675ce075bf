"""Chooses each baseline's hyperparameters on the eval split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from benchmarks.baselines import Baseline, Ease, ItemKNN, Markov, Popularity, RecentPopularity
from benchmarks.ranking import Estimate, quality, rank_targets
from benchmarks.session_knn import SessionKNN
from components.trainer.input_pipeline import Timelines

# What is tried of each, by the name in the tables.
GRIDS: dict[str, tuple[Baseline, ...]] = {
    "popularity": (Popularity(),),
    "recent popularity": tuple(RecentPopularity(share) for share in (0.01, 0.03, 0.1, 0.3)),
    "item-kNN": tuple(
        ItemKNN(weighting, kept) for weighting in ("cosine", "tfidf") for kept in (3, 5, 10, 20, 50, 100, 200)
    ),
    "EASE": tuple(Ease(value) for value in (3.0, 10.0, 30.0, 100.0, 200.0, 500.0, 1000.0)),
    "Markov": tuple(Markov(value) for value in (1.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)),
    "V-SkNN": tuple(
        SessionKNN(neighbours, decay, idf)
        for neighbours in (50, 100, 300)
        for decay in ("div", "linear")
        for idf in (False, True)
    ),
}


@dataclass(frozen=True)
class Chosen:
    """A fitted baseline with the hyperparameters that were best on the eval split.

    Attributes:
        name: in the tables.
        baseline: fitted on the train split.
        holdout: its metrics on the eval split, by name.
        tried: Recall@10 on the eval split of everything that was tried, by hyperparameters.
    """

    name: str
    baseline: Baseline
    holdout: dict[str, Estimate]
    tried: dict[str, float]

    @property
    def hyperparameters(self) -> str:
        """In words; empty where there are none."""
        return describe(self.baseline)


def choose(
    name: str,
    candidates: Sequence[Baseline],
    train: Timelines,
    holdout: Timelines,
    size: int,
    say: Callable[[str], None] = lambda line: None,
    repeats: bool = False,
) -> Chosen:
    """Fit all candidates on the train split and keep the one with the best Recall@10 on the eval split.

    Args:
        name: in the tables.
        candidates: not fitted yet; the first of equals wins.
        train: to learn from.
        holdout: to choose on.
        size: number of item indices V.
        say: told how each does.
        repeats: whether items of the timeline are recommended.

    Raises:
        TooLarge: the catalogue, for this baseline.
    """
    best: tuple[Baseline, dict[str, Estimate]] | None = None
    tried: dict[str, float] = {}
    for candidate in candidates:
        found = quality(rank_targets(candidate.fit(train, size), holdout, repeats).ranks)
        tried[describe(candidate)] = found["recall_at_10"].mean
        say(f"{name} {describe(candidate)}  eval Recall@10 {found['recall_at_10'].mean:.4f}")
        if best is None or found["recall_at_10"].mean > best[1]["recall_at_10"].mean:
            best = (candidate, found)
    if best is None:
        raise ValueError(f"{name}: nothing to choose from")
    return Chosen(name, best[0], best[1], tried)


def describe(baseline: Baseline) -> str:
    """A baseline's hyperparameters in words, such as `weighting=tfidf neighbours=100`."""
    values = {field.name: getattr(baseline, field.name) for field in fields(baseline) if field.init}
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )
