"""Writes docs/results.md: the pipeline's models beside baselines and peers, on several logs.

    .venv/bin/python -m benchmarks.results --ml-1m ml-1m.zip --beauty amazon-beauty.zip --clicks clicks.zip \
        --ml-100k ml-100k --output output/results

    .venv/bin/python -m benchmarks.results --data my_log.csv --split temporal --config configs/cnn.yaml --page my_log.md

The second form writes a page about another log. `--output` keeps each finished result, so that an interrupted call
continues. Everything is chosen on the eval split and reported on the test split. `benchmarks/README.md` explains the
page.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import inputs, program
from benchmarks.studies import STUDIES, Study
from pipeline.config import ConfigError, load_config, read_assignments

PAGE = Path("docs/results.md")


def main(arguments: list[str] | None = None) -> int:
    """Trains missing models and writes the page; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> list[tuple[Study, Path]]:
        names = {study: getattr(options, study.option) for study in STUDIES}
        if options.data:
            names[_own_study(options)] = options.data
        if options.data and options.page == PAGE:
            raise ConfigError("--data needs --page FILE: docs/results.md holds the project's own results")
        for study in names:
            for path in study.configs.values():
                load_config(path, study.overrides)
        return [(study, inputs.find_data(name, options.cache_dir)) for study, name in names.items() if name]

    def work(studies: list[tuple[Study, Path]], output: Path, console: Console) -> None:
        from benchmarks.results_page import page
        from benchmarks.study_runs import Runs

        results = []
        for study, data in studies:
            runs = Runs(study, data, output, options.cache_dir, console)
            results.append(
                runs.run(options.seeds, options.shuffle_ties, peers=not options.no_peers, models=options.models)
            )
            options.page.write_text(page(results), encoding="utf-8")
            console.print(f"{study.title}: written to {options.page}")

    return program.run(options, "results", read, work)


def _own_study(options: argparse.Namespace) -> Study:
    return Study(
        title=f"{Path(options.data).name}, {options.split}",
        key=Path(options.data).stem,
        about="a log of your own",
        split=options.split,
        settings=read_assignments(options.set),
        configs={"default": None, **{path.name: path for path in options.config}},
        ordered_by_site=bool(options.shuffle_ties),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for study in STUDIES:
        parser.add_argument(f"--{study.key}", metavar="PATH|NAME", help=f"{study.title}: {study.about}")
    parser.add_argument("--data", metavar="PATH|NAME", help="another log")
    parser.add_argument("--split", choices=inputs.SPLITS, default=inputs.SPLITS[0], help="of --data (%(default)s)")
    parser.add_argument("--config", type=Path, action="append", default=[], metavar="FILE", help="a model for --data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the models (default: 1 2 3)")
    parser.add_argument(
        "--shuffle-ties",
        type=int,
        nargs="+",
        default=[],
        metavar="SEED",
        help="also fit and test with interactions of the same time in random order, on logs whose site orders them",
    )
    parser.add_argument("--models", nargs="+", metavar="NAME", help="besides the default, fit only these")
    parser.add_argument("--no-peers", action="store_true", help="without other libraries, which take gigabytes")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="(default: %(default)s)")
    inputs.add_common(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
