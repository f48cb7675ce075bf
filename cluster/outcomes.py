"""Records of the outcome of a run on a cluster, in the run's folder.

Kubeflow Pipelines itself keeps the reason for a failure only in the log of the step's pod.
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
    """The outcome of a run.

    Attributes:
        outcome: `pushed`, `not blessed` or `failed`.
        text: description, one line.
        step: the failed step; empty if none failed, or if it is unknown.
        version: the pushed version; empty if none was pushed.
        metrics: metrics of the model and of the file, by name.
    """

    outcome: str
    text: str
    step: str = ""
    version: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


def run_folder(uri: str, step: str) -> str:
    """Returns the folder of a run.

    Args:
        uri: URI of an output of a step: `RUN_FOLDER/STEP/TASK/NAME` on Kubeflow, `RUN_FOLDER/STEP_TASK/NAME` on Vertex.
        step: name of the step.

    Raises:
        ValueError: the URI has another form.
    """
    parts = uri.split("/")
    for position in range(len(parts) - 1, 0, -1):
        if parts[position] == step or parts[position].startswith(f"{step}_"):
            return "/".join(parts[:position])
    raise ValueError(f"{uri}: not an output of {step}")


def record_failure(folder: str, step: str, reason: str) -> None:
    """Records why a step failed."""
    _write(folder, step, Outcome(FAILED, f"{step}: {reason}", step))


def forget_failure(folder: str, step: str) -> None:
    """Removes the failure record of a step that succeeded in a retry."""
    record = f"{folder}/{FOLDER}/{step}.json"
    try:
        if fileio.exists(record):
            fileio.remove(record)
    except Exception as error:
        logging.getLogger(__name__).warning("%s: cannot be removed: %s", record, error)


def record_end(folder: str, outcome: Outcome) -> None:
    """Records the outcome of a run whose last step succeeded."""
    _write(folder, END, outcome)


def read_outcome(folder: str) -> Outcome | None:
    """Returns the outcome of a run; None if there is no record, because the run has not ended or a step was killed.

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
    """Writes a record. A failure is only logged, because it must not change the result of the step."""
    try:
        fileio.makedirs(f"{folder}/{FOLDER}")
        with fileio.open(f"{folder}/{FOLDER}/{name}.json", "w") as stream:
            stream.write(json.dumps(asdict(outcome), ensure_ascii=False))
    except Exception as error:
        logging.getLogger(__name__).warning("%s: the outcome is not recorded: %s", folder, error)
