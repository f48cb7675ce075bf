"""Command line options of both runners, each of which overrides a key of the configuration."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import read_assignments


@dataclass(frozen=True)
class Option:
    """A command line option.

    Attributes:
        key: key of the configuration.
        help: help text.
        type: type of the value.
        metavar: name of the value in the help text; by default the name of the type.
    """

    key: str
    help: str
    type: type = str
    metavar: str = ""


OPTIONS = {
    "name": Option("name", "name of the pipeline"),
    "encoder": Option("trainer.encoder", "bow, cnn, lstm or transformer"),
    "history-length": Option("transform.history_length", "length of the user's history, in items", int),
    "dimension": Option("trainer.dimension", "size of the embeddings", int),
    "max-epochs": Option("trainer.max_epochs", "maximum number of passes over the train split", int),
    "max-minutes": Option("trainer.max_minutes", "time limit of training in minutes; 0: no limit", float),
    "top-k": Option("trainer.top_k", "number of items that the file returns", int),
    "precision": Option("pusher.precision", "float32, float16, int8_tables, dynamic_int8 or auto"),
    "split": Option("example_gen.split", "leave_one_out, temporal or sessions"),
    "max-bad-rows": Option("example_gen.max_bad_rows", "number of bad rows that may be skipped", int),
    "min-recall": Option("gate.min_recall_at_10", "minimum recall at the gate", float),
}


def add_options(parser: argparse.ArgumentParser, options: Mapping[str, Option], example: str) -> None:
    """Adds a group of options to a parser, and `--set` for all other keys.

    The help text of `--set` has the example.
    """
    group = parser.add_argument_group("overrides of the configuration")
    for name, option in options.items():
        metavar = option.metavar or option.type.__name__.upper()
        group.add_argument(f"--{name}", type=option.type, metavar=metavar, help=f"{option.help} ({option.key})")
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=f"any key, such as {example}")


def read_options(parsed: argparse.Namespace, options: Mapping[str, Option]) -> dict[str, Any]:
    """Returns the values of the options, by key of the configuration; `--set` overrides the other options.

    Raises:
        ConfigError: an argument of `--set` is invalid.
    """
    given = {option.key: getattr(parsed, name.replace("-", "_")) for name, option in options.items()}
    return {**{key: value for key, value in given.items() if value is not None}, **read_assignments(parsed.set)}
