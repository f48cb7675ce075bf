"""Prints the pipeline's model beside baselines: one table a dataset and split, all ranked by the same rules.

    .venv/bin/python -m benchmarks.compare --data path/to/ml-1m.zip --split leave_one_out
    .venv/bin/python -m benchmarks.compare --data ml-100k --config configs/cnn.yaml --listing --shuffle-ties 1 2 3

Everything is chosen on the eval split and reported on the test split. `benchmarks/README.md` says what is printed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path

from benchmarks import inputs
from data.errors import DataError
from data.formats import open_dataset
from pipeline.config import ConfigError, load_config
from pipeline.console import quiet

EXIT_FAILED, EXIT_USAGE = 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Compare and print; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        values = inputs.overrides(options.set)
        splits = inputs.SPLITS if options.split == "both" else (options.split,)
        configs = {
            split: [load_config(path, {**values, "example_gen.split": split}) for path in options.config or [None]]
            for split in splits
        }
        data = [inputs.find_data(name, options.cache_dir) for name in options.data]
        for path in data:
            open_dataset(path, options.cache_dir)
    except (ConfigError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    with tempfile.TemporaryDirectory() as scratch:
        output = (options.output or Path(scratch)).resolve()
        with quiet(output / "compare.log") as console:
            # Imported only now: TensorFlow and TFX greet people, and mistakes are answered before.
            from benchmarks.comparison import Bench, report
            from pipeline.local_execution import StepFailed

            reports = []
            try:
                for path, split in itertools.product(data, splits):
                    found = report(
                        path,
                        split,
                        configs[split],
                        Bench(output, options.cache_dir, console),
                        models=not options.no_model,
                        listed=options.listing,
                        seeds=options.shuffle_ties,
                        models_anew=options.models and not options.no_model,
                    )
                    reports.append(found)
            except (DataError, StepFailed) as error:
                console.print(f"error: {error}", soft_wrap=True)
                return EXIT_FAILED
    if options.json:
        options.json.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", required=True, metavar="PATH|NAME", help="ratings; may be repeated")
    parser.add_argument("--split", choices=[*inputs.SPLITS, "both"], default="both", help="default: both")
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        metavar="FILE",
        help="a model; may be repeated (default: the pipeline's)",
    )
    parser.add_argument("--no-model", action="store_true", help="baselines alone")
    parser.add_argument("--listing", action="store_true", help="how much the site's listing order explains")
    parser.add_argument(
        "--shuffle-ties", type=int, nargs="+", default=[], metavar="SEED", help="repeat with ties in time shuffled"
    )
    parser.add_argument("--models", action="store_true", help="with --shuffle-ties: train the models anew too")
    inputs.add_common(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
