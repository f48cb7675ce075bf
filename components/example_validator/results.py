"""What came of the comparison with the last run: `drift.json` in the folder of the anomalies."""

from __future__ import annotations

import json
import os
from typing import Any

from tfx.utils import io_utils

from components.example_validator.drift import Measure
from components.example_validator.record import Passed

FILE = "drift.json"


def write_drift(uri: str, before: Passed | None, why_not: str, measures: list[Measure]) -> None:
    """Write what `read_drift` reads."""
    told = [
        {
            "name": one.name,
            "value": one.value,
            "warn": one.warn,
            "stop": one.stop,
            "level": one.level,
            "words": one.describe(),
        }
        for one in measures
    ]
    compared = {"fingerprint": before.fingerprint, "statistics": before.statistics} if before else None
    content = {"compared_with": compared, "why_not": why_not, "measures": told}
    io_utils.write_string_file(os.path.join(uri, FILE), json.dumps(content, indent=1) + "\n")


def read_drift(uri: str) -> dict[str, Any]:
    """What came of the comparison with the last run.

    Args:
        uri: folder of the anomalies.

    Returns:
        `compared_with` (`fingerprint` and `statistics`, the URI; None where nothing was compared), `why_not` (empty
        where it was), and of all `measures` their `name`, `value`, limits `warn` and `stop`, `level` (`ok`, `warn` or
        `stop`) and what was found, in `words`.
    """
    found: dict[str, Any] = json.loads(io_utils.read_string_file(os.path.join(uri, FILE)))
    return found
