"""Fits and ranks all rows of one section of docs/results.md. Finished rows are kept in files."""

from __future__ import annotations

import collections
import copy
import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import listing
from benchmarks.baselines import Baseline, TooLarge
from benchmarks.listing import tied
from benchmarks.logs import shuffled_copy
from benchmarks.peers import PEERS, run_peer
from benchmarks.prepared import Prepared, prepare
from benchmarks.ranking import Ranking, rank_targets, recall
from benchmarks.studies import Study
from benchmarks.trained import train
from benchmarks.tuning import GRIDS, choose, describe
from components.code_version import step_version
from data.formats import open_dataset
from pipeline.config import load_config
from pipeline.console import ConsoleObserver

BASELINE, MODEL, PEER = "baseline", "model", "peer"


@dataclass(frozen=True)
class Row:
    """One recommender, fitted with one seed.

    Attributes:
        name: in the table.
        kind: BASELINE, MODEL or PEER.
        ranking: of the test targets.
        eval_recall: Recall@10 on the eval split; NaN where it was not measured.
        seconds: of fitting, trials included.
        trials: number of settings that were tried on the eval split.
        settings: in words.
    """

    name: str
    kind: str
    ranking: Ranking
    eval_recall: float
    seconds: float
    trials: int
    settings: str

    @property
    def ranks(self) -> np.ndarray:
        """Returns the ranks of the test targets, int64 [U]."""
        return self.ranking.ranks


@dataclass(frozen=True)
class ShuffledTies:
    """Results on a copy of the log in which the interactions of one user at one time are in random order.

    Attributes:
        seed: of the order.
        changed_share: of the test targets.
        recalls: Recall@10 by name.
    """

    seed: int
    changed_share: float
    recalls: Mapping[str, float]


@dataclass(frozen=True)
class StudyResult:
    """A section of the page.

    Attributes:
        study: the log and split.
        prepared: the data.
        rows: of the table; a name with several seeds has several.
        missing: a line for each row that is left out, with the reason.
        listings: how much the site's order explains.
        tied_share: share of train interactions that have the time of the one before.
        shuffled: results with shuffled ties.
    """

    study: Study
    prepared: Prepared
    rows: list[Row]
    missing: list[str]
    listings: list[listing.Listing]
    tied_share: float
    shuffled: list[ShuffledTies]

    def of_kind(self, kind: str) -> dict[str, list[Row]]:
        """Returns the rows of a kind by name."""
        names: dict[str, list[Row]] = {}
        for row in self.rows:
            if row.kind == kind:
                names.setdefault(row.name, []).append(row)
        return names


