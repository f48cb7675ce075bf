"""Why steps of a run on a cluster failed: one record a step, in the run's folder, that everybody can read.

Kubeflow Pipelines keeps the reason in the log of the step's pod, and nowhere else.
"""

from __future__ import annotations

import json
import logging
import os

from tfx.dsl.io import fileio

from components import s3  # noqa: F401 - registers s3:// and minio://

FOLDER = "failures"


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
    """Writes down why a step failed; where that fails too, it logs why."""
    try:
        fileio.makedirs(f"{folder}/{FOLDER}")
        with fileio.open(f"{folder}/{FOLDER}/{step}.json", "w") as stream:
            stream.write(json.dumps({"step": step, "reason": reason}))
    except Exception as error:  # The step's own failure is what counts.
        logging.getLogger(__name__).warning("%s: the failure is not recorded: %s", folder, error)


def read_failures(folder: str) -> dict[str, str]:
    """Returns the reason of each step of a run that failed, by its name.

    Raises:
        OSError: the folder cannot be read.
    """
    try:
        if not fileio.isdir(f"{folder}/{FOLDER}"):
            return {}
        reasons = {}
        for name in sorted(map(os.fsdecode, fileio.listdir(f"{folder}/{FOLDER}"))):
            with fileio.open(f"{folder}/{FOLDER}/{name}") as stream:
                record = json.loads(stream.read())
            reasons[str(record["step"])] = str(record["reason"])
        return reasons
    except OSError:
        raise
    except Exception as error:  # TensorFlow's errors, and those of damaged records.
        raise OSError(f"{folder}: {next(iter(str(error).splitlines()), type(error).__name__)}") from error
