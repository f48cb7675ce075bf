"""Runs the pipeline at the end of each period, and asks the new and the first model what came in the next."""

from __future__ import annotations

import dataclasses
import itertools
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.periods import Log, Targets, cuts, read_log, targets_of, write_prefix
from benchmarks.ranking import Estimate, paired_difference, recall
from benchmarks.replay_plot import plot
from benchmarks.trained import saved_model_ranking
from components.errors import StepError
from components.evaluator.gate import read_verdict
from components.example_validator.results import read_drift
from data.dataset import fingerprint
from data.formats import open_dataset
from pipeline import local_execution, steps
from pipeline.config import PipelineConfig
from pipeline.console import ConsoleObserver
from pipeline.local_pipeline import create_local_pipeline, is_stale

CUT = 10


@dataclasses.dataclass(frozen=True)
class Model:
    """What a run of the pipeline left.

    Attributes:
        folder: of the SavedModel that was evaluated.
        items: ids that it can recommend, bytes [V].
        refitted: folder of the SavedModel that was fitted anew after the gate; None where there is none.
        refitted_items: ids that this one can recommend, bytes [W].
        drift: of its data, as `read_drift` gives it.
        blessed: whether the gate let it pass.
        why: the gate's reasons.
    """

    folder: Path
    items: np.ndarray
    refitted: Path | None
    refitted_items: np.ndarray
    drift: dict[str, Any]
    blessed: bool
    why: str


def report(
    data: Path,
    config: PipelineConfig,
    first: float,
    periods: int | None,
    weeks: int | None,
    first_alone: bool,
    picture: Path | None,
    output: Path,
    cache_dir: Path,
    console: Console,
) -> list[dict[str, Any]]:
    """Replay, print and plot.

    Args:
        data: ratings, a folder, zip or CSV file.
        config: what to compute.
        first: share of the ratings that the first model knows.
        periods: see `cuts`.
        weeks: see `cuts`.
        first_alone: see `targets_of`.
        picture: SVG file; None draws none.
        output: folder of artifacts and metadata.
        cache_dir: folder for unpacked archives.
        console: that people read.

    Returns:
        What `compare` does, with `drift` and the gate's verdict, for each period.

    Raises:
        DataError: the data cannot be read.
        StepError: the log is too short for the periods, or there are earlier runs in the folder.
        StepFailed: a step of the pipeline raised an error.
    """
    if (output / config.name).exists():
        raise StepError(f"{output}: holds runs that were later than the first of this replay; give another --output")
    log = read_log(open_dataset(data, cache_dir))
    moments = cuts(log.seconds, first, periods, weeks)
    if len(moments) < 2 or len(set(moments)) < len(moments):
        raise StepError(f"{data}: the log is too short for these periods; take fewer, or a smaller --first")
    found, oldest = [], None
    for number, (start, stop) in enumerate(itertools.pairwise(moments), start=1):
        console.print(f"period {number} of {len(moments) - 1}: trained before {_day(start)}", soft_wrap=True)
        model = run(log, start, config, output, cache_dir, console)
        oldest = oldest or model
        targets = targets_of(log, start, stop, first_alone)
        found.append(
            {
                "start": start,
                "stop": stop,
                "ratings": int((log.seconds < start).sum()),
                **compare(oldest, model, targets),
                "drift": model.drift,
                "blessed": model.blessed,
                "gate": model.why,
            }
        )
    console.print(_recalls(found, first_alone))
    console.print(_drifts(found))
    if picture:
        plot(found, picture)
        console.print(f"plotted to {picture}", soft_wrap=True)
    return found


def run(log: Log, before: int, config: PipelineConfig, output: Path, cache_dir: Path, console: Console) -> Model:
    """Run the pipeline on the interactions before a moment, as `local_runner.py` does, in one place for all moments."""
    data = write_prefix(log, before, output / "prefixes" / str(before))
    pipeline = create_local_pipeline(
        config,
        data,
        fingerprint(open_dataset(data, cache_dir)),
        output / config.name,
        output / "serving_models",
        cache_dir,
        enable_cache=True,
    )
    done = local_execution.run(pipeline, ConsoleObserver(console), is_stale=is_stale)
    made = {result.name: result.outputs for result in done}
    folder = Path(made[steps.TRAINER]["model"][0].uri) / "Format-Serving"
    verdict = read_verdict(made[steps.EVALUATOR]["evaluation"][0].uri)
    refitted = Path(made[steps.REFIT]["model"][0].uri) / "Format-Serving" if steps.REFIT in made else None
    refitted = refitted if refitted and refitted.exists() else None
    return Model(
        folder,
        _items_of(folder),
        refitted,
        _items_of(refitted or folder),
        read_drift(made[steps.EXAMPLE_VALIDATOR]["anomalies"][0].uri),
        verdict.blessed,
        "; ".join(verdict.reasons),
    )


