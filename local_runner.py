"""Runs the pipeline on this machine, from an interaction log to a checked TFLite recommender."""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import sys
import time
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from components.pusher.store import StoreError, check_writable
from data.dataset import fingerprint
from data.describe import describe
from data.errors import DataError
from data.files import is_uri
from data.formats import open_dataset
from data.quick_check import quick_check
from data.registry import DATASETS, fetch
from on_device.command_line import EXIT_INTERRUPTED, EXIT_USAGE, command_line, default_cache_dir, path, path_or_url
from pipeline.beam_runners import find_problems
from pipeline.config import ConfigError, PipelineConfig, check_literal, folder_name, load_config
from pipeline.console import ConsoleObserver, quiet, show_line
from pipeline.options import OPTIONS, Option, add_options, read_options
from pipeline.run_lock import RunLocked, run_lock
from pipeline.steps import REFIT, REFIT_TRANSFORM, STEPS, TEACHER, TUNER, WARM_START, first_of

EXIT_CODES = {
    "pushed": 0,
    "failed": 1,
    "not blessed": 3,
    "stopped before the push": 4,
    "interrupted": EXIT_INTERRUPTED,
}
RESUME = "run again to resume"
DEFAULT_DATASET = "ml-1m"

RUNNER_OPTIONS = {
    **OPTIONS,
    "beam": Option("beam.runner", "where the steps on Beam run: local, flink or dataflow; see docs/beam_runners.md"),
}
# How to enable the optional steps.
ENABLED_BY = {
    TUNER: "--set tuner.enabled=true",
    WARM_START: "--set trainer.warm_start=true",
    TEACHER: "a section teacher, as in configs/distilled.yaml",
    REFIT_TRANSFORM: "--set refit=true",
    REFIT: "--set refit=true",
}


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Runs the pipeline and returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = load_config(options.config, read_options(options, RUNNER_OPTIONS))
        _check_nodes(options, config)
        if options.describe:
            data = _find_data(options, config)
            print(describe(open_dataset(data, options.cache_dir, config.reading), config.reading))
            return 0
        if problems := find_problems(config.beam):
            raise ConfigError("; ".join(problems))
        check_writable(options.serving_dir)
        check_writable(options.output)
        check_literal(options.output.resolve(), "--output")
        if options.json:
            check_writable(options.json.parent)
        data = _find_data(options, config)
        dataset = open_dataset(data, options.cache_dir, config.reading)
        data_fingerprint = fingerprint(dataset)
        if "name" not in config.model_fields_set and not dataset.log.movielens:
            config = config.model_copy(update={"name": folder_name(dataset.name)})
    except (ConfigError, DataError, StoreError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    try:
        with run_lock(options.output.resolve() / config.name):
            return _run(options, config, data, data_fingerprint, options.serving_dir.resolve())
    except RunLocked as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print(f"interrupted; {RESUME}", file=sys.stderr)
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="local_runner.py",
        description=__doc__,
        epilog="exit codes: 0 pushed, 1 failed, 2 wrong option, configuration or data path, 3 not blessed, "
        "4 stopped before the push by --to-node, 130 interrupted",
    )
    parser.add_argument(
        "--data",
        type=path_or_url,
        metavar="PATH|NAME",
        help="path, pattern or URI of an interaction log in CSV, JSON Lines or Parquet, or of a zip or folder; or "
        f"one of {', '.join(DATASETS)} (default: {DEFAULT_DATASET}, or other data if it cannot be downloaded)",
    )
    parser.add_argument("--config", type=path, metavar="FILE", help="YAML configuration, such as configs/cnn.yaml")
    parser.add_argument(
        "--describe",
        action="store_true",
        help="show how the data is read and the configuration section that declares it, without a run",
    )
    add_options(parser, RUNNER_OPTIONS, "trainer.dropout=0.1")
    running = parser.add_argument_group("running")
    running.add_argument("--from-node", metavar="STEP", help=f"start at a step: {', '.join(STEPS)}")
    running.add_argument("--to-node", metavar="STEP", help="end with a step")
    running.add_argument("--no-cache", action="store_true", help="run every step, without results of earlier runs")
    running.add_argument("--verbose", action="store_true", help="show the logs of TensorFlow and TFX")
    places = parser.add_argument_group("folders and files")
    places.add_argument("--output", type=path, default=Path("output"), help="artifacts and metadata (default: output)")
    places.add_argument(
        "--serving-dir", type=path, default=Path("serving_models"), help="pushed models (default: serving_models)"
    )
    places.add_argument("--cache-dir", type=path, default=default_cache_dir(), help="downloads (default: %(default)s)")
    places.add_argument("--json", type=path, metavar="FILE", help="write the summary of the run as JSON")
    return parser