class Runs:
    """Computes a section.

    Args:
        study: the log and split.
        data: path of the log.
        output: folder for artifacts and finished rows.
        cache_dir: folder for downloads and the peers' environment.
        console: for people.
    """

    def __init__(self, study: Study, data: Path, output: Path, cache_dir: Path, console: Console):
        self._study, self._data, self._cache_dir, self._console = study, data, cache_dir, console
        self._folder = output / study.key
        self._observer = ConsoleObserver(console)

    def run(self, seeds: list[int], tie_seeds: list[int], peers: bool, models: list[str] | None = None) -> StudyResult:
        """Computes the rows that no earlier call finished; the result has these and the earlier ones.

        Args:
            seeds: of models.
            tie_seeds: of the orders inside ties, where the study asks for them.
            peers: whether peers are trained; each gets the time that the default took.
            models: names of those that are fitted beside the default; None fits all.

        Raises:
            DataError: the data cannot be read.
            StepError, StepFailed: a model or a peer failed.
        """
        study = self._study
        prepared = prepare(
            self._data, load_config(None, study.overrides), self._folder, self._cache_dir, self._observer
        )
        rows: list[Row | None] = []
        missing = []
        for name, grid in GRIDS.items():
            try:
                rows.append(
                    self._kept(prepared, name, 0, repr(grid), functools.partial(self._baseline, name, prepared))
                )
            except TooLarge as error:
                missing.append(f"{name}: {error}")
        for name, path in study.configs.items():
            is_wanted = models is None or name in (*models, "default")
            for seed in seeds[:1] if name in study.one_seed else seeds:
                values = {**study.overrides, "trainer.seed": seed}
                key = load_config(path, values).model_dump_json() + step_version("trainer")
                compute = functools.partial(self._model, name, path, values, prepared)
                rows.append(self._kept(prepared, name, seed, key, compute, is_wanted))
        minutes = max(math.ceil(max(row.seconds for row in rows if row and row.name == "default") / 60), 1)
        for name, peer in PEERS.items():
            key = f"{peer.libraries} {peer.arguments(np.diff(prepared.train.starts))} {minutes}"
            compute = functools.partial(self._peer, name, prepared, minutes, seeds[0])
            rows.append(self._kept(prepared, name, seeds[0], key, compute, peers))
        finished = [row for row in rows if row]
        names = {row.name for row in finished}
        missing += [f"{name}: not requested" for name in (*study.configs, *PEERS) if name not in names]
        return StudyResult(
            study,
            prepared,
            finished,
            missing,
            listing.measure(prepared.train, prepared.test, prepared.item_ids) if study.ordered_by_site else [],
            float(tied(prepared.train).mean()),
            [self._shuffled(prepared, finished, seed) for seed in tie_seeds if study.ordered_by_site],
        )

    def _baseline(self, name: str, prepared: Prepared) -> Row:
        repeats, started = prepared.recommends_seen, time.monotonic()
        with self._console.status(f"{name}: {len(GRIDS[name])} to try"):
            baseline, eval_recall = choose(
                name, GRIDS[name], prepared.train, prepared.holdout, prepared.size, repeats=repeats
            )
            ranking = rank_targets(baseline, prepared.test, repeats)
        seconds = time.monotonic() - started
        return Row(name, BASELINE, ranking, eval_recall, seconds, len(GRIDS[name]), describe(baseline))

    def _model(self, name: str, path: Path | None, values: dict[str, Any], prepared: Prepared) -> Row:
        config = load_config(path, values)
        self._console.print(f"{name}, seed {config.trainer.seed}")
        trained = train(self._data, config, self._folder, self._cache_dir, self._observer, prepared.raw_test)
        return Row(name, MODEL, trained.ranking, trained.holdout_recall_at_10, trained.seconds, 1, "")

    def _peer(self, name: str, prepared: Prepared, minutes: float, seed: int) -> Row:
        folder, started = self._folder / "peers" / name.replace(" ", "-"), time.monotonic()
        with self._console.status(f"{name}: at most {minutes:g} min"):
            ranking, epochs = run_peer(name, prepared, minutes, seed, folder, self._cache_dir)
        settings = f"{epochs} {'epoch' if epochs == 1 else 'epochs'}"
        return Row(name, PEER, ranking, math.nan, time.monotonic() - started, 1, settings)

    def _shuffled(self, before: Prepared, rows: list[Row], seed: int) -> ShuffledTies:
        """Fits the chosen baselines and the default, with the same settings, on a copy with shuffled ties."""
        folder = self._folder / f"ties-{seed}"
        shuffled = shuffled_copy(open_dataset(self._data, self._cache_dir), folder / "data", seed)
        values = self._study.overrides
        config = load_config(None, values)
        prepared = prepare(shuffled, config, folder, self._cache_dir, self._observer)
        recalls = {}
        for row in rows:
            if row.kind == BASELINE:
                baseline = copy.copy(_candidate(row)).fit(prepared.train, prepared.size)
                ranks = rank_targets(baseline, prepared.test, prepared.recommends_seen).ranks
                recalls[row.name] = recall(ranks, 10).mean
        self._console.print(f"default, ties in the order of seed {seed}")
        trained = train(shuffled, config, folder, self._cache_dir, self._observer, prepared.raw_test)
        recalls["default"] = recall(trained.ranking.ranks, 10).mean
        unchanged = (_pairs(prepared) & _pairs(before)).total()
        return ShuffledTies(seed, 1 - unchanged / len(prepared.users), recalls)

    def _kept(
        self, prepared: Prepared, name: str, seed: int, key: str, compute: Callable[[], Row], is_wanted: bool = True
    ) -> Row | None:
        """Returns the row of an earlier call; if there is none and it is wanted, computes and keeps it."""
        parts = [prepared.fingerprint, str(len(prepared.train.items)), name, str(seed), key]
        file = self._folder / "rows" / f"{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:16]}.npz"
        if file.exists():
            with np.load(file) as arrays:
                ranking = Ranking(arrays["ranks"], arrays["lists"])
                return Row(ranking=ranking, **json.loads(str(arrays["facts"])))
        if not is_wanted:
            return None
        row = compute()
        facts = asdict(row)
        del facts["ranking"]
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name("unfinished.npz")
        np.savez_compressed(unfinished, ranks=row.ranks, lists=row.ranking.lists, facts=json.dumps(facts))
        unfinished.replace(file)
        return row


def _candidate(row: Row) -> Baseline:
    """Returns the baseline of the grid that a row describes."""
    return next(candidate for candidate in GRIDS[row.name] if describe(candidate) == row.settings)


def _pairs(prepared: Prepared) -> collections.Counter[tuple[bytes, bytes]]:
    return collections.Counter(zip(prepared.users.tolist(), prepared.target_ids.tolist(), strict=True))