def compare(oldest: Model, newest: Model, targets: Targets) -> dict[str, Any]:
    """Compares models on the same targets, each ranking all items that it may recommend.

    Returns:
        `targets`, `users`, the share `of_new_users`, by model (`first`, `retrained`) `recall_at_10` and the share of
        targets that it does not know, `unknown`; the `difference`, retrained less first, and `difference_known` of the
        targets that the first model knows; where the newest was refitted, the same of it by `refitted`, and `refit`,
        the difference to the retrained one; standard errors are over whole users.
    """
    ranks = {
        name: saved_model_ranking(model.folder, targets.examples).ranks
        for name, model in (("first", oldest), ("retrained", newest))
    }
    after_refit: dict[str, Any] = {}
    if newest.refitted:
        refitted = saved_model_ranking(newest.refitted, targets.examples).ranks
        after_refit = {
            "refitted": {
                "recall_at_10": dataclasses.asdict(recall(refitted, CUT, targets.users)),
                "unknown": float(1 - np.isin(targets.items, newest.refitted_items).mean()),
            },
            "refit": dataclasses.asdict(paired_difference(refitted, ranks["retrained"], targets.users)),
        }
    known = np.isin(targets.items, oldest.items)
    both = (ranks["retrained"], ranks["first"], targets.users)
    return {
        "targets": len(targets.items),
        "users": len(np.unique(targets.users)),
        "of_new_users": float(targets.new_user.mean()),
        **{
            name: {
                "recall_at_10": dataclasses.asdict(recall(ranks[name], CUT, targets.users)),
                "unknown": float(1 - np.isin(targets.items, model.items).mean()),
            }
            for name, model in (("first", oldest), ("retrained", newest))
        },
        **after_refit,
        "difference": dataclasses.asdict(paired_difference(*both)),
        "difference_known": dataclasses.asdict(paired_difference(*(one[known] for one in both))),
    }


def _items_of(folder: Path) -> np.ndarray:
    """Returns the ids that a model can recommend, bytes [V]."""
    facts = json.loads((folder / "model_facts.json").read_text(encoding="utf-8"))
    return np.array([item.encode() for item in facts["item_ids"]])


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%d}"


def _recalls(found: list[dict[str, Any]], first_alone: bool) -> Table:
    what = "the first of each user" if first_alone else "all of the period"
    table = Table(title=f"Recall@10 on what came next ({what}), ± one standard error over users", title_justify="left")
    titles = (
        "trained before",
        "targets",
        "of new users",
        "unknown to",
        "first",
        "retrained",
        "difference",
        "known only",
        *(("refitted", "refit") if any("refit" in row for row in found) else ()),
    )
    for title in titles:
        table.add_column(title, justify="right", no_wrap=title not in titles[:4])
    for row in found:
        recalls = [str(Estimate(**row[name]["recall_at_10"])) for name in ("first", "retrained")]
        differences = [row["difference"], row["difference_known"]]
        table.add_row(
            _day(row["start"]),
            f"{row['targets']:,}",
            f"{row['of_new_users']:.1%}",
            ", ".join(f"{row[name]['unknown']:.1%}" for name in ("first", "retrained", "refitted") if name in row),
            *recalls,
            *(f"{one['mean']:+.4f} ±{one['standard_error']:.4f}" for one in differences),
            *([str(Estimate(**row["refitted"]["recall_at_10"]))] if "refit" in row else []),
            *([f"{row['refit']['mean']:+.4f} ±{row['refit']['standard_error']:.4f}"] if "refit" in row else []),
        )
    return table


def _drifts(found: list[dict[str, Any]]) -> Table:
    table = Table(title="Drift of each run's data against the last run's (! warns), and the gate", title_justify="left")
    measured = next((row["drift"]["measures"] for row in found if row["drift"]["measures"]), [])
    names = [one["name"] for one in measured]
    for title in ("trained before", *(name.replace("_", " ") for name in names), "gate"):
        table.add_column(title, justify="right")
    for row in found:
        measures = row["drift"]["measures"]
        values = {one["name"]: f"{one['value']:.3f}{'' if one['level'] == 'ok' else ' !'}" for one in measures}
        verdict = "pushed" if row["blessed"] else "not blessed"
        table.add_row(_day(row["start"]), *(values.get(name, "-") for name in names), verdict)
    return table