def _check_nodes(options: argparse.Namespace, config: PipelineConfig) -> None:
    for flag, name in (("--from-node", options.from_node), ("--to-node", options.to_node)):
        if name is not None and name not in STEPS:
            raise ConfigError(f"{flag} {name}: no such step; the steps are {', '.join(STEPS)}")
        if name is not None and name not in config.steps():
            raise ConfigError(f"{flag} {name}: the step is not enabled; add {ENABLED_BY[name]}")
    if options.from_node and options.to_node and STEPS.index(options.from_node) > STEPS.index(options.to_node):
        raise ConfigError(f"--from-node {options.from_node} comes after --to-node {options.to_node}")


def _find_data(options: argparse.Namespace, config: PipelineConfig) -> str:
    """Returns the checked path or URI of the data; downloads a published dataset."""
    data = DEFAULT_DATASET if options.data is None else str(options.data)
    if data in DATASETS and not Path(data).exists():
        say = functools.partial(print, flush=True)
        data = str(fetch(data, options.cache_dir, say, or_another=options.data is None))
    quick_check(data, config.example_gen.max_bad_rows, config.reading)
    return data if is_uri(data) else os.path.abspath(data)


def _run(
    options: argparse.Namespace, config: PipelineConfig, data: str, data_fingerprint: str, serving_root: Path
) -> int:
    started, code = time.monotonic(), None
    output = options.output.resolve() / config.name
    log_file = None if options.verbose else output / "logs" / f"{datetime.now():%Y%m%d-%H%M%S}.log"
    with quiet(log_file) as console:
        show_line(console, config.name, f"{data} -> {serving_root / config.name}", style="bold")
        with console.status("starting TensorFlow and TFX"):
            # These imports take seconds; errors of the user have been reported before.
            from pipeline import local_execution
            from pipeline.local_pipeline import catalogue_problem, create_local_pipeline, is_stale
            from pipeline.summary import summarise
            from pipeline.summary_console import show

            pipeline = create_local_pipeline(
                config,
                data,
                data_fingerprint,
                output,
                serving_root,
                options.cache_dir,
                enable_cache=not options.no_cache,
            )
        try:
            results = local_execution.run(
                pipeline,
                ConsoleObserver(console),
                from_nodes=[first_of(options.from_node, config.steps())] if options.from_node else [],
                to_nodes=[options.to_node] if options.to_node else [],
                is_stale=is_stale,
                find_problem=functools.partial(catalogue_problem, config),
            )
        except (local_execution.StepFailed, local_execution.Interrupted) as stopped:
            if isinstance(stopped, local_execution.StepFailed) and stopped.is_usage:
                code = EXIT_USAGE
            summary = summarise(stopped.results, time.monotonic() - started, stopped)
            page = _write_report(output, config, summary, console)
            if isinstance(stopped, local_execution.StepFailed):
                show_line(console, "error:", stopped.message, style="red")
            else:
                show_line(console, "interrupted", f"in {stopped.step}; {RESUME}")
            if page:
                show_line(console, "report:", str(page))
            if log_file:
                show_line(console, "log:", str(log_file))
        else:
            summary = summarise(results, time.monotonic() - started)
            page = _write_report(output, config, summary, console)
            show(summary, console, log_file, page)
    gc.collect()  # TensorFlow prints warnings about loaded models that still exist when Python ends.
    if options.json:
        options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return EXIT_CODES[summary["outcome"]] if code is None else code


def _write_report(output: Path, config: PipelineConfig, summary: dict[str, Any], console: Console) -> Path | None:
    """Writes the report page of the run and returns its path; if it cannot be written, warns and returns None."""
    page = output / "report.html"
    try:
        from report import write_report

        write_report(page, summary, config.model_dump(mode="json"), output / "metadata.db")
    except Exception as error:
        traceback.print_exc()  # Into the log, if there is one.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        show_line(console, "warning:", f"{page} could not be written: {reason}", style="yellow")
        return None
    return page


if __name__ == "__main__":
    exit_code = main()
    gc.freeze()  # Otherwise Python searches TensorFlow's objects for garbage at its end, which takes two seconds.
    sys.exit(exit_code)
