"""Compiles the pipeline for Kubeflow Pipelines or Vertex AI, submits it, and manages its runs and schedules.

Without a command, the pipeline is compiled. The other commands call the engine.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import sys
import tempfile
from pathlib import Path

from cluster.engines import Client, EngineError, Submission, check_schedule
from cluster.operations import (
    change_schedules,
    connect,
    follow,
    outcomes_in,
    replace_schedule,
    show_runs,
    show_schedules,
)
from on_device.command_line import EXIT_USAGE, command_line, path
from pipeline.config import ConfigError, PipelineConfig, load_config
from pipeline.console import plain_console, quiet, show_line
from pipeline.deployment import Engine
from pipeline.deployment_checks import find_problems
from pipeline.options import OPTIONS, Option, add_options, read_options
from pipeline.parameters import PARAMETERS, parse

EXIT_OK, EXIT_FAILED = 0, 1
SUFFIXES: dict[Engine, str] = {"kubeflow": ".yaml", "vertex": ".json"}
COMPILE, RUNS, SCHEDULES, WAIT = "compile", "runs", "schedules", "wait"
CHANGES = ("pause", "resume", "delete")
COMMANDS = {
    COMPILE: "compile, and submit with --submit (default)",
    RUNS: "list the newest runs of the pipeline",
    SCHEDULES: "list its schedules",
    **{change: f"{change} its schedules" for change in CHANGES},
    WAIT: "follow a run to its end, by default the newest one",
}

RUNNER_OPTIONS = {
    **OPTIONS,
    "image": Option("deployment.image", "container image with this project and its dependencies", metavar="NAME"),
    "pipeline-root": Option("deployment.pipeline_root", "folder of the artifacts", metavar="URI"),
    "data": Option("deployment.data", "log as the containers see it; default of `--param data`", metavar="URI"),
    "serving-dir": Option("deployment.serving_dir", "folder that models are pushed to", metavar="URI"),
    "project-dir": Option("deployment.project_dir", "folder of this project in the image", metavar="PATH"),
    "service-account": Option("deployment.service_account", "account of the steps", metavar="NAME"),
    "host": Option("deployment.host", "URL of Kubeflow Pipelines", metavar="URL"),
    "namespace": Option("deployment.namespace", "namespace in a Kubeflow with several users", metavar="NAME"),
    "project": Option("deployment.project", "project of Google Cloud, for Vertex", metavar="ID"),
    "region": Option("deployment.region", "region of Google Cloud, for Vertex", metavar="NAME"),
}


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        cache = {"deployment.cache": True} if options.cache else {}
        config = load_config(options.config, {**cache, **read_options(options, RUNNER_OPTIONS)})
        if options.command == COMPILE:
            return _compile(options, config)
        if options.run and options.command != WAIT:
            raise ConfigError(f"{options.command} {options.run}: only `wait` takes a run; --name selects the pipeline")
        return _operate(options, config, connect(config.deployment, options.engine))
    except (ConfigError, EngineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED


def _compile(options: argparse.Namespace, config: PipelineConfig) -> int:
    if config.beam.runner != "local":
        raise ConfigError(
            f"beam.runner {config.beam.runner}: only for local_runner.py; on a cluster set deployment.beam"
        )
    if problems := find_problems(config.deployment, options.engine, config.name):
        raise ConfigError("; ".join(problems))
    output = _output_file(options, config)
    check_schedule(config, options.engine, options.cron, options.time_zone)
    client = None
    if options.submit or options.dry_run:
        client = connect(config.deployment, options.engine)
        parameters = parse(options.param, config)
        if not options.dry_run:
            client.check()
    for flag in ("param", "cron"):
        if getattr(options, flag) and client is None:
            raise ConfigError(f"--{flag} requires --submit: it applies to a run, not to the compiled file")
    if options.wait and (not options.submit or options.cron):
        raise ConfigError("--wait requires --submit without --cron: there is no other run to wait for")
    with (
        tempfile.TemporaryDirectory() as scratch,
        quiet(None if options.verbose else Path(scratch) / "compilation.log") as console,
    ):
        with console.status("compiling"):
            # These imports take seconds; errors of the user have been reported before.
            from cluster.compilation import compile_pipeline
            from components.code_version import code_version

            output.write_text(compile_pipeline(config, options.engine), encoding="utf-8")
        if not options.dry_run:
            show_line(console, "compiled", f"{config.name} for {options.engine}: {options.output or output}")
        run_name = f"{config.name} {datetime.datetime.now():%Y-%m-%d %H:%M} {_short(code_version())}"
    if client is None:
        return EXIT_OK
    submission = Submission(config.name, output, run_name, parameters, options.cron, options.time_zone)
    return _submit(options, config, client, submission)


def _submit(options: argparse.Namespace, config: PipelineConfig, client: Client, submission: Submission) -> int:
    console = plain_console()
    if options.dry_run:
        print(json.dumps(client.request(submission), indent=1, default=str))
        return EXIT_OK
    if submission.cron:
        replace_schedule(client, submission, console)
        return EXIT_OK
    run = client.start(submission)
    console.print(f"started: {run.name}  {run.page or run.id}", soft_wrap=True)
    if not options.wait:
        return EXIT_OK
    return EXIT_OK if follow(client, run, outcomes_in(config.deployment, config.name), console) else EXIT_FAILED


def _operate(options: argparse.Namespace, config: PipelineConfig, client: Client) -> int:
    console = plain_console()
    if options.command == RUNS:
        show_runs(client, config.name, console)
    elif options.command == SCHEDULES:
        show_schedules(client, config.name, console)
    elif options.command in CHANGES:
        change_schedules(client, config.name, options.command, console)
    else:
        runs = [client.run(options.run)] if options.run else client.runs(config.name, 1)
        if not runs:
            raise ConfigError(f"wait: {config.name} has no runs")
        return EXIT_OK if follow(client, runs[0], outcomes_in(config.deployment, config.name), console) else EXIT_FAILED
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kubeflow_runner.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n"
        + "".join(f"  {name:<10} {words}\n" for name, words in COMMANDS.items())
        + "\nexit codes: 0 done, 1 the cluster cannot be reached or refuses the request, or the followed run failed,\n"
        "2 wrong option or configuration",
    )
    parser.add_argument("command", nargs="?", choices=list(COMMANDS), default=COMPILE, metavar="COMMAND")
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="ID of the run that `wait` follows")
    parser.add_argument("--engine", choices=list(SUFFIXES), required=True, help="the engine that runs the pipeline")
    parser.add_argument("--config", type=path, metavar="FILE", help="YAML configuration, such as configs/cnn.yaml")
    parser.add_argument("--output", type=path, metavar="FILE", help="compiled file (default: named after the pipeline)")
    parser.add_argument("--verbose", action="store_true", help="show the logs of TFX")
    add_options(parser, RUNNER_OPTIONS, "deployment.resources.Trainer.memory=16Gi or trainer.dropout=0.1")
    parser.add_argument("--cache", action="store_true", help="reuse results of earlier runs (deployment.cache)")
    submission = parser.add_argument_group("submission")
    submission.add_argument("--submit", action="store_true", help="start a run")
    submission.add_argument("--wait", action="store_true", help="follow the run that --submit starts to its end")
    submission.add_argument("--dry-run", action="store_true", help="compile, and print the request of --submit")
    submission.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"parameter of this run: {', '.join(PARAMETERS)}",
    )
    submission.add_argument(
        "--cron",
        default="",
        metavar="FIELDS",
        help="start runs on a schedule, such as '0 3 * * *', which replaces the pipeline's earlier ones",
    )
    submission.add_argument(
        "--time-zone", default="", metavar="ZONE", help="time zone of --cron on Vertex, such as Europe/Berlin"
    )
    return parser


def _output_file(options: argparse.Namespace, config: PipelineConfig) -> Path:
    suffix = SUFFIXES[options.engine]
    output: Path = (options.output or Path(f"{config.name}{suffix}")).resolve()
    if output.suffix != suffix:
        raise ConfigError(f"--output {options.output}: a file for {options.engine} ends in {suffix}")
    if not output.parent.is_dir():
        raise ConfigError(f"--output {options.output}: the folder {output.parent} does not exist")
    return output


def _short(commit: str) -> str:
    """Returns the start of a commit ID, with its mark of changes."""
    name, _, changes = commit.partition("+")
    return name[:8] + (f"+{changes}" if changes else "")


if __name__ == "__main__":
    exit_code = main()
    gc.freeze()  # Otherwise Python searches TensorFlow's objects for garbage at its end, which takes two seconds.
    sys.exit(exit_code)
