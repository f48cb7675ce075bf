"""Runs the pipeline at the end of each period, and tests the new and the first model on the next period."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import program
from benchmarks.logs import Log, Targets, cuts, read_log, targets_of, write_prefix
from benchmarks.plots import plot_periods
from benchmarks.ranking import Estimate, paired_difference, recall
from benchmarks.trained import saved_model_ranking
from components.errors import StepError
from components.evaluator.gate import Verdict, read_verdict
from components.example_validator.results import read_drift
from data.dataset import fingerprint
from data.formats import open_dataset
from pipeline import local_execution, steps
from pipeline.config import PipelineConfig
from pipeline.console import ConsoleObserver
from pipeline.local_pipeline import create_local_pipeline, is_stale

CUT = 10
MODEL_STEPS = (steps.TRAINER, steps.REFIT)


@dataclasses.dataclass(frozen=True)
class Model:
    """A SavedModel, and the ids that it can recommend, bytes [V]."""

    folder: Path
    items: np.ndarray


@dataclasses.dataclass(frozen=True)
class Run:
    """The results of a run of the pipeline.

    Attributes:
        evaluated: the model that the gate tested.
        refitted: the model that was fitted again after the gate; None without one.
        drift: of the data, see `read_drift`.
        verdict: of the gate.
    """

    evaluated: Model
    refitted: Model | None
    drift: dict[str, Any]
    verdict: Verdict


def report(
    data: Path, config: PipelineConfig, options: argparse.Namespace, output: Path, console: Console
) -> list[dict[str, Any]]:
    """Replays the log, prints tables and plots.

    Args:
        data: path of the log.
        config: of the pipeline.
        options: parsed command line of `replay`.
        output: folder of artifacts and metadata.
        console: for the tables.

    Returns:
        For each period the result of `compare`, with `drift` and the gate's verdict.

    Raises:
        DataError: the data cannot be read.
        StepError: the log is too short for the periods, or there are earlier runs in the folder.
        StepFailed: a step of the pipeline raised an error.
    """
    if (output / config.name).exists():
        raise StepError(f"{output}: has runs that are later than the first of this replay; give another --output")
    log = read_log(open_dataset(data, options.cache_dir))
    moments = cuts(log.seconds, options.first, options.periods, options.weeks)
    if len(moments) < 2 or len(set(moments)) < len(moments):
        raise StepError(f"{data}: the log is too short for these periods; take fewer, or a smaller --first")
    rows, oldest = [], None
    for number, (start, stop) in enumerate(itertools.pairwise(moments), start=1):
        console.print(f"period {number} of {len(moments) - 1}: trained before {_day(start)}", soft_wrap=True)
        newest = run(log, start, config, output, options.cache_dir, console)
        oldest = oldest or newest.evaluated
        rows.append(
            {
                "start": start,
                "stop": stop,
                "ratings": int((log.seconds < start).sum()),
                **compare(oldest, newest, targets_of(log, start, stop, options.targets == "first")),
                "drift": newest.drift,
                "blessed": newest.verdict.blessed,
                "gate": "; ".join(newest.verdict.reasons),
            }
        )
    console.print(_recalls(rows, options.targets))
    console.print(_drifts(rows))
    if options.plot:
        plot_periods(rows, options.plot)
        console.print(f"plotted to {options.plot}", soft_wrap=True)
    return rows


def run(log: Log, before: int, config: PipelineConfig, output: Path, cache_dir: Path, console: Console) -> Run:
    """Runs the pipeline on the interactions before a time; the runs of all times share one folder."""
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
    results = local_execution.run(pipeline, ConsoleObserver(console), is_stale=is_stale)
    outputs = {result.name: result.outputs for result in results}
    folders = {s: Path(outputs[s]["model"][0].uri) / "Format-Serving" for s in MODEL_STEPS if s in outputs}
    models = {step: _model(folder) for step, folder in folders.items() if folder.exists()}
    return Run(
        models[steps.TRAINER],
        models.get(steps.REFIT),
        read_drift(outputs[steps.EXAMPLE_VALIDATOR]["anomalies"][0].uri),
        read_verdict(outputs[steps.EVALUATOR]["evaluation"][0].uri),
    )


def compare(oldest: Model, newest: Run, targets: Targets) -> dict[str, Any]:
    """Compares models on the same targets; each model ranks all items that it can recommend.

    Returns:
        `targets`, `users`, and the share `of_new_users`; for each model (`first`, `retrained` and, if there is one,
        `refitted`) `recall_at_10`, and the share of targets that are `unknown` to it; and differences of Recall@10:
        `difference` between the retrained and the first model, `difference_known` on the targets that the first model
        knows, `refit` between the refitted and the retrained model. Standard errors are over users.
    """
    models = {"first": oldest, "retrained": newest.evaluated}
    if newest.refitted:
        models["refitted"] = newest.refitted
    ranks = {name: saved_model_ranking(model.folder, targets.examples).ranks for name, model in models.items()}

    def difference(name: str, other: str, chosen: np.ndarray | slice = slice(None)) -> dict[str, float]:
        users = targets.users[chosen]
        return dataclasses.asdict(paired_difference(ranks[name][chosen], ranks[other][chosen], users))

    return {
        "targets": len(targets.items),
        "users": len(np.unique(targets.users)),
        "of_new_users": float(targets.new_user.mean()),
        **{
            name: {
                "recall_at_10": dataclasses.asdict(recall(ranks[name], CUT, targets.users)),
                "unknown": float(1 - np.isin(targets.items, model.items).mean()),
            }
            for name, model in models.items()
        },
        "difference": difference("retrained", "first"),
        "difference_known": difference("retrained", "first", np.isin(targets.items, oldest.items)),
        **({"refit": difference("refitted", "retrained")} if newest.refitted else {}),
    }


def _model(folder: Path) -> Model:
    facts = json.loads((folder / "model_facts.json").read_text(encoding="utf-8"))
    return Model(folder, np.array([item.encode() for item in facts["item_ids"]]))


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%d}"


def _recalls(rows: list[dict[str, Any]], targets: str) -> Table:
    def cells(row: dict[str, Any]) -> list[str]:
        models = [row[name] for name in ("first", "retrained", "refitted") if name in row]
        recalls = [str(Estimate(**model["recall_at_10"])) for model in models]
        differences = [Estimate(**row[n]).signed for n in ("difference", "difference_known", "refit") if n in row]
        return [
            _day(row["start"]),
            f"{row['targets']:,}",
            f"{row['of_new_users']:.1%}",
            ", ".join(f"{model['unknown']:.1%}" for model in models),
            *recalls[:2],
            *differences[:2],
            *recalls[2:],
            *differences[2:],
        ]

    period = "the first of each user" if targets == "first" else "all of the period"
    title = f"Recall@10 on the next period ({period}), ± one standard error over users"
    columns = ["trained before", "targets", "of new users", "unknown to", "first", "retrained", "difference"]
    columns += ["of known targets", *(("refitted", "refit") if any("refit" in row for row in rows) else ())]
    return program.table(title, columns, map(cells, rows))


def _drifts(rows: list[dict[str, Any]]) -> Table:
    measured: list[dict[str, Any]] = next((row["drift"]["measures"] for row in rows if row["drift"]["measures"]), [])
    names = [measure["name"] for measure in measured]

    def cells(row: dict[str, Any]) -> list[str]:
        measures = row["drift"]["measures"]
        values = {m["name"]: f"{m['value']:.3f}{'' if m['level'] == 'ok' else ' !'}" for m in measures}
        verdict = "pushed" if row["blessed"] else "not blessed"
        return [_day(row["start"]), *(values.get(name, "-") for name in names), verdict]

    title = "Drift of each run's data against the last run's (! warns), and the gate"
    return program.table(
        title, ["trained before", *(name.replace("_", " ") for name in names), "gate"], map(cells, rows)
    )
