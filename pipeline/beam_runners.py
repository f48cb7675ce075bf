"""Where the steps on Beam run: in this process, on Apache Flink or on Google Cloud Dataflow.

This module imports neither Beam nor TFX, so that mistakes are answered at once.
"""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from components.settings import Settings
from pipeline.flink_jar import jar_path

Runner = Literal["local", "flink", "dataflow"]
Argument = Annotated[str, StringConstraints(pattern="^--[a-z]")]
Address = Annotated[str, StringConstraints(pattern=r"^([\w.-]+:[0-9]{1,5})?$")]

# The runner is named, since Beam's DirectRunner would first look for a binary on the internet. Its worker is this
# process and has no container, but where one is named TFX packs no copy of itself for workers, which takes 2 s a step.
NO_CONTAINER = "--sdk_container_image=none"
LOCAL_ARGUMENTS = ["--runner=FnApiRunner", NO_CONTAINER]

EMBEDDED = "[local]"
# Flink's serializers look into these packages, which Java 17 closes.
OPENED = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "util", "nio", "net")]
# How long Flink keeps a worker without work: a new one takes seconds to import TensorFlow.
WORKER_KEPT_MS = 60_000
REACHED_WITHIN = 3.0  # seconds

# Without the marks of patterns: Beam and TensorFlow would look for other files.
_FOLDER = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^/\s*?\[\\]+)*/?")


class FlinkSettings(Settings):
    """A Flink cluster and its workers.

    Attributes:
        master: `HOST:PORT` of the JobManager's REST service; `[local]` is a Flink inside the job server.
        worker_pool: `HOST:PORT` of the pool that starts Python workers, as the TaskManagers see it: `localhost` where
            each has its own. Empty: the worker is this process, which only a Flink on this machine can reach.
        job_endpoint: `HOST:PORT` of a job server that runs already; empty starts one for the run.
        jar: of the job server that is started; by default the one that `make flink-jar` makes.
        java_options: of the job server that is started.
    """

    master: Annotated[str, StringConstraints(pattern=r"^(\[local\]|[\w.-]+:[0-9]{1,5})$")] = EMBEDDED
    worker_pool: Address = ""
    job_endpoint: Address = ""
    jar: Path | None = None
    java_options: tuple[str, ...] = ("-Xmx1g",)


class DataflowSettings(Settings):
    """Google Cloud Dataflow.

    Attributes:
        project: of Google Cloud.
        region: such as `europe-west4`.
        temp_location: `gs://` folder for Dataflow's own files.
        artifacts: `gs://` folder for what the steps hand on, which workers elsewhere must see.
        image: container image of the workers: the target `beam-worker` of the Dockerfile.
        service_account: email that the workers run as; by default the project's own.
    """

    project: str = ""
    region: str = ""
    temp_location: str = ""
    artifacts: str = ""
    image: str = ""
    service_account: str = ""


class BeamSettings(Settings):
    """Where the steps on Beam run.

    Attributes:
        runner: `local` is this process.
        parallelism: tasks of a step that Flink runs at once: as many slots must be free.
        flink: the cluster of the runner `flink`.
        dataflow: the account of the runner `dataflow`.
        arguments: more arguments for Beam, such as `--max_num_workers=8`; they win over those made here.
    """

    runner: Runner = "local"
    parallelism: int = Field(2, ge=1)
    flink: FlinkSettings = FlinkSettings()
    dataflow: DataflowSettings = DataflowSettings()
    arguments: tuple[Argument, ...] = ()


def beam_arguments(settings: BeamSettings) -> list[str]:
    """Beam's arguments. They are the same in every run: TFX caches results under them."""
    made = {"local": _local, "flink": _flink, "dataflow": _dataflow}[settings.runner](settings)
    return [*made, *settings.arguments]


def complaints(settings: BeamSettings) -> list[str]:
    """What keeps the runner from starting, one line each."""
    if settings.runner == "flink":
        return _flink_complaints(settings.flink)
    if settings.runner == "dataflow":
        return _dataflow_complaints(settings.dataflow)
    return []


def _local(settings: BeamSettings) -> list[str]:
    return list(LOCAL_ARGUMENTS)


def _flink(settings: BeamSettings) -> list[str]:
    flink = settings.flink
    arguments = [
        f"--parallelism={settings.parallelism}",
        f"--environment_cache_millis={WORKER_KEPT_MS}",
        NO_CONTAINER,
    ]
    if flink.worker_pool:
        arguments += ["--environment_type=EXTERNAL", f"--environment_config={flink.worker_pool}"]
    else:
        arguments += ["--environment_type=LOOPBACK"]
    if flink.job_endpoint:
        return ["--runner=PortableRunner", f"--job_endpoint={flink.job_endpoint}", *arguments]
    return [
        "--runner=pipeline.flink_runner.FlinkRunner",
        f"--flink_master={flink.master}",
        f"--flink_job_server_jar={flink.jar or jar_path()}",
        *(f"--job_server_jvm_properties={option}" for option in (*flink.java_options, *OPENED)),
        *arguments,
    ]


def _dataflow(settings: BeamSettings) -> list[str]:
    dataflow = settings.dataflow
    return [
        "--runner=DataflowRunner",
        f"--project={dataflow.project}",
        f"--region={dataflow.region}",
        f"--temp_location={dataflow.temp_location}",
        f"--sdk_container_image={dataflow.image}",
        *([f"--service_account_email={dataflow.service_account}"] if dataflow.service_account else []),
    ]


def _flink_complaints(flink: FlinkSettings) -> list[str]:
    if flink.job_endpoint:
        return _unreached("beam.flink.job_endpoint", flink.job_endpoint, "Beam's job server")
    found = []
    if shutil.which("java") is None:
        found.append("java is not on PATH: Beam's job server for Flink needs Java 17")
    jar = flink.jar or jar_path()
    if not jar.is_file():
        found.append(f"beam.flink.jar {jar}: no such file; `make flink-jar` makes the job server's jar")
    if flink.master != EMBEDDED:
        found += _unreached("beam.flink.master", flink.master, "Flink's JobManager")
        if not flink.worker_pool and flink.master.split(":")[0] not in ("localhost", "127.0.0.1"):
            found.append(
                f"beam.flink.worker_pool is missing: the TaskManagers of {flink.master} need Python workers, such as "
                "localhost:50000 where each has a pool beside it"
            )
    return found


def _unreached(key: str, address: str, what: str) -> list[str]:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), REACHED_WITHIN).close()
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return [f"{key} {address}: {what} cannot be reached: {reason}"]
    return []


def _dataflow_complaints(dataflow: DataflowSettings) -> list[str]:
    examples = {
        "project": "the project's id",
        "region": "such as europe-west4",
        "temp_location": "such as gs://BUCKET/tmp",
        "artifacts": "such as gs://BUCKET/pipelines",
        "image": "the workers' image, such as REGISTRY/recommender-worker:1",
    }
    found = []
    for name, example in examples.items():
        value = getattr(dataflow, name)
        if not value:
            found.append(f"beam.dataflow.{name} is missing: {example}")
        elif "gs://" in example and not _FOLDER.fullmatch(value):
            found.append(f"beam.dataflow.{name} {value}: expected a folder {example}")
    return found
