"""What ExampleGen refuses: settings that do not suit the log, data without anything to learn, files that change."""

from __future__ import annotations

from typing import Any

from components.errors import StepError
from components.example_gen.settings import ExampleGenSettings
from data.dataset import EVENT, Dataset
from data.files import find_file, fingerprint_of

BAD_ROWS_SHOWN = KINDS_SHOWN = 5
KIND = "kind:"  # before the name of a kind of interaction, among the facts


def bad_rows_error(described: list[str], limit: int) -> StepError:
    """The error for more bad rows than are allowed."""
    shown = "; ".join(described[:BAD_ROWS_SHOWN])
    more = f"; and {len(described) - BAD_ROWS_SHOWN:,} more" if len(described) > BAD_ROWS_SHOWN else ""
    found = f"{len(described):,} bad row{'s' if len(described) > 1 else ''}"
    return StepError(f"{shown}{more} ({found}, {limit:,} allowed; --max-bad-rows N skips up to N)")


def check(summary: dict[str, Any], settings: ExampleGenSettings) -> None:
    """Raise if there is nothing to train or to test on."""
    if summary["users"] == summary["short_users"]:
        raise StepError(
            f"{summary['name']}: none of {summary['users']:,} users has {settings.min_interactions} "
            "interactions or more: at least two are needed, for an item to follow another"
        )
    for split, rows in summary["split"].items():
        if not rows:
            raise StepError(
                f"{summary['name']}: the {split} split is empty with example_gen.split {settings.split!r}: "
                "check the timestamps, or change eval_fraction and test_fraction"
            )


def check_events(dataset: Dataset, settings: ExampleGenSettings) -> None:
    """Raises a `StepError` if the settings name kinds of interactions and the log has none."""
    if (settings.events or settings.targets) and EVENT not in dataset.log.columns:
        raise StepError(
            f"{dataset.log.files[0].path}: no column for the kind of an interaction, which "
            f"example_gen.{'events' if settings.events else 'targets'} needs; name it, as in --set "
            "data.columns.event=NAME"
        )


def check_kinds(dataset: Dataset, settings: ExampleGenSettings, facts: dict[str, Any]) -> None:
    """Raises a `StepError` if the settings name a kind of interaction that does not occur."""
    held = {name.removeprefix(KIND): count for name, count in facts.items() if name.startswith(KIND)}
    for key, named in (("events", settings.events), ("targets", settings.targets)):
        if missing := [kind for kind in named if kind not in held]:
            most_frequent = sorted(held, key=lambda kind: -held[kind])[:KINDS_SHOWN]
            raise StepError(
                f"{dataset.name}: example_gen.{key} names {', '.join(map(repr, missing))}, which the column "
                f"{dataset.log.columns[EVENT]!r} never holds; it holds {', '.join(map(repr, most_frequent))}"
            )


def check_unchanged(dataset: Dataset, expected: str) -> tuple[str, str]:
    """Returns the fingerprint of the data that was read, and of what it is made: results are cached under it.

    Args:
        dataset: the data, as it was listed before it was read.
        expected: its fingerprint as the run started; empty where it was not known.

    Raises:
        StepError: the data changed in the meantime.
    """
    now = [find_file(file.path) for file in dataset.files]
    changed = [file.path for file, after in zip(dataset.files, now, strict=True) if file != after]
    fingerprint, of_what = ("", "") if changed else fingerprint_of(dataset.files)
    if changed or fingerprint != (expected or fingerprint):
        raise StepError(
            f"{changed[0] if changed else dataset.log.files[0].path}: this file, or one beside it, changed while the "
            "run read it; run again when nobody writes there, or on a copy"
        )
    return fingerprint, of_what
