"""Compile the pipeline for a cluster, and send it there: KFP 2 YAML for Kubeflow, a PipelineJob for Vertex AI."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from on_device.command_line import EXIT_USAGE, command_line, path
from pipeline.config import ConfigError, PipelineConfig, load_config, read_assignments
from pipeline.console import quiet, show_line
from pipeline.deployment import Engine, complaints
from pipeline.parameters import PARAMETERS, parse
from pipeline.submission import Request, SubmissionError, check_connection, make_request, send

EXIT_OK, EXIT_FAILED = 0, 1
ENDINGS: dict[Engine, str] = {"kubeflow": ".yaml", "vertex": ".json"}

# Options that override one key of the configuration's deployment.
OVERRIDES = {
    "image": ("NAME", "container image that holds this project and its dependencies"),
    "pipeline-root": ("URI", "where artifacts are kept"),
    "data": ("URI", "ratings as the containers see them; the default of the parameter `data`"),
    "serving-dir": ("URI", "where models are pushed to (default: PIPELINE_ROOT/serving_models)"),
    "project-dir": ("PATH", "folder of this project in the image (default: /app)"),
    "service-account": ("NAME", "that the steps run as"),
    "host": ("URL", "address of Kubeflow Pipelines"),
    "namespace": ("NAME", "of a Kubeflow that many share"),
    "project": ("ID", "of Google Cloud, for Vertex"),
    "region": ("NAME", "of Google Cloud, for Vertex"),
}


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Compile, and send if asked to; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = load_config(options.config, _overrides(options))
        if config.beam.runner != "local":
            raise ConfigError(f"beam.runner {config.beam.runner}: for local_runner.py; a cluster takes deployment.beam")
        if found := complaints(config.deployment, options.engine, config.name):
            raise ConfigError("; ".join(found))
        output = _output(options, config)
        request = None
        if options.submit or options.dry_run:
            request = make_request(config, options.engine, output, parse(options.param, config), options.cron)
            if not options.dry_run:
                check_connection(request)
        elif options.param or options.cron:
            flag = "--param" if options.param else "--cron"
            raise ConfigError(f"{flag} is for --submit: it says how to run, and changes nothing that is compiled")
    except (ConfigError, SubmissionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED
    with (
        tempfile.TemporaryDirectory() as scratch,
        quiet(None if options.verbose else Path(scratch) / "compilation.log") as console,
    ):
        with console.status("compiling"):
            # Imported only now: TFX takes seconds, and every mistake of a person is answered before.
            from pipeline.cluster import compile_pipeline

            output.write_text(compile_pipeline(config, options.engine), encoding="utf-8")
        if not options.dry_run:
            show_line(console, "compiled", f"{config.name} for {options.engine}: {options.output or output}")
    return _submit(request, options.dry_run) if request else EXIT_OK


def _submit(request: Request, dry_run: bool) -> int:
    if dry_run:
        print(json.dumps(dataclasses.asdict(request), indent=1))
        return EXIT_OK
    try:
        print(f"started: {send(request)}")
    except (ConfigError, SubmissionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kubeflow_runner.py",
        description=__doc__,
        epilog="exit codes: 0 compiled (and sent), 1 the cluster cannot be reached or refused, 2 wrong option or "
        "configuration",
    )
    parser.add_argument("--engine", choices=list(ENDINGS), required=True, help="what the file is for")
    parser.add_argument("--config", type=path, metavar="FILE", help="YAML configuration, such as configs/cnn.yaml")
    parser.add_argument("--output", type=path, metavar="FILE", help="compiled file (default: the pipeline's name)")
    parser.add_argument("--verbose", action="store_true", help="show the logs of TFX")
    overrides = parser.add_argument_group("overrides of the configuration's `deployment`")
    for name, (kind, words) in OVERRIDES.items():
        overrides.add_argument(f"--{name}", metavar=kind, help=words)
    overrides.add_argument("--cache", action="store_true", default=None, help="take results of earlier runs")
    overrides.add_argument("--name", metavar="NAME", help="of the pipeline")
    overrides.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any key, such as deployment.resources.Trainer.memory=16Gi or trainer.dropout=0.1",
    )
    sending = parser.add_argument_group("sending")
    sending.add_argument("--submit", action="store_true", help="start a run with the engine's own client")
    sending.add_argument("--dry-run", action="store_true", help="compile, and print what --submit would send")
    sending.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"another value for this run: {', '.join(PARAMETERS)}",
    )
    sending.add_argument("--cron", default="", metavar="FIELDS", help="start runs by a schedule, such as '0 3 * * *'")
    return parser


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    values = {}
    for name in (*OVERRIDES, "cache"):
        value = getattr(options, name.replace("-", "_"))
        if value is not None:
            values[f"deployment.{name.replace('-', '_')}"] = value
    if options.name is not None:
        values["name"] = options.name
    return {**values, **read_assignments(options.set)}


def _output(options: argparse.Namespace, config: PipelineConfig) -> Path:
    ending = ENDINGS[options.engine]
    output = (options.output or Path(f"{config.name}{ending}")).resolve()
    if output.suffix != ending:
        raise ConfigError(f"--output {options.output}: a file for {options.engine} ends in {ending}")
    if not output.parent.is_dir():
        raise ConfigError(f"--output {options.output}: there is no folder {output.parent}")
    return output


if __name__ == "__main__":
    sys.exit(main())
