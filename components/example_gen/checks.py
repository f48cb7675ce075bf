"""Checks of ExampleGen: settings that do not match the log, empty splits, files that change during the run."""

from __future__ import annotations

from typing import Any

from components.errors import StepError
from components.example_gen.settings import ExampleGenSettings
from data.dataset import EVENT, Dataset
from data.files import find_file, fingerprint_of

BAD_ROWS_SHOWN = KINDS_SHOWN = 5
KIND = "kind:"  # prefix of the facts that count the interactions of a kind


def bad_rows_error(described: list[str], limit: int) -> StepError:
    """Returns an error that reports more bad rows than allowed.

    Args:
        described: a description of each bad row.
        limit: the number of bad rows that are allowed.
    """
    shown = "; ".join(described[:BAD_ROWS_SHOWN])
    more = f"; and {len(described) - BAD_ROWS_SHOWN:,} more" if len(described) > BAD_ROWS_SHOWN else ""
    count = f"{len(described):,} bad row{'s' if len(described) > 1 else ''}"
    return StepError(f"{shown}{more} ({count}, {limit:,} allowed; --max-bad-rows N skips up to N)")


def check(summary: dict[str, Any], settings: ExampleGenSettings) -> None:
    """Checks that there are users to train on and that no split is empty.

    Raises:
        StepError: the data is too small for the settings.
    """
    if summary["users"] == summary["short_users"]:
        raise StepError(
            f"{summary['name']}: none of {summary['users']:,} users has {settings.min_interactions} "
            "interactions or more: a user needs at least two, so that one item follows another"
        )
    for split, rows in summary["split"].items():
        if not rows:
            raise StepError(
                f"{summary['name']}: the {split} split is empty with example_gen.split {settings.split!r}: "
                "check the timestamps, or change eval_fraction and test_fraction"
            )


def check_events(dataset: Dataset, settings: ExampleGenSettings) -> None:
    """Checks that the log has a column for the kinds of interactions, if the settings name kinds.

    Raises:
        StepError: the log has no such column.
    """
    if (settings.events or settings.targets) and EVENT not in dataset.log.columns:
        raise StepError(
            f"{dataset.log.files[0].path}: no column for the kind of an interaction, which "
            f"example_gen.{'events' if settings.events else 'targets'} needs; name the column, as in --set "
            "data.columns.event=NAME"
        )


def check_kinds(dataset: Dataset, settings: ExampleGenSettings, facts: dict[str, Any]) -> None:
    """Checks that every kind of interaction that the settings name occurs in the log.

    Raises:
        StepError: a kind does not occur.
    """
    counts = {name.removeprefix(KIND): count for name, count in facts.items() if name.startswith(KIND)}
    for key, named in (("events", settings.events), ("targets", settings.targets)):
        if missing := [kind for kind in named if kind not in counts]:
            most_frequent = sorted(counts, key=lambda kind: -counts[kind])[:KINDS_SHOWN]
            raise StepError(
                f"{dataset.name}: example_gen.{key} names {', '.join(map(repr, missing))}, which the column "
                f"{dataset.log.columns[EVENT]!r} does not contain; it contains {', '.join(map(repr, most_frequent))}"
            )


def check_unchanged(dataset: Dataset, expected: str) -> tuple[str, str]:
    """Checks that the data did not change during the run, because the results are cached under its fingerprint.

    Args:
        dataset: the data, as it was listed before it was read.
        expected: the fingerprint of the data at the start of the run; empty if it is not known.

    Returns:
        The fingerprint of the data, and a phrase that names its inputs.

    Raises:
        StepError: the data changed.
    """
    files_now = [find_file(file.path) for file in dataset.files]
    changed = [file.path for file, now in zip(dataset.files, files_now, strict=True) if file != now]
    fingerprint, fingerprint_source = ("", "") if changed else fingerprint_of(dataset.files)
    if changed or fingerprint != (expected or fingerprint):
        raise StepError(
            f"{changed[0] if changed else dataset.log.files[0].path}: this file, or one beside it, changed while the "
            "run read it; run again when nothing writes there, or on a copy"
        )
    return fingerprint, fingerprint_source
