"""Prints the summary of a run."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from components.evaluation import METRICS
from components.hyperparameters import in_words
from lineage import facts
from on_device.artifact import open_artifact
from pipeline.console import duration, show_line
from pipeline.summary import NOT_BLESSED, PUSHED, left_out_of, refit_in_words, repeated, unreachable

MUCH_UNREACHABLE = 0.2  # of all targets
TITLE_WIDTH = 10  # columns before the text of a line
PROJECT = Path(__file__).parent.parent


def show(summary: dict[str, Any], console: Console, log_file: Path | None, report: Path | None) -> None:
    """Prints a summary, with the paths of the log and of the report page."""
    line = functools.partial(show_line, console, style="bold", width=TITLE_WIDTH)
    console.print()
    if data := summary.get("data"):
        counts = f"{data['ratings']:,} interactions, {data['users']:,} users, {data['items']:,} items"
        line("Data", f"{data['name']}: {'; '.join([counts, *left_out_of(data)])}")
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
        verdict = "blessed" if gate["blessed"] else "not blessed"
        line("Gate", f"{verdict}: {'; '.join(gate['reasons'])}{_out_of_time(summary)}")
    if artifact := summary.get("artifact"):
        model = Path(artifact["path"]) / "model.tflite"
        line(
            "Artifact",
            f"{model}  version {artifact['version']}, {artifact['size_bytes'] / 1e6:.2f} MB "
            f"{artifact['precision']}, {artifact['latency_us']:,.0f} µs per answer, "
            f"{artifact['agreement_at_10']:.2%} of the SavedModel's top 10",
        )
        if artifact.get("refit"):
            line("Refit", refit_in_words(artifact))
        if summary["served"] != artifact["version"]:
            line(
                "Served",
                f"version {summary['served']}, see `python -m components.pusher list`; "
                f"`rollback --to {artifact['version']}` serves this one",
            )
    line("Time", duration(summary["seconds"]))
    if report is not None:
        line("Report", str(report))
    if log_file is not None:
        line("Log", str(log_file))
    line("Next", _next_step(summary))


def _drift(drift: dict[str, Any]) -> str:
    warnings = [measure["words"] for measure in drift["measures"] if measure["level"] != "ok"]
    if warnings:
        return f"since the last run's data: {'; '.join(warnings)}"
    return f"within all limits, compared with the last run's data ({drift['compared_with']['fingerprint'][:12]})"


def _eval_recall(training: dict[str, Any]) -> str:
    recall = training["history"][training["best_epoch"] - 1].get("recall_at_10")
    return "" if recall is None else f", eval Recall@10 {recall:.4f}"


def _out_of_time(summary: dict[str, Any]) -> str:
    """Returns a warning, after a semicolon, if the time limit ended the fit."""
    training = summary.get("training", {})
    if not training.get("out_of_time"):
        return ""
    return (
        f"; trainer.max_minutes ended the fit in epoch {len(training['history'])}: the model depends on the speed of "
        "the machine"
    )


def _metrics_table(summary: dict[str, Any]) -> Table:
    metrics = summary["metrics"]
    table = Table()
    table.add_column("")
    columns = {"model": "model", "popularity": "popularity", "Markov": "markov"}  # fits into 80 characters
    cells = [[_with_error(metrics, ranker, name) for ranker in columns.values()] for name in METRICS]
    if artifact := summary.get("artifact"):
        columns["file"] = "tflite"
        for row, name in zip(cells, METRICS, strict=True):
            row.append(f"{artifact['metrics']['tflite'][name]:.4f}")
    for column in columns:
        table.add_column(column, justify="right")
    for row, name in zip(cells, METRICS, strict=True):
        table.add_row(facts.METRICS[name], *row)
    return table


def _with_error(metrics: dict[str, Any], ranker: str, name: str) -> str:
    """Returns a metric and its standard error, if there is one."""
    error = metrics["standard_errors"][ranker].get(name)
    return f"{metrics[ranker][name]:.4f}" + ("" if error is None else f" ±{error:.4f}")


def _next_step(summary: dict[str, Any]) -> str:
    if summary["outcome"] == PUSHED:
        return _recommend_command(Path(summary["artifact"]["path"]))
    if summary["outcome"] == NOT_BLESSED:
        advice = "train longer (--max-epochs), or see `gate` in the configuration"
        if (summary["metrics"].get("unreachable") or 0) > MUCH_UNREACHABLE:
            advice = f"no model can return the targets that are out of reach, so training longer helps little; {advice}"
        return f"earlier pushes are unchanged; {advice}"
    return "run again without --to-node to push a model"


def _recommend_command(version: Path) -> str:
    """Returns the shell command that asks a pushed version for recommendations."""
    title = open_artifact(version).items[0].title
    program, folder = sys.executable, Path.cwd()
    if Path(program).is_relative_to(folder):
        program = os.path.relpath(program)
    command = [program, "-m", "on_device", "recommend", "--model", str(version.parent), "--", title]
    change_folder = "" if folder == PROJECT else f"cd {shlex.quote(str(PROJECT))} && "
    return change_folder + shlex.join(command)
