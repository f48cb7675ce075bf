"""Which data passed last, in a file: the record.

ML Metadata could be asked, by a Resolver, on this machine alone: Kubeflow Pipelines has none. It would also find
statistics whose validation failed, and those that were made last, which after a return to earlier data are not those of
the last run. The step itself reads and writes the record wherever it runs, beside the pipeline's artifacts, as the
Evaluator does with the last blessed model.
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

from components.errors import StepError


@dataclass(frozen=True)
class Passed:
    """Data that passed the validation.

    Attributes:
        fingerprint: SHA-256 of the data.
        made_by: the settings of ExampleGen; statistics under others do not compare.
        statistics: URI of the ExampleStatistics artifact.
        catalog: URI of the ItemCatalog artifact.
    """

    fingerprint: str
    made_by: str
    statistics: str
    catalog: str


def read_record(path: str) -> list[Passed]:
    """The data of the last run and, of the runs before it, the last other data; oldest first.

    Raises:
        StepError: the file is no record.
    """
    if not fileio.exists(path):
        return []
    with fileio.open(path) as stream:
        text = stream.read()
    try:
        return [Passed(**entry) for entry in json.loads(text)]
    except (ValueError, TypeError):
        raise StepError(
            f"{path} should name the statistics of the last run, and cannot be read; bring it back, or delete it to "
            "let the next data pass without a comparison"
        ) from None


def last_other(record: list[Passed], fingerprint: str) -> Passed | None:
    """What data is compared with: the last that is another, so that a rerun is told what the first run was."""
    return next((entry for entry in reversed(record) if entry.fingerprint != fingerprint), None)


def remember(path: str, record: list[Passed], passed: Passed) -> None:
    """Let data be that of the last run. The file is always whole: it is written beside and then renamed."""
    others = [entry for entry in record if entry.fingerprint != passed.fingerprint]
    kept = [*others[-1:], passed]
    fileio.makedirs(os.path.dirname(path))
    beside = f"{path}.{uuid.uuid4().hex}"
    with fileio.open(beside, "w") as stream:
        stream.write(json.dumps([dataclasses.asdict(entry) for entry in kept], indent=1) + "\n")
    fileio.rename(beside, path, overwrite=True)


def mark(anomalies: Artifact, passed: Passed, path: str) -> None:
    """Let anomalies say which data they are of, and where the record is."""
    for name, value in {"data_fingerprint": passed.fingerprint, "made_by": passed.made_by, "record": path}.items():
        anomalies.set_string_custom_property(name, value)


def is_last(marks: Mapping[str, str]) -> bool:
    """Whether anomalies, perhaps from a cache, are of the data that passed last.

    They are not where other data passed since: the comparison is another one then, and the record must follow.

    Args:
        marks: custom properties of the anomalies, as `mark` left them.
    """
    asked = (marks["data_fingerprint"], marks["made_by"])
    return [(last.fingerprint, last.made_by) for last in read_record(marks["record"])[-1:]] == [asked]
