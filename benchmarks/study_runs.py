"""Fits and ranks everything of one section of docs/results.md; what is finished is kept."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import listing
from benchmarks.baselines import TooLarge
from benchmarks.peers import LIBRARY, LOSSES, run_peer
from benchmarks.prepared import Prepared, prepare
from benchmarks.ranking import target_ranks
from benchmarks.studies import Study
from benchmarks.ties import tied
from benchmarks.trained import train
from benchmarks.tuning import GRIDS, choose
from components.code_version import step_version
from pipeline.config import load_config
from pipeline.console import ConsoleObserver

BASELINE, MODEL, PEER = "baseline", "model", "peer"


@dataclass(frozen=True)
class Ranked:
    """One way to recommend, with one seed.

    Attributes:
        name: in the table.
        kind: BASELINE, MODEL or PEER.
        ranks: of the test targets, int64 [U].
        eval_recall: Recall@10 on the eval split; NaN where it was not measured.
        seconds: of fitting, trials included.
        trials: how many settings were tried on the eval split.
        settings: in words.
    """

    name: str
    kind: str
    ranks: np.ndarray
    eval_recall: float
    seconds: float
    trials: int
    settings: str


@dataclass(frozen=True)
class StudyResult:
    """A section of the page.

    Attributes:
        study: the log and split.
        prepared: the data.
        ranked: everything, several of a name where it has several seeds.
        missing: why something is left out, a line each.
        listings: how much the site's order explains.
        tied_share: share of train events that tie in time with the one before.
    """

    study: Study
    prepared: Prepared
    ranked: list[Ranked]
    missing: list[str]
    listings: list[listing.Listing]
    tied_share: float

    def of_kind(self, kind: str) -> dict[str, list[Ranked]]:
        """What is of a kind, by name."""
        names: dict[str, list[Ranked]] = {}
        for ranked in self.ranked:
            if ranked.kind == kind:
                names.setdefault(ranked.name, []).append(ranked)
        return names


class Runs:
    """Where and how a section is computed.

    Args:
        study: the log and split.
        data: path of the log.
        output: folder for artifacts and what is finished.
        cache_dir: folder for downloads and the peers' environment.
        console: for people.
    """

    def __init__(self, study: Study, data: Path, output: Path, cache_dir: Path, console: Console):
        self._study, self._data, self._cache_dir, self._console = study, data, cache_dir, console
        self._folder = output / study.key
        self._observer = ConsoleObserver(console)

    def run(self, seeds: list[int], peers: bool, models: list[str] | None = None) -> StudyResult:
        """Computes a section. What an earlier call finished is in it, whether it is asked for or not.

        Args:
            seeds: of models.
            peers: whether peers are trained; each gets the time that the default took.
            models: names of those that are fitted beside the default; None fits all.

        Raises:
            DataError: the data cannot be read.
            StepError, StepFailed: a model or a peer failed.
        """
        study = self._study
        config = load_config(None, study.overrides)
        prepared = prepare(self._data, config, self._folder, self._cache_dir, self._observer)
        entries: list[Ranked | None] = []
        missing = []
        for name in GRIDS:
            try:
                entries.append(
                    self._kept(prepared, name, 0, repr(GRIDS[name]), functools.partial(self._baseline, name, prepared))
                )
            except TooLarge as error:
                missing.append(f"{name}: {error}")
        for name, path in study.configs.items():
            asked = models is None or name in (*models, "default")
            for seed in seeds[:1] if name in study.one_seed else seeds:
                values = {**study.overrides, "trainer.seed": seed}
                key = load_config(path, values).model_dump_json() + step_version("trainer")
                compute = functools.partial(self._model, name, path, values, prepared)
                entries.append(self._kept(prepared, name, seed, key, compute, asked))
        minutes = max(math.ceil(max(entry.seconds for entry in entries if entry and entry.name == "default") / 60), 1)
        for name in LOSSES:
            key = f"{LIBRARY} {LOSSES[name]} {minutes}"
            compute = functools.partial(self._peer, name, prepared, minutes, seeds[0])
            entries.append(self._kept(prepared, name, seeds[0], key, compute, peers))
        ranked = [entry for entry in entries if entry]
        names = {entry.name for entry in ranked}
        missing += [f"{name}: not asked for" for name in (*study.configs, *LOSSES) if name not in names]
        listings = listing.measure(prepared.train, prepared.test, prepared.item_ids) if study.listing else []
        return StudyResult(study, prepared, ranked, missing, listings, float(tied(prepared.train).mean()))

    def _baseline(self, name: str, prepared: Prepared) -> Ranked:
        repeats, started = prepared.recommends_seen, time.monotonic()
        with self._console.status(f"{name}: {len(GRIDS[name])} to try"):
            chosen = choose(name, GRIDS[name], prepared.train, prepared.holdout, prepared.size, repeats=repeats)
            ranks = target_ranks(chosen.baseline, prepared.test, repeats)
        recall, seconds = chosen.holdout["recall_at_10"].mean, time.monotonic() - started
        return Ranked(name, BASELINE, ranks, recall, seconds, len(GRIDS[name]), chosen.hyperparameters)

    def _model(self, name: str, path: Path | None, values: dict[str, Any], prepared: Prepared) -> Ranked:
        config = load_config(path, values)
        self._console.print(f"{name}, seed {config.trainer.seed}")
        trained = train(self._data, config, self._folder, self._cache_dir, self._observer, prepared.raw_test)
        return Ranked(name, MODEL, trained.ranks, trained.holdout_recall_at_10, trained.seconds, 1, "")

    def _peer(self, name: str, prepared: Prepared, minutes: float, seed: int) -> Ranked:
        folder, started = self._folder / "peers" / name.replace(" ", "-"), time.monotonic()
        with self._console.status(f"{name}: at most {minutes:g} min"):
            result = run_peer(name, prepared, minutes, seed, folder, self._cache_dir)
        seconds = time.monotonic() - started
        return Ranked(
            name,
            PEER,
            result.ranks,
            math.nan,
            seconds,
            1,
            f"{result.epochs} {'epoch' if result.epochs == 1 else 'epochs'}",
        )

    def _kept(
        self, prepared: Prepared, name: str, seed: int, key: str, compute: Callable[[], Ranked], asked: bool = True
    ) -> Ranked | None:
        """Returns what an earlier call left; otherwise, where it is asked for, computes it and leaves it."""
        parts = [prepared.fingerprint, str(len(prepared.train.items)), name, str(seed), key]
        file = self._folder / "ranked" / f"{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:16]}.npz"
        if file.exists():
            with np.load(file) as left:
                return Ranked(ranks=left["ranks"], **json.loads(str(left["facts"])))
        if not asked:
            return None
        ranked = compute()
        facts = asdict(ranked)
        del facts["ranks"]
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name("unfinished.npz")
        np.savez_compressed(unfinished, ranks=ranked.ranks, facts=json.dumps(facts))
        unfinished.replace(file)
        return ranked
