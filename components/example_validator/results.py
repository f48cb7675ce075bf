"""The result of the comparison with the last run: `drift.json` in the folder of the anomalies."""

from __future__ import annotations

import json
import os
from typing import Any

from tfx.utils import io_utils

from components.example_validator.drift import Measure
from components.example_validator.record import Passed

FILE = "drift.json"


def write_drift(uri: str, before: Passed | None, why_not: str, measures: list[Measure]) -> None:
    """Writes `drift.json`; see `read_drift` for its content."""
    entries = [
        {
            "name": measure.name,
            "value": measure.value,
            "warn": measure.warn,
            "stop": measure.stop,
            "level": measure.level,
            "words": measure.describe(),
        }
        for measure in measures
    ]
    compared = {"fingerprint": before.fingerprint, "statistics": before.statistics} if before else None
    content = {"compared_with": compared, "why_not": why_not, "measures": entries}
    io_utils.write_string_file(os.path.join(uri, FILE), json.dumps(content, indent=1) + "\n")


def read_drift(uri: str) -> dict[str, Any]:
    """Returns the result of the comparison with the last run.

    Args:
        uri: folder of the anomalies.

    Returns:
        `compared_with`, a dict of `fingerprint` and `statistics` (a URI), or None if nothing was compared; `why_not`,
        the reason why nothing was compared, or empty; and `measures`, a list of dicts with `name`, `value`, the limits
        `warn` and `stop`, `level` (`ok`, `warn` or `stop`) and `words`, a sentence with the value.
    """
    drift: dict[str, Any] = json.loads(io_utils.read_string_file(os.path.join(uri, FILE)))
    return drift
