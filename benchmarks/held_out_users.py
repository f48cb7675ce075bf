"""Users whom a model never saw, with and without fine-tuning on their own history."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_transform as tft
from rich.console import Console
from rich.table import Table

from benchmarks.prepared import Prepared, encode, prepare, raw_values, read_raw
from benchmarks.ranking import gains, ndcg, paired_difference, recall, target_ranks
from benchmarks.recall_cells import training_data
from benchmarks.user_side import STEPS, Items, Recipe, fine_tune
from components import features
from components.errors import StepError
from components.trainer.fit import fit
from components.trainer.input_pipeline import Activities, Timelines, without_unknown
from components.trainer.item_tower import feature_values
from components.trainer.model import Recommender
from components.trainer.run import TrainingData, build_model, check
from pipeline.config import PipelineConfig
from pipeline.console import ConsoleObserver

CUT = 10
FIFTHS = 5
POSITIONS = 200  # of a history that are learnt from, the last
RECIPES = (
    *(Recipe("vector", 0.3, shrinkage) for shrinkage in (1.0, 10.0, 100.0)),
    *(Recipe("gain", 0.3, shrinkage) for shrinkage in (1.0, 10.0)),
    *(Recipe("genres", 1.0, shrinkage) for shrinkage in (1.0, 10.0)),
    Recipe("scale", 0.3, 10.0),
)
Ranks = dict[tuple[Recipe, int], np.ndarray]


@dataclass(frozen=True)
class Measured:
    """The ranks of the targets of users whom a model never saw.

    Attributes:
        users: bytes [U], whose each target is.
        before: int64 [U], without fine-tuning.
        after: by recipe and number of steps, int64 [U].
    """

    users: np.ndarray
    before: np.ndarray
    after: Ranks


def report(
    data: Path,
    config: PipelineConfig,
    folds: Iterable[int],
    last_targets: int,
    output: Path,
    cache_dir: Path,
    console: Console,
) -> dict[str, Any]:
    """Train without each fold of the users, fine-tune for those, and print; returns what `choose` does.

    Args:
        data: ratings, a folder, zip or CSV file.
        config: what to compute.
        folds: which fifths of the users are held out, one after another.
        last_targets: how many of the last items of each user are ranked, each by itself.
        output: folder of artifacts and metadata.
        cache_dir: folder for unpacked archives.
        console: that people read.

    Raises:
        DataError: the data cannot be read.
        StepError: the members of the model are not trained as one, or the training diverged.
        StepFailed: a step of the pipeline raised an error.
    """
    if len(config.trainer.group_sizes()) > 1:
        raise StepError("trainer.members: fine-tuning takes members that are trained as one; set joint: true for each")
    prepared = prepare(data, config, output, cache_dir, ConsoleObserver(console))
    parts = []
    for fold in folds:
        held_out = _with_targets(prepared.test, last_targets)
        users = np.repeat(prepared.users, last_targets)
        chosen = np.flatnonzero((fold_of(users) == fold) & (held_out.targets >= features.FIRST_INDEX))
        model, trained = train_without(prepared, config, fold)
        parts.append(measure(model, trained, held_out, users, chosen))
        console.print(f"fold {fold + 1}: {len(chosen):,} targets of {len(np.unique(users[chosen])):,} users")
    measured = Measured(
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.before for part in parts]),
        {key: np.concatenate([part.after[key] for part in parts]) for key in parts[0].after},
    )
    found = choose(measured)
    console.print(_table(found))
    return found


def fold_of(users: np.ndarray) -> np.ndarray:
    """The fifth that each user is in, by the id alone: bytes [U] -> int64 [U]."""
    return _hashes(users) % FIFTHS


def in_second_half(users: np.ndarray) -> np.ndarray:
    """Whether each user is reported on, not chosen on: bytes [U] -> bool [U]; independent of the fold."""
    return _hashes(users) // FIFTHS % 2 == 1


def _hashes(users: np.ndarray) -> np.ndarray:
    return np.array([zlib.crc32(user) for user in users.tolist()], np.int64)


def train_without(prepared: Prepared, config: PipelineConfig, fold: int) -> tuple[Recommender, TrainingData]:
    """A model fitted and stopped early without a fold of the users; they counted in the vocabularies alone.

    Raises:
        StepError: the data is too small, or the training diverged.
    """
    graph = tft.TFTransformOutput(str(prepared.transform_graph))

    def rest(split: str) -> Timelines:
        examples = read_raw(prepared.raw[split])
        others = fold_of(raw_values(examples, features.USER_ID)) != fold
        return encode([one for one, other in zip(examples, others, strict=True) if other], graph)

    train = without_unknown(rest(features.TRAIN))
    data = dataclasses.replace(
        training_data(prepared),
        train=train,
        holdout=rest(features.EVAL),
        counts=np.bincount(train.items, minlength=prepared.size),
    )
    check(config.trainer, data)
    model = build_model(config.trainer, data)
    fit(model, data.train, data.holdout)
    return model, data


def measure(
    model: Recommender, data: TrainingData, timelines: Timelines, users: np.ndarray, rows: np.ndarray
) -> Measured:
    """Fine-tune for the users of some rows of timelines with every recipe, and rank their targets.

    Args:
        model: fitted.
        data: that it was fitted on.
        timelines: with targets.
        users: bytes [U], whose each timeline is.
        rows: int64 [R].
    """
    labels = model.tables().labels.numpy()
    genres = [number for number, token in enumerate(data.tokens) if features.feature_of(token) == "genres"]
    known = feature_values(data.pairs, np.array(genres, np.int32) + features.FIRST_INDEX, len(labels))
    lengths = np.diff(known.splits)
    rows = np.repeat(np.arange(len(labels)), lengths)
    shares = np.zeros((len(labels), known.size), np.float32)
    np.add.at(shares, (rows, known.values), 1 / lengths[rows])
    items = Items(labels, shares, int(np.flatnonzero(data.counts).max()) + 1)
    ranks = {key: np.empty(len(rows), np.int64) for key in ((recipe, step) for recipe in RECIPES for step in STEPS)}
    before = np.empty(len(rows), np.int64)
    for number, row in enumerate(rows.tolist()):
        whole = timelines.activities[timelines.starts[row] : timelines.starts[row + 1]]
        known = np.flatnonzero(whole.items >= features.FIRST_INDEX)[-POSITIONS:]
        history = whole[known]
        contexts = _contexts(model, history) if len(known) else np.zeros((1, labels.shape[1]), np.float32)
        for recipe in RECIPES:
            scores = fine_tune(recipe, contexts, history.items, items)
            found = _ranks(scores, whole.items, int(timelines.targets[row]))
            before[number] = found[0]
            for step, rank in zip(STEPS, found[1:], strict=True):
                ranks[recipe, step][number] = rank
    return Measured(users[rows], before, ranks)


def _contexts(model: Recommender, history: Activities) -> np.ndarray:
    """After each item of a history: float32 [L, D]."""
    length = len(history.items)
    # All of one length, so that the model is traced once.
    padded = history.map(lambda values: np.pad(values, (0, POSITIONS - length))[None])
    found: np.ndarray = model(padded.tensors()).numpy()[0, :length]
    return found


def _ranks(scores: np.ndarray, seen: np.ndarray, target: int) -> np.ndarray:
    """Ranks of one target under several scores, float32 [S, V] -> int64 [S], by the one ranking function."""
    asked = len(scores)
    starts = np.arange(asked + 1) * len(seen)
    one = Activities(*(np.tile(seen, asked),) * 3)
    timelines = Timelines(one, starts, np.full(asked, target, np.int32))
    return target_ranks(_Given(scores), timelines)


@dataclass(frozen=True)
class _Given:
    """Scores that are there already, float32 [U, V]."""

    given: np.ndarray

    def scores(self, timelines: Timelines, rows: np.ndarray) -> np.ndarray:
        """See `Scorer`."""
        return self.given[rows]


def _with_targets(timelines: Timelines, count: int) -> Timelines:
    """The last `count` items of each user as targets, each after what came before: U timelines -> U times `count`.

    Of users with fewer items, targets are UNKNOWN.
    """
    places, targets = [], []
    for row, last in enumerate(timelines.targets.tolist()):
        start, stop = timelines.starts[row : row + 2].tolist()
        for back in range(count):
            places.append(np.arange(start, max(stop - back, start)))
            known = back <= stop - start
            targets.append(last if not back else int(timelines.items[stop - back]) if known else features.UNKNOWN)
    starts = np.cumsum([0, *map(len, places)])
    activities = timelines.activities[np.concatenate(places)]
    return Timelines(activities, starts, np.array(targets, np.int32))


def choose(measured: Measured) -> dict[str, Any]:
    """Choose recipe and steps by NDCG@10 on one half of the users, report on the other.

    Returns:
        `without` and `chosen` with `recall_at_10` and `ndcg_at_10` of the second half, `recipe`, `steps`, `difference`
        by metric there, and `tried`: of all recipes and steps the differences on the half that was chosen on.
    """
    second = in_second_half(measured.users)
    users, before = measured.users, measured.before

    def differences(key: tuple[Recipe, int], part: np.ndarray) -> dict[str, Any]:
        given = (measured.after[key][part], before[part], users[part], CUT)
        return {
            "recall_at_10": dataclasses.asdict(paired_difference(*given)),
            "ndcg_at_10": dataclasses.asdict(paired_difference(*given, gains)),
        }

    def quality(ranks: np.ndarray) -> dict[str, Any]:
        given = (ranks[second], CUT, users[second])
        return {"recall_at_10": dataclasses.asdict(recall(*given)), "ndcg_at_10": dataclasses.asdict(ndcg(*given))}

    tried = {key: differences(key, ~second) for key in measured.after}
    best = max(tried, key=lambda key: tried[key]["ndcg_at_10"]["mean"])
    return {
        "targets": int(second.sum()),
        "users": len(np.unique(users[second])),
        "without": quality(before),
        "chosen": quality(measured.after[best]),
        "recipe": dataclasses.asdict(best[0]),
        "steps": best[1],
        "difference": differences(best, second),
        "tried": [{**dataclasses.asdict(key[0]), "steps": key[1], **values} for key, values in tried.items()],
    }


def _table(found: dict[str, Any]) -> Table:
    recipe = found["recipe"]
    table = Table(
        title=f"{found['targets']:,} targets of {found['users']:,} users; chosen on others: {recipe['part']}, learning "
        f"rate {recipe['learning_rate']:g}, shrinkage {recipe['shrinkage']:g}, {found['steps']} steps",
        title_justify="left",
    )
    for title in ("", "without", "fine-tuned", "difference"):
        table.add_column(title, justify="right")
    for name, title in (("recall_at_10", "Recall@10"), ("ndcg_at_10", "NDCG@10")):
        cells = [
            f"{found[part][name]['mean']:.4f} ±{found[part][name]['standard_error']:.4f}"
            for part in ("without", "chosen")
        ]
        difference = found["difference"][name]
        table.add_row(title, *cells, f"{difference['mean']:+.4f} ±{difference['standard_error']:.4f}")
    return table
