"""What came of a run: for a person, and as JSON for machines."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tfx.dsl.io import fileio
from tfx.utils import path_utils

from components.evaluation import ERROR, MARKOV, POPULARITY, read_metrics
from components.evaluator.gate import read_conditions, read_verdict
from components.example_validator.results import read_drift
from components.hyperparameters import in_words
from components.pusher.rollback import open_store
from components.tuner.results import read_results
from on_device.artifact import INFO, open_artifact
from pipeline import steps
from pipeline.console import duration, show_line
from pipeline.local_execution import Interrupted, StepFailed, StepResult

TITLES = {
    "recall_at_1": "Recall@1",
    "recall_at_5": "Recall@5",
    "recall_at_10": "Recall@10",
    "recall_at_50": "Recall@50",
    "ndcg_at_10": "NDCG@10",
    "mrr": "MRR",
    "coverage_at_10": "Coverage@10",
}
RANKED = {"model": "", "popularity": POPULARITY, "markov": MARKOV}  # prefixes of their metrics
PUSHED, NOT_BLESSED, STOPPED_EARLY = "pushed", "not blessed", "stopped before the push"
FAILED, INTERRUPTED = "failed", "interrupted"
MUCH_UNREACHABLE = 0.2  # of all targets
TOLD = (
    "encoder",
    "parameters",
    "recommends_seen",
    "history",
    "best_epoch",
    "out_of_time",
    "device",
)  # of the model's facts
TITLE_WIDTH = 10  # columns before the text of a line
PROJECT = Path(__file__).parent.parent


def summarise(
    results: list[StepResult], seconds: float, stopped: StepFailed | Interrupted | None = None
) -> dict[str, Any]:
    """Collect what the steps of a run left.

    Args:
        results: of the steps that ran.
        seconds: wall time of the run.
        stopped: what ended it within a step, where something did.

    Returns:
        `outcome` (one of PUSHED, NOT_BLESSED, STOPPED_EARLY, FAILED, INTERRUPTED), of the last two `step`, of a failure
    `error`, `seconds`, `steps`, and where the steps ran `data`, `drift` (see `read_drift`), `tuner` (see
    `read_results`), `training` (`history`, by epoch, and `best_epoch`), `teaching` (the same of the teacher), `metrics`
    (`model`, `popularity`, `markov`, the `standard_errors` of these three, `unreachable`, the share of targets that
    cannot be returned, and, by `feature:value`, `slices`), `gate`, `artifact` and `served`, the version that `latest`
    names.
    """
    outputs = {result.name: result.outputs for result in results}
    summary: dict[str, Any] = {
        "outcome": STOPPED_EARLY,
        "seconds": round(seconds, 1),
        "steps": {result.name: {"cached": result.cached, "seconds": round(result.seconds, 1)} for result in results},
    }
    if catalog := _uri(outputs, steps.EXAMPLE_GEN, "catalog"):
        summary["data"] = _read_json(catalog, "dataset.json")
    if anomalies := _uri(outputs, steps.EXAMPLE_VALIDATOR, "anomalies"):
        summary["drift"] = read_drift(anomalies)
    if hyperparameters := _uri(outputs, steps.TUNER, "best_hyperparameters"):
        summary["tuner"] = read_results(hyperparameters, _uri(outputs, steps.TUNER, "tuner_results"))
    for key, step in {"teaching": steps.TEACHER, "training": steps.TRAINER}.items():
        if model := _uri(outputs, step, "model"):
            facts = _read_json(path_utils.serving_model_path(model), "model_facts.json")
            summary[key] = {name: facts[name] for name in TOLD if name in facts}
    if evaluation := _uri(outputs, steps.EVALUATOR, "evaluation"):
        found = read_metrics(evaluation)
        metrics = found["overall"]
        summary["metrics"] = {
            **{whose: {name: metrics[f"{prefix}{name}"] for name in TITLES} for whose, prefix in RANKED.items()},
            "standard_errors": {
                whose: {
                    name: metrics[f"{prefix}{name}{ERROR}"] for name in TITLES if f"{prefix}{name}{ERROR}" in metrics
                }
                for whose, prefix in RANKED.items()
            },
            "examples": int(metrics["example_count"]),
            "unreachable": metrics.get("unreachable"),
            "slices": found["slices"],
        }
        verdict = read_verdict(evaluation)
        summary["gate"] = {
            "blessed": verdict.blessed,
            "reasons": list(verdict.reasons),
            "conditions": [dataclasses.asdict(condition) for condition in read_conditions(evaluation)],
        }
        if not verdict.blessed:
            summary["outcome"] = NOT_BLESSED
    if pushed := outputs.get(steps.PUSHER, {}).get("pushed_model"):
        properties = pushed[0].custom_properties
        if properties["pushed"].int_value:
            folder, version = os.path.split(properties["pushed_destination"].string_value)
            store = open_store(*os.path.split(folder), create=False)
            summary["outcome"] = PUSHED
            summary["artifact"] = {"path": f"{folder}/{version}", **json.loads(store.read(version, INFO))}
            summary["served"] = store.latest()
    if isinstance(stopped, StepFailed):
        summary |= {"outcome": FAILED, "step": stopped.step, "error": stopped.message}
    elif stopped:
        summary |= {"outcome": INTERRUPTED, "step": stopped.step}
    return summary


def show(summary: dict[str, Any], console: Console, log_file: Path | None, report: Path | None) -> None:
    """Print a summary; `report` is a page that tells more."""
    line = functools.partial(show_line, console, style="bold", width=TITLE_WIDTH)
    console.print()
    if data := summary.get("data"):
        line(
            "Data",
            f"{data['name']}: {data['ratings']:,} interactions, {data['users']:,} users, {data['items']:,} items"
            f"{_leavings(data)}",
        )
    if (drift := summary.get("drift")) and drift["compared_with"]:
        line("Drift", _drift(drift))
    if tuner := summary.get("tuner"):
        line(
            "Tuned",
            f"{in_words(tuner['chosen'])}: the best of {len(tuner['trials'])} trials, "
            f"eval Recall@10 {tuner['recall_at_10']:.4f}",
        )
    for title, key in {"Teacher": "teaching", "Training": "training"}.items():
        if (training := summary.get(key)) and training.get("device"):
            history = training["history"]
            line(
                title,
                f"{len(history)} epochs in {duration(history[-1]['seconds'])} on {training['device']}; epoch "
                f"{training['best_epoch']} was best{_eval_recall(training)}",
            )
    if "metrics" in summary:
        examples = summary["metrics"]["examples"]
        line(
            "Quality",
            f"{examples:,} targets of the test split{repeated(summary)}, ranked among all items{unreachable(summary)}",
        )
        console.print(_metrics_table(summary))
    if gate := summary.get("gate"):
        line("Gate", f"{'blessed' if gate['blessed'] else 'not blessed'}: {'; '.join(gate['reasons'])}{_late(summary)}")
    if artifact := summary.get("artifact"):
        model = Path(artifact["path"]) / "model.tflite"
        line(
            "Artifact",
            f"{model}  version {artifact['version']}, {artifact['size_bytes'] / 1e6:.2f} MB "
            f"{artifact['precision']}, {artifact['latency_us']:,.0f} µs an answer, "
            f"{artifact['agreement_at_10']:.2%} of the SavedModel's top 10",
        )
        if artifact.get("refit"):
            line("Refit", refit_in_words(artifact))
        if summary["served"] != artifact["version"]:
            line(
                "Served",
                f"version {summary['served']}, as `python -m components.pusher list` tells; "
                f"`rollback --to {artifact['version']}` serves this one",
            )
    line("Time", duration(summary["seconds"]))
    if report is not None:
        line("Report", str(report))
    if log_file is not None:
        line("Log", str(log_file))
    line("Next", _next_step(summary))


def _uri(outputs: dict[str, Any], step: str, name: str) -> str:
    """Where an output lies, on any file system that TFX knows; empty where there is none."""
    artifacts = outputs.get(step, {}).get(name)
    return artifacts[0].uri if artifacts else ""


def _read_json(folder: str, name: str) -> Any:
    with fileio.open(os.path.join(folder, name)) as stream:
        return json.loads(stream.read())


def repeated(summary: dict[str, Any]) -> str:
    """Returns which share of the targets are items that the user had before, after a comma; empty where none is."""
    count = summary.get("data", {}).get("repeated_targets", 0)
    return f", {count / summary['metrics']['examples']:.1%} of them repeats" if count else ""


def unreachable(summary: dict[str, Any]) -> str:
    """Returns how many targets cannot be returned, and why, after a semicolon; empty where all can be."""
    metrics, data = summary["metrics"], summary.get("data", {})
    count = round((metrics.get("unreachable") or 0) * metrics["examples"])
    if not count:
        return ""
    recommends_seen = summary.get("training", {}).get("recommends_seen")
    repeated = 0 if recommends_seen else min(data.get("repeated_targets", 0), count)
    reasons = {"repeat an item of their history": repeated, "are of items that training did not see": count - repeated}
    words = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items() if number)
    return f"; {count:,} of them ({count / metrics['examples']:.1%}) are out of reach: {words}"


def refit_in_words(artifact: dict[str, Any]) -> str:
    """Returns what the refit added to the pushed model, and whose the figures are."""
    refit = artifact["refit"]
    items = artifact["num_items"] - refit["evaluated_num_items"]
    return (
        f"after the gate, the model was fitted on all {refit['trained_on']:,} interactions, "
        f"{refit['trained_on'] - refit['evaluated_trained_on']:,} more than before, and knows {items:,} more items; "
        f"{duration(refit['seconds'])}. The figures of quality are of the model before the refit"
    )


def _eval_recall(training: dict[str, Any]) -> str:
    recall = training["history"][training["best_epoch"] - 1].get("recall_at_10")
    return "" if recall is None else f", eval Recall@10 {recall:.4f}"


def _late(summary: dict[str, Any]) -> str:
    """Returns a warning, after a semicolon, where the clock ended the fit."""
    training = summary.get("training", {})
    if not training.get("out_of_time"):
        return ""
    return (
        f"; trainer.max_minutes ended the fit in epoch {len(training['history'])}: a faster machine would have made "
        "another model"
    )


def _leavings(data: dict[str, Any]) -> str:
    parts = {
        "duplicates dropped": data["duplicates"],
        "repeats dropped": data.get("dropped_repeats", 0),
        "interactions of other kinds left out": data.get("other_events", 0),
        "bad rows skipped": len(data["bad_rows"]),
        "users with too few interactions left out": data["short_users"],
        "items without a title": data["unknown_items"],
    }
    return "".join(f"; {count:,} {what}" for what, count in parts.items() if count)


def _drift(drift: dict[str, Any]) -> str:
    warnings = [one["words"] for one in drift["measures"] if one["level"] != "ok"]
    if warnings:
        return f"since the last run's data: {'; '.join(warnings)}"
    return f"within all limits, compared with the last run's data ({drift['compared_with']['fingerprint'][:12]})"


def _metrics_table(summary: dict[str, Any]) -> Table:
    metrics = summary["metrics"]
    table = Table()
    table.add_column("")
    columns = {"model": "model", "popularity": "popularity", "Markov": "markov"}  # within 80 characters
    cells = [[_with_error(metrics, whose, name) for whose in columns.values()] for name in TITLES]
    if artifact := summary.get("artifact"):
        columns["file"] = "tflite"
        for row, name in zip(cells, TITLES, strict=True):
            row.append(f"{artifact['metrics']['tflite'][name]:.4f}")
    for column in columns:
        table.add_column(column, justify="right")
    for title, row in zip(TITLES.values(), cells, strict=True):
        table.add_row(title, *row)
    return table


def _with_error(metrics: dict[str, Any], whose: str, name: str) -> str:
    """A metric and, where it has one, its standard error."""
    error = metrics["standard_errors"][whose].get(name)
    return f"{metrics[whose][name]:.4f}" + ("" if error is None else f" ±{error:.4f}")


def _next_step(summary: dict[str, Any]) -> str:
    if summary["outcome"] == PUSHED:
        return _command(Path(summary["artifact"]["path"]))
    if summary["outcome"] == NOT_BLESSED:
        advice = "train longer (--max-epochs), or see `gate` in the configuration"
        if (summary["metrics"].get("unreachable") or 0) > MUCH_UNREACHABLE:
            advice = f"no model can return the targets that are out of reach, so training longer helps little; {advice}"
        return f"earlier pushes stay as they are; {advice}"
    return "run again without --to-node to push a model"


def _command(version: Path) -> str:
    """The command that asks a pushed version for recommendations, as a shell takes it."""
    title = open_artifact(version).items[0].title
    program, here = sys.executable, Path.cwd()
    if Path(program).is_relative_to(here):
        program = os.path.relpath(program)
    command = [program, "-m", "on_device", "recommend", "--model", str(version.parent), "--", title]
    there = "" if here == PROJECT else f"cd {shlex.quote(str(PROJECT))} && "
    return there + shlex.join(command)
