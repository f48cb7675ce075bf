"""The pipeline's model beside baselines: everything about one dataset and split, computed and shown."""

from __future__ import annotations

import collections
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import listing
from benchmarks.baselines import TooLarge
from benchmarks.prepared import Prepared, prepare
from benchmarks.ranking import Estimate, paired_difference, quality, target_ranks
from benchmarks.ties import shuffled_copy, tied
from benchmarks.trained import train
from benchmarks.tuning import GRIDS, Chosen, choose
from data.formats import open_dataset
from pipeline.config import PipelineConfig
from pipeline.console import ConsoleObserver


@dataclass(frozen=True)
class Entry:
    """One line of a table.

    Attributes:
        name: of the baseline, or of the model's configuration.
        ranks: of the test targets, int64 [U].
        users: whose they are, bytes [U].
        holdout_recall_at_10: on the eval split, what it was chosen by.
        settings: what was chosen, in words.
        tried: Recall@10 on the eval split of all that was tried.
    """

    name: str
    ranks: np.ndarray
    users: np.ndarray
    holdout_recall_at_10: float
    settings: str
    tried: dict[str, float] = field(default_factory=dict)

    @property
    def quality(self) -> dict[str, Estimate]:
        """Metrics on the test split by name."""
        return quality(self.ranks, self.users)

    def above(self, other: Entry) -> Estimate:
        """How far its Recall@10 is above another's."""
        return paired_difference(self.ranks, other.ranks, self.users)


@dataclass(frozen=True)
class Bench:
    """Where and how things run.

    Attributes:
        output: folder for artifacts.
        cache_dir: folder for downloads and unpacked archives.
        console: that people read.
    """

    output: Path
    cache_dir: Path
    console: Console

    def folder(self, data: Path, split: str, seed: int | None = None) -> Path:
        """Where one dataset and split has its artifacts."""
        name = open_dataset(data, self.cache_dir).name
        return self.output / f"{name}-{split}{'' if seed is None else f'-shuffled-{seed}'}"


@dataclass(frozen=True)
class Comparison:
    """A dataset and split: the baselines, fitted, and all entries of the table."""

    prepared: Prepared
    baselines: list[Chosen]
    entries: list[Entry]

    @property
    def best_baseline(self) -> Entry:
        """The baseline that is best on the test split: the one that is hardest to beat."""
        return max(self.of_baselines, key=lambda entry: entry.quality["recall_at_10"].mean)

    @property
    def of_baselines(self) -> list[Entry]:
        """The entries of the baselines."""
        return self.entries[: len(self.baselines)]


def compare(data: Path, split: str, configs: list[PipelineConfig], bench: Bench, models: bool) -> Comparison:
    """Tune, fit and rank everything on one dataset and split."""
    observer = ConsoleObserver(bench.console)
    folder = bench.folder(data, split)
    prepared = prepare(data, configs[0], folder, bench.cache_dir, observer)
    baselines, entries = [], []
    for name, grid in GRIDS.items():
        try:
            with bench.console.status(f"{name}: {len(grid)} to try"):
                chosen = choose(
                    name, grid, prepared.train, prepared.holdout, prepared.size, repeats=prepared.recommends_seen
                )
                ranks = target_ranks(chosen.baseline, prepared.test, prepared.recommends_seen)
        except TooLarge as error:
            bench.console.print(f"{name} is left out: {error}", soft_wrap=True)
            continue
        recall = chosen.holdout["recall_at_10"].mean
        baselines.append(chosen)
        entries.append(Entry(name, ranks, prepared.users, recall, chosen.hyperparameters, chosen.tried))
    for config in configs if models else ():
        trained = train(data, config, folder, bench.cache_dir, observer, prepared.raw_test)
        settings = f"{config.trainer.encoder}, history {config.transform.history_length}, {trained.seconds:.0f} s"
        entries.append(Entry(config.name, trained.ranks, prepared.users, trained.holdout_recall_at_10, settings))
    return Comparison(prepared, baselines, entries)


def shuffle_ties(
    data: Path, split: str, configs: list[PipelineConfig], bench: Bench, models: bool, seed: int, before: Comparison
) -> dict[str, Any]:
    """The same with ties in time shuffled, with the hyperparameters that were chosen before.

    Returns:
        `seed`, `targets_changed` (share of test targets) and `recall_at_10` by name.
    """
    observer = ConsoleObserver(bench.console)
    folder = bench.folder(data, split, seed)
    copy = shuffled_copy(open_dataset(data, bench.cache_dir), folder / "data", seed)
    prepared = prepare(copy, configs[0], folder, bench.cache_dir, observer)
    found = {}
    for chosen in before.baselines:
        baseline = dataclasses.replace(chosen.baseline).fit(prepared.train, prepared.size)
        ranks = target_ranks(baseline, prepared.test, prepared.recommends_seen)
        found[chosen.name] = quality(ranks)["recall_at_10"].mean
    for config in configs if models else ():
        trained = train(copy, config, folder, bench.cache_dir, observer, prepared.raw_test)
        found[config.name] = quality(trained.ranks)["recall_at_10"].mean
    same = (_pairs(prepared) & _pairs(before.prepared)).total()
    return {"seed": seed, "targets_changed": 1 - same / len(prepared.users), "recall_at_10": found}


