"""The logs of docs/results.md, and how each is split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).parent.parent / "configs"


@dataclass(frozen=True)
class Study:
    """One log and split.

    Attributes:
        title: of its section.
        key: option of the command line, and name of its folder.
        about: the log, in a few words.
        split: value of `example_gen.split`.
        settings: values by dotted key, for all models.
        configs: the models by their names in the table; None is the default.
        one_seed: names of models that are fitted with the first seed only.
        ordered_by_site: whether the page shows how much the site's listing order and the order of ties explain.
            MovieLens shows lists of films that people rate from top to bottom.
    """

    title: str
    key: str
    about: str
    split: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    configs: Mapping[str, Path | None] = field(default_factory=lambda: {"default": None})
    one_seed: tuple[str, ...] = ()
    ordered_by_site: bool = False

    @property
    def option(self) -> str:
        """Returns the name of the parsed option."""
        return self.key.replace("-", "_")

    @property
    def overrides(self) -> dict[str, Any]:
        """Returns the settings by dotted key, including the split."""
        return {"example_gen.split": self.split, **self.settings}

    def __hash__(self) -> int:
        return hash(self.key)


BEST_SPARSE = "best_sparse.yaml"
DEFAULT_AND_BEST_SPARSE = {"default": None, BEST_SPARSE: CONFIGS / BEST_SPARSE}
STUDIES = (
    Study(
        "MovieLens 1M, leave-one-out",
        "ml-1m",
        "films rated by people who came for a day",
        "leave_one_out",
        configs={
            "default": None,
            "distilled": CONFIGS / "distilled.yaml",
            "best": CONFIGS / "best.yaml",
        },
        one_seed=("distilled", "best"),
        ordered_by_site=True,
    ),
    Study(
        "Amazon Beauty, leave-one-out",
        "beauty",
        "a sparse shop, 5-core",
        "leave_one_out",
        configs=DEFAULT_AND_BEST_SPARSE,
        one_seed=(BEST_SPARSE,),
    ),
    Study(
        "Clicks, by session",
        "clicks",
        "anonymous sessions of a shop; items repeat",
        "sessions",
        settings={"example_gen.test_fraction": 0.2426, "example_gen.eval_fraction": 0.1283},
        configs=DEFAULT_AND_BEST_SPARSE,
        one_seed=(BEST_SPARSE,),
    ),
    Study(
        "MovieLens 100K, by time",
        "ml-100k",
        "films, with real times; every rating of the test period is a target",
        "temporal",
        settings={"example_gen.max_targets_per_user": None},
        configs=DEFAULT_AND_BEST_SPARSE,
        one_seed=(BEST_SPARSE,),
        ordered_by_site=True,
    ),
)
