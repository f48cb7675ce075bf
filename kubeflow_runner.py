"""Compile the pipeline for a cluster: a PipelineJob for Vertex AI Pipelines, or YAML for Kubeflow Pipelines 2."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.config import ConfigError, PipelineConfig, load_config
from pipeline.console import quiet

EXIT_OK, EXIT_USAGE = 0, 2
# What each engine takes: ending of the compiled file, and whether it is a pipeline spec of version 2.1.
ENGINES = {"kubeflow": (".yaml", True), "vertex": (".json", False)}


def main(arguments: list[str] | None = None) -> int:
    """Compile; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = load_config(options.config)
        ending, _ = ENGINES[options.engine]
        output = options.output or Path(f"{config.name}{ending}")
        if output.suffix != ending:
            raise ConfigError(f"--output {output}: a file for {options.engine} ends in {ending}")
        if not output.resolve().parent.is_dir():
            raise ConfigError(f"--output {output}: there is no folder {output.resolve().parent}")
        for flag, place in (("--pipeline-root", options.pipeline_root), ("--data", options.data)):
            if "://" not in place and not place.startswith("/"):
                raise ConfigError(f"{flag} {place}: expected a URI such as gs://bucket/folder, or an absolute path")
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    log_file = None if options.verbose else output.resolve().with_suffix(".log")
    with quiet(log_file) as console:
        with console.status("compiling"):
            _compile(options, config, output.resolve())
        console.print(f"compiled {config.name} for {options.engine}: {output}", soft_wrap=True)
    if log_file is not None:
        log_file.unlink()
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kubeflow_runner.py", description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, required=True, help="what the file is for")
    parser.add_argument("--image", required=True, help="container image that holds this project and its dependencies")
    parser.add_argument("--pipeline-root", required=True, metavar="URI", help="where artifacts are kept")
    parser.add_argument("--data", required=True, metavar="URI", help="ratings, as the containers see them")
    parser.add_argument(
        "--serving-dir", metavar="URI", help="where models are pushed to (default: PIPELINE_ROOT/serving_models)"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML configuration, such as configs/cnn.yaml")
    parser.add_argument("--output", type=Path, metavar="FILE", help="compiled file (default: the pipeline's name)")
    parser.add_argument(
        "--project-dir", default="/app", metavar="PATH", help="folder of this project in the image (default: /app)"
    )
    parser.add_argument("--no-cache", action="store_true", help="the engine runs every step, whatever ran before")
    parser.add_argument("--verbose", action="store_true", help="show the logs of TFX")
    return parser


def _compile(options: argparse.Namespace, config: PipelineConfig, output: Path) -> None:
    # Imported only now: TFX takes seconds, and every mistake of a person is answered before.
    from tfx import v1 as tfx

    from pipeline.pipeline import Places, create_pipeline

    places = Places(
        data=options.data,
        data_fingerprint="",
        cache_dir="/tmp/on-device-recommender",
        pipeline_root=options.pipeline_root,
        serving_root=options.serving_dir or f"{options.pipeline_root.rstrip('/')}/serving_models",
        schema=f"{options.project_dir}/data/schema.pbtxt",
    )
    runner_config = tfx.orchestration.experimental.KubeflowV2DagRunnerConfig(
        default_image=options.image,
        use_pipeline_spec_2_1=ENGINES[options.engine][1],
    )
    runner = tfx.orchestration.experimental.KubeflowV2DagRunner(
        config=runner_config, output_dir=str(output.parent), output_filename=output.name
    )
    pipeline = create_pipeline(
        config,
        places,
        enable_cache=not options.no_cache,
        baseline_strategy=tfx.dsl.experimental.LatestBlessedModelStrategy,
    )
    runner.run(pipeline, write_out=True)


if __name__ == "__main__":
    sys.exit(main())
