"""Writes docs/results.md: the pipeline's models beside baselines and peers, on several logs.

    .venv/bin/python -m benchmarks.results --ml-1m ml-1m.zip --beauty amazon-beauty.zip --clicks clicks.zip \
        --ml-100k ml-100k --output output/results

What is finished lies in `--output`: a call that was interrupted goes on. Everything is chosen on the eval split and
reported on the test split. `benchmarks/README.md` says how to read the page.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import inputs, program
from benchmarks.studies import STUDIES, Study
from pipeline.config import load_config

PAGE = Path("docs/results.md")


def main(arguments: list[str] | None = None) -> int:
    """Trains what is missing and writes the page; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> list[tuple[Study, Path]]:
        named = {study: getattr(options, study.option) for study in STUDIES}
        for study in named:
            for path in study.configs.values():
                load_config(path, study.overrides)
        return [(study, inputs.find_data(name, options.cache_dir)) for study, name in named.items() if name]

    def work(asked: list[tuple[Study, Path]], output: Path, console: Console) -> None:
        from benchmarks.results_page import page
        from benchmarks.study_runs import Runs

        done = []
        for study, data in asked:
            runs = Runs(study, data, output, options.cache_dir, console)
            done.append(runs.run(options.seeds, peers=not options.no_peers, models=options.models))
            options.page.write_text(page(done), encoding="utf-8")
            console.print(f"{study.title}: written to {options.page}")

    return program.run(options, "results", read, work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for study in STUDIES:
        parser.add_argument(f"--{study.key}", metavar="PATH|NAME", help=f"{study.title}: {study.of}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the models (default: 1 2 3)")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="fit no others (default: all), and the default")
    parser.add_argument("--no-peers", action="store_true", help="without RecTools, whose environment takes gigabytes")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="(default: %(default)s)")
    inputs.add_common(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
