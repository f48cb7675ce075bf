"""Options of both runners that override one key of the configuration."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import read_assignments


@dataclass(frozen=True)
class Option:
    """An option.

    Attributes:
        key: of the configuration.
        help: for a person.
        type: of its value.
        metavar: name of its value; by default the type's.
    """

    key: str
    help: str
    type: type = str
    metavar: str = ""


OPTIONS = {
    "name": Option("name", "name of the pipeline"),
    "encoder": Option("trainer.encoder", "bow, cnn, lstm or transformer"),
    "history-length": Option("transform.history_length", "items of the user's history that the device sends", int),
    "dimension": Option("trainer.dimension", "size of the embeddings", int),
    "max-epochs": Option("trainer.max_epochs", "most passes over the train split", int),
    "max-minutes": Option("trainer.max_minutes", "a safety limit of fitting in minutes; 0 sets none", float),
    "top-k": Option("trainer.top_k", "items that the file returns", int),
    "precision": Option("pusher.precision", "float32, float16, int8_tables, dynamic_int8 or auto"),
    "split": Option("example_gen.split", "leave_one_out, temporal or sessions"),
    "max-bad-rows": Option("example_gen.max_bad_rows", "rows of the data that may be skipped", int),
    "min-recall": Option("gate.min_recall_at_10", "the gate's floor", float),
}


def add_options(parser: argparse.ArgumentParser, options: Mapping[str, Option], example: str) -> None:
    """Adds a group of options to a parser, and `--set` for every other key, with an example of a key and value."""
    group = parser.add_argument_group("overrides of the configuration")
    for name, option in options.items():
        metavar = option.metavar or option.type.__name__.upper()
        group.add_argument(f"--{name}", type=option.type, metavar=metavar, help=f"{option.help} ({option.key})")
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=f"any key, such as {example}")


def read_options(parsed: argparse.Namespace, options: Mapping[str, Option]) -> dict[str, Any]:
    """Returns the values that were given, by key of the configuration; those of `--set` win.

    Raises:
        ConfigError: an assignment of `--set` is none.
    """
    given = {option.key: getattr(parsed, name.replace("-", "_")) for name, option in options.items()}
    return {**{key: value for key, value in given.items() if value is not None}, **read_assignments(parsed.set)}
