"""The record: a file that names the data that passed the validation last.

A Resolver could search ML Metadata instead, but Kubeflow Pipelines has no resolvers. It would also find statistics that
failed the validation. If a run returns to earlier data, its statistics come from the cache, and the newest statistics
are not those of the last run. The step reads and writes the record beside the pipeline's artifacts, as the Evaluator
does with its own.
"""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from tfx.dsl.io import fileio
from tfx.types import Artifact

from components.conditional import read_text
from components.errors import StepError


@dataclass(frozen=True)
class Passed:
    """Data that passed the validation.

    Attributes:
        fingerprint: SHA-256 of the data.
        made_by: the settings of ExampleGen; runs with other settings are not compared.
        statistics: URI of the ExampleStatistics artifact.
        catalog: URI of the ItemCatalog artifact.
    """

    fingerprint: str
    made_by: str
    statistics: str
    catalog: str


def read_record(path: str) -> list[Passed]:
    """Returns the data of the last run, preceded by the latest different data of an earlier run, if any.

    Raises:
        StepError: the file is not a record.
    """
    text = read_text(path)
    if text is None:
        return []
    try:
        return [Passed(**entry) for entry in json.loads(text)]
    except (ValueError, TypeError):
        raise StepError(
            f"{path} should name the statistics of the last run, but cannot be read; restore it, or delete it to "
            "accept the next data without a comparison"
        ) from None


def last_other(record: list[Passed], fingerprint: str) -> Passed | None:
    """Returns the latest data with another fingerprint, so that a rerun is compared with the same data as before."""
    return next((entry for entry in reversed(record) if entry.fingerprint != fingerprint), None)


def write_record(path: str, record: list[Passed], passed: Passed) -> None:
    """Adds the data of this run to a record, with an atomic rename."""
    others = [entry for entry in record if entry.fingerprint != passed.fingerprint]
    entries = [dataclasses.asdict(entry) for entry in (*others[-1:], passed)]
    fileio.makedirs(os.path.dirname(path))
    staged = f"{path}.{uuid.uuid4().hex}"
    with fileio.open(staged, "w") as stream:
        stream.write(json.dumps(entries, indent=1) + "\n")
    fileio.rename(staged, path, overwrite=True)


def mark(anomalies: Artifact, passed: Passed, path: str) -> None:
    """Stores the fingerprint and settings of the data, and the path of the record, as properties of its anomalies."""
    for name, value in {"data_fingerprint": passed.fingerprint, "made_by": passed.made_by, "record": path}.items():
        anomalies.set_string_custom_property(name, value)


def is_last(marks: Mapping[str, str]) -> bool:
    """Returns whether anomalies, perhaps from the cache, describe the data that passed last.

    If other data passed since, the cached comparison is outdated and the step must run again.

    Args:
        marks: custom properties of the anomalies, as `mark` stored them.
    """
    record = read_record(marks["record"])
    if not record:
        return False
    return (record[-1].fingerprint, record[-1].made_by) == (marks["data_fingerprint"], marks["made_by"])
