"""Compile the pipeline for a cluster, send it there, and operate it: KFP 2 YAML for Kubeflow, a PipelineJob for Vertex.

Without a command, the pipeline is compiled. The other commands ask the engine.
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
from pipeline.deployment import Engine, complaints
from pipeline.options import OPTIONS, Option, add_options, read_options
from pipeline.parameters import PARAMETERS, parse

EXIT_OK, EXIT_FAILED = 0, 1
ENDINGS: dict[Engine, str] = {"kubeflow": ".yaml", "vertex": ".json"}
COMPILE, RUNS, SCHEDULES, WAIT = "compile", "runs", "schedules", "wait"
CHANGES = ("pause", "resume", "delete")
COMMANDS = {
    COMPILE: "compile, and send with --submit (default)",
    RUNS: "list the newest runs of the pipeline",
    SCHEDULES: "list its schedules",
    **{change: f"{change} its schedules" for change in CHANGES},
    WAIT: "follow a run, the newest one by default, to its end",
}

RUNNER_OPTIONS = {
    **OPTIONS,
    "image": Option("deployment.image", "container image that holds this project and its dependencies", metavar="NAME"),
    "pipeline-root": Option("deployment.pipeline_root", "where artifacts are kept", metavar="URI"),
    "data": Option("deployment.data", "log as the containers see it; the default of `--param data`", metavar="URI"),
    "serving-dir": Option("deployment.serving_dir", "where models are pushed to", metavar="URI"),
    "project-dir": Option("deployment.project_dir", "folder of this project in the image", metavar="PATH"),
    "service-account": Option("deployment.service_account", "that the steps run as", metavar="NAME"),
    "host": Option("deployment.host", "address of Kubeflow Pipelines", metavar="URL"),
    "namespace": Option("deployment.namespace", "of a Kubeflow that many share", metavar="NAME"),
    "project": Option("deployment.project", "of Google Cloud, for Vertex", metavar="ID"),
    "region": Option("deployment.region", "of Google Cloud, for Vertex", metavar="NAME"),
}


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        cache = {"deployment.cache": True} if options.cache else {}
        config = load_config(options.config, {**cache, **read_options(options, RUNNER_OPTIONS)})
        if options.command == COMPILE:
            return _compile(options, config)
        if options.run and options.command != WAIT:
            raise ConfigError(f"{options.command} {options.run}: only `wait` takes a run; --name chooses the pipeline")
        return _operate(options, config, connect(config.deployment, options.engine))
    except (ConfigError, EngineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED


def _compile(options: argparse.Namespace, config: PipelineConfig) -> int:
    if config.beam.runner != "local":
        raise ConfigError(f"beam.runner {config.beam.runner}: for local_runner.py; a cluster takes deployment.beam")
    if found := complaints(config.deployment, options.engine, config.name):
        raise ConfigError("; ".join(found))
    output = _output(options, config)
    check_schedule(config, options.engine, options.cron, options.time_zone)
    client = None
    if options.submit or options.dry_run:
        client = connect(config.deployment, options.engine)
        parameters = parse(options.param, config)
        if not options.dry_run:
            client.check()
    for flag in ("param", "cron"):
        if getattr(options, flag) and client is None:
            raise ConfigError(f"--{flag} is for --submit: it says how to run, and changes nothing that is compiled")
    if options.wait and (not options.submit or options.cron):
        raise ConfigError("--wait is for --submit of a run: there is nothing else to wait for")
    with (
        tempfile.TemporaryDirectory() as scratch,
        quiet(None if options.verbose else Path(scratch) / "compilation.log") as console,
    ):
        with console.status("compiling"):
            # Imported only now: TFX takes seconds, and every mistake of a person is answered before.
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
            raise ConfigError(f"wait: there is no run of {config.name}")
        return EXIT_OK if follow(client, runs[0], outcomes_in(config.deployment, config.name), console) else EXIT_FAILED
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kubeflow_runner.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n"
        + "".join(f"  {name:<10} {words}\n" for name, words in COMMANDS.items())
        + "\nexit codes: 0 done, 1 the cluster cannot be reached or refused, or the run that was followed failed, "
        "2 wrong option or\nconfiguration",
    )
    parser.add_argument("command", nargs="?", choices=list(COMMANDS), default=COMPILE, metavar="COMMAND")
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="id of the run that `wait` follows")
    parser.add_argument("--engine", choices=list(ENDINGS), required=True, help="what the file is for")
    parser.add_argument("--config", type=path, metavar="FILE", help="YAML configuration, such as configs/cnn.yaml")
    parser.add_argument("--output", type=path, metavar="FILE", help="compiled file (default: the pipeline's name)")
    parser.add_argument("--verbose", action="store_true", help="show the logs of TFX")
    add_options(parser, RUNNER_OPTIONS, "deployment.resources.Trainer.memory=16Gi or trainer.dropout=0.1")
    parser.add_argument("--cache", action="store_true", help="take results of earlier runs (deployment.cache)")
    sending = parser.add_argument_group("sending")
    sending.add_argument("--submit", action="store_true", help="start a run")
    sending.add_argument("--wait", action="store_true", help="follow the run that --submit starts to its end")
    sending.add_argument("--dry-run", action="store_true", help="compile, and print what --submit would send")
    sending.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"another value for this run: {', '.join(PARAMETERS)}",
    )
    sending.add_argument(
        "--cron",
        default="",
        metavar="FIELDS",
        help="start runs by a schedule, such as '0 3 * * *', in place of the pipeline's earlier one",
    )
    sending.add_argument("--time-zone", default="", metavar="ZONE", help="of --cron, on Vertex: such as Europe/Berlin")
    return parser


def _output(options: argparse.Namespace, config: PipelineConfig) -> Path:
    ending = ENDINGS[options.engine]
    output: Path = (options.output or Path(f"{config.name}{ending}")).resolve()
    if output.suffix != ending:
        raise ConfigError(f"--output {options.output}: a file for {options.engine} ends in {ending}")
    if not output.parent.is_dir():
        raise ConfigError(f"--output {options.output}: there is no folder {output.parent}")
    return output


def _short(commit: str) -> str:
    """Returns the first letters of a commit, with the mark of changes."""
    name, _, changes = commit.partition("+")
    return name[:8] + (f"+{changes}" if changes else "")


if __name__ == "__main__":
    exit_code = main()
    gc.freeze()  # Python would spend two seconds on looking for garbage in TensorFlow before it ends.
    sys.exit(exit_code)
