"""Prints and plots Recall@10 of each encoder at several history lengths.

    .venv/bin/python -m benchmarks.recall_table --data path/to/ml-1m.zip --epochs 6 --json recall.json

The data steps run once; every encoder is then trained with its own settings, `configs/<encoder>.yaml`, and another
`history_length`. What is in the JSON file already is not computed again, so that an interrupted table goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from benchmarks import inputs, program
from pipeline.config import ConfigError, PipelineConfig, load_config

CONFIGS = Path(__file__).parent.parent / "configs"
ENCODERS = ("bow", "cnn", "lstm", "transformer")
LENGTHS = (5, 10, 20, 50, 200)


def main(arguments: list[str] | None = None) -> int:
    """Train, print and plot; returns the exit code."""
    options = _parser().parse_args(arguments)

    def read() -> tuple[Path, dict[tuple[str, int], PipelineConfig]]:
        values = {"example_gen.split": options.split}
        if options.epochs:
            values["trainer.max_epochs"] = options.epochs
        values.update(inputs.overrides(options.set))
        configs = {
            (encoder, length): cell_config(encoder, length, values)
            for encoder in options.encoders
            for length in sorted(options.lengths)
        }
        _check_same_data(list(configs.values()))
        return inputs.find_data(options.data, options.cache_dir), configs

    def work(asked: tuple[Path, dict[tuple[str, int], PipelineConfig]], output: Path, console: Console) -> None:
        from benchmarks.recall_cells import make_table

        make_table(*asked, output, options, console)  # It writes the JSON file after every cell.

    return program.run(options, "recall_table", read, work)


def cell_config(encoder: str, length: int, overrides: dict[str, Any]) -> PipelineConfig:
    """The configuration of one cell: the encoder's own with another history length.

    A window that the file sets goes with the history length that the file sets, and grows and shrinks with it.

    Raises:
        ConfigError: the file cannot be used.
    """
    path = CONFIGS / f"{encoder}.yaml"
    own = load_config(path, overrides)
    values = {**overrides, "transform.history_length": length}
    sets_window = "window" in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("trainer", {})
    if sets_window and "trainer.window" not in overrides:
        values["trainer.window"] = max(round(own.trainer.window * length / own.transform.history_length), 1)
    return load_config(path, values)


def _check_same_data(configs: list[PipelineConfig]) -> None:
    """The data steps run once: nothing but the history length may differ in them."""
    shared = {
        config.model_dump_json(
            include={"example_gen": True, "transform": True}, exclude={"transform": {"history_length"}}
        )
        for config in configs
    }
    if len(shared) > 1:
        raise ConfigError(
            "the configurations of the encoders differ in example_gen or transform; set the same with --set KEY=VALUE"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH|NAME", help="ratings")
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=list(ENCODERS), help="default: all")
    parser.add_argument(
        "--lengths", nargs="+", type=int, default=list(LENGTHS), metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--epochs", type=int, help="most epochs of a cell (default: as configured)")
    parser.add_argument("--split", choices=inputs.SPLITS, default=inputs.SPLITS[0], help="default: %(default)s")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the picture, SVG")
    inputs.add_common(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
