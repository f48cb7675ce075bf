"""How a run on a cluster ended: records in the run's folder, which everybody can read who may read its artifacts.

Kubeflow Pipelines keeps the reason of a failure in the log of the step's pod, and nowhere else.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field

from tfx.dsl.io import fileio

from components import s3  # noqa: F401 - registers s3:// and minio://

FOLDER = "outcome"
END = "end"
PUSHED, NOT_BLESSED, FAILED = "pushed", "not blessed", "failed"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        outcome: `pushed`, `not blessed` or `failed`.
        text: in words, one line.
        step: that failed; empty where none did, or where it is not known.
        version: that was pushed; empty where none was.
        metrics: of the model and the file, by name.
    """

    outcome: str
    text: str
    step: str = ""
    version: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


def run_folder(uri: str, step: str) -> str:
    """Returns the folder of a run.

    Args:
        uri: of an output of a step: `RUN_FOLDER/STEP/TASK/NAME` on Kubeflow, `RUN_FOLDER/STEP_TASK/NAME` on Vertex.
        step: name of the step.

    Raises:
        ValueError: the URI is of another form.
    """
    parts = uri.split("/")
    for position in range(len(parts) - 1, 0, -1):
        if parts[position] == step or parts[position].startswith(f"{step}_"):
            return "/".join(parts[:position])
    raise ValueError(f"{uri}: not an output of {step}")


def record_failure(folder: str, step: str, reason: str) -> None:
    """Writes down why a step failed."""
    _write(folder, step, Outcome(FAILED, f"{step}: {reason}", step))


def forget_failure(folder: str, step: str) -> None:
    """Removes the record of a step that failed before and succeeded now."""
    record = f"{folder}/{FOLDER}/{step}.json"
    try:
        if fileio.exists(record):
            fileio.remove(record)
    except Exception as error:
        logging.getLogger(__name__).warning("%s: cannot be removed: %s", record, error)


def record_end(folder: str, outcome: Outcome) -> None:
    """Writes down how a run ended whose last step ended well."""
    _write(folder, END, outcome)


def read_outcome(folder: str) -> Outcome | None:
    """Returns how a run ended; None where nothing is recorded: it has not ended, or a step was killed.

    Raises:
        OSError: the folder cannot be read.
    """
    try:
        if not fileio.isdir(f"{folder}/{FOLDER}"):
            return None
        names = sorted(os.fsdecode(name).removesuffix(".json") for name in fileio.listdir(f"{folder}/{FOLDER}"))
        if not names:
            return None
        with fileio.open(f"{folder}/{FOLDER}/{END if END in names else names[0]}.json") as stream:
            return Outcome(**json.loads(stream.read()))
    except OSError:
        raise
    except Exception as error:  # TensorFlow's errors, and those of damaged records.
        raise OSError(f"{folder}: {next(iter(str(error).splitlines()), type(error).__name__)}") from error


def _write(folder: str, name: str, outcome: Outcome) -> None:
    """Writes a record; where that fails, it logs why: what the step did is what counts."""
    try:
        fileio.makedirs(f"{folder}/{FOLDER}")
        with fileio.open(f"{folder}/{FOLDER}/{name}.json", "w") as stream:
            stream.write(json.dumps(asdict(outcome), ensure_ascii=False))
    except Exception as error:
        logging.getLogger(__name__).warning("%s: the outcome is not recorded: %s", folder, error)