def _pairs(prepared: Prepared) -> collections.Counter[tuple[bytes, bytes]]:
    return collections.Counter(zip(prepared.users.tolist(), prepared.target_ids.tolist(), strict=True))


def report(
    data: Path,
    split: str,
    configs: list[PipelineConfig],
    bench: Bench,
    *,
    models: bool,
    listed: bool,
    seeds: list[int],
    models_anew: bool,
) -> dict[str, Any]:
    """Compute and print everything about one dataset and split.

    Args:
        data: ratings, a folder, zip or CSV file.
        split: `leave_one_out`, `temporal` or `sessions`.
        configs: of the models; the data steps of the first are those of the baselines.
        bench: where things run.
        models: whether to train the models.
        listed: whether to look at the site's listing order.
        seeds: of orders inside ties in time.
        models_anew: whether the models are trained for each seed too.

    Returns:
        The same for JSON.

    Raises:
        DataError: the data cannot be read.
        StepFailed: a step of the pipeline raised an error.
    """
    comparison = compare(data, split, configs, bench, models)
    prepared, console = comparison.prepared, bench.console
    found: dict[str, Any] = {
        "data": open_dataset(data, bench.cache_dir).name,
        "split": split,
        "examples": len(prepared.test),
        "items": len(prepared.item_ids),
        "fingerprint": prepared.fingerprint,
        "tied_share": float(tied(prepared.train).mean()),
        "entries": [_as_dict(entry, comparison.of_baselines) for entry in comparison.entries],
    }
    _show_entries(found, comparison, console)
    if listed:
        listings = listing.measure(prepared.train, prepared.test, prepared.item_ids)
        found["listing"] = [dataclasses.asdict(one) for one in listings]
        _show_listing(listings, console)
    if seeds:
        found["shuffled_ties"] = [
            shuffle_ties(data, split, configs, bench, models_anew, seed, comparison) for seed in seeds
        ]
        _show_shuffled(found, console)
    return found


def _as_dict(entry: Entry, baselines: list[Entry]) -> dict[str, Any]:
    return {
        "name": entry.name,
        "settings": entry.settings,
        "eval_recall_at_10": entry.holdout_recall_at_10,
        "tried": entry.tried,
        **{name: dataclasses.asdict(estimate) for name, estimate in entry.quality.items()},
        "above": {one.name: dataclasses.asdict(entry.above(one)) for one in baselines if one is not entry},
    }


def _show_entries(report: dict[str, Any], comparison: Comparison, console: Console) -> None:
    best = comparison.best_baseline
    console.print()
    console.print(
        f"{report['data']}, {report['split']}: {report['examples']:,} test targets among "
        f"{report['items']:,} items{', repeats recommended' if comparison.prepared.recommends_seen else ''}; ± is one "
        "standard error"
    )
    console.print(f"test targets  sha256 {report['fingerprint']}", soft_wrap=True)
    table = Table()
    for title in ("", "eval R@10", "Recall@10", "Recall@20", "NDCG@10", "Recall@50", f"Recall@10 - {best.name}"):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    table.add_column("chosen on eval")
    for entry in comparison.entries:
        difference = entry.above(best)
        against = "" if entry is best else f"{difference.mean:+.4f} ±{difference.standard_error:.4f}"
        metrics = [str(estimate) for estimate in entry.quality.values()]
        table.add_row(entry.name, f"{entry.holdout_recall_at_10:.4f}", *metrics, against, entry.settings)
    console.print(table)


def _show_listing(found: list[listing.Listing], console: Console) -> None:
    table = Table(title="What comes next in a list after the last item of the history", title_justify="left")
    for title in ("list", "ties in its order", "targets next in it", "rule's Recall@1", "rule's Recall@10"):
        table.add_column(title, justify="left" if title == "list" else "right")
    for one in found:
        forward = "" if one.forward is None else f"{one.forward:.1%}"
        table.add_row(one.name, forward, f"{one.next_share:.2%}", str(one.recall_at_1), str(one.recall_at_10))
    console.print(table)


def _show_shuffled(report: dict[str, Any], console: Console) -> None:
    runs = report["shuffled_ties"]
    title = f"Recall@10 with ties in time shuffled; {report['tied_share']:.1%} of train events tie with the one before"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("as it is", *(f"seed {run['seed']}" for run in runs), "mean change"):
        table.add_column(heading, justify="right")
    before = {entry["name"]: entry["recall_at_10"]["mean"] for entry in report["entries"]}
    for name in runs[0]["recall_at_10"]:
        after = [run["recall_at_10"][name] for run in runs]
        change = f"{float(np.mean(after)) - before[name]:+.4f}"
        table.add_row(name, f"{before[name]:.4f}", *(f"{value:.4f}" for value in after), change)
    table.add_row("targets that changed", "", *(f"{run['targets_changed']:.1%}" for run in runs), "")
    console.print(table)
