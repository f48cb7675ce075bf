"""The `beam` section of the configuration: steps on Beam run in this process, on Apache Flink or on Dataflow.

This module imports neither Beam nor TFX, so that errors appear immediately.
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

# The default, Beam's DirectRunner, would first look for a binary on the internet. The worker of this runner is this
# process and needs no container, but without a container image TFX builds a package of itself, which takes 2 s a step.
NO_CONTAINER = "--sdk_container_image=none"
LOCAL_ARGUMENTS = ["--runner=FnApiRunner", NO_CONTAINER]

EMBEDDED = "[local]"
# Flink's serializers access these packages, which Java 17 closes.
OPENED = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "util", "nio", "net")]
# How long Flink keeps an idle worker. A new worker takes seconds to import TensorFlow.
WORKER_KEPT_MS = 60_000
CONNECT_SECONDS = 3.0

# No wildcards: Beam and TensorFlow would read them as patterns.
_FOLDER = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^/\s*?\[\\]+)*/?")


class FlinkSettings(Settings):
    """A Flink cluster and its workers.

    Attributes:
        master: `HOST:PORT` of the JobManager's REST service; `[local]` is a Flink inside the job server.
        worker_pool: `HOST:PORT` of the pool that starts Python workers, as seen from the TaskManagers; `localhost` if
            each TaskManager has its own pool. If empty, this process is the worker, and Flink must run on this machine.
        job_endpoint: `HOST:PORT` of a running job server; if empty, the run starts one.
        jar: jar of the job server that the run starts; by default the one that `make flink-jar` builds.
        java_options: Java options of the job server that the run starts.
    """

    master: Annotated[str, StringConstraints(pattern=r"^(\[local\]|[\w.-]+:[0-9]{1,5})$")] = EMBEDDED
    worker_pool: Address = ""
    job_endpoint: Address = ""
    jar: Path | None = None
    java_options: tuple[str, ...] = ("-Xmx1g",)


class DataflowSettings(Settings):
    """The account and the folders of Google Cloud Dataflow.

    Attributes:
        project: project of Google Cloud.
        region: region of Google Cloud, such as `europe-west4`.
        temp_location: `gs://` folder for Dataflow's own files.
        artifacts: `gs://` folder for the artifacts of the steps, which the workers must be able to read.
        image: container image of the workers: the target `beam-worker` of the Dockerfile.
        service_account: email of the workers' service account; by default the project's.
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
        runner: where the steps run; `local` is this process.
        parallelism: number of tasks of a step that Flink runs in parallel. Flink needs as many free slots.
        flink: the cluster of the runner `flink`.
        dataflow: the account of the runner `dataflow`.
        arguments: additional arguments for Beam, such as `--max_num_workers=8`; they override all other arguments.
    """

    runner: Runner = "local"
    parallelism: int = Field(2, ge=1)
    flink: FlinkSettings = FlinkSettings()
    dataflow: DataflowSettings = DataflowSettings()
    arguments: tuple[Argument, ...] = ()


def beam_arguments(settings: BeamSettings) -> list[str]:
    """Returns Beam's arguments. They are the same in every run, because they are part of TFX's cache keys."""
    arguments = LOCAL_ARGUMENTS
    if settings.runner == "flink":
        arguments = _flink(settings.flink, settings.parallelism)
    elif settings.runner == "dataflow":
        arguments = _dataflow(settings.dataflow)
    return [*arguments, *settings.arguments]


def find_problems(settings: BeamSettings) -> list[str]:
    """Returns one line for each reason why the runner cannot start."""
    if settings.runner == "flink":
        return _flink_problems(settings.flink)
    if settings.runner == "dataflow":
        return _dataflow_problems(settings.dataflow)
    return []


def _flink(flink: FlinkSettings, parallelism: int) -> list[str]:
    arguments = [
        f"--parallelism={parallelism}",
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


def _dataflow(dataflow: DataflowSettings) -> list[str]:
    return [
        "--runner=DataflowRunner",
        f"--project={dataflow.project}",
        f"--region={dataflow.region}",
        f"--temp_location={dataflow.temp_location}",
        f"--sdk_container_image={dataflow.image}",
        *([f"--service_account_email={dataflow.service_account}"] if dataflow.service_account else []),
    ]


def _flink_problems(flink: FlinkSettings) -> list[str]:
    if flink.job_endpoint:
        return _connection_problems("beam.flink.job_endpoint", flink.job_endpoint, "Beam's job server")
    problems = []
    if shutil.which("java") is None:
        problems.append("java is not on PATH: Beam's job server for Flink needs Java 17")
    jar = flink.jar or jar_path()
    if not jar.is_file():
        problems.append(f"beam.flink.jar {jar}: no such file; `make flink-jar` builds it")
    if flink.master != EMBEDDED:
        problems += _connection_problems("beam.flink.master", flink.master, "Flink's JobManager")
        if not flink.worker_pool and flink.master.split(":")[0] not in ("localhost", "127.0.0.1"):
            problems.append(
                f"beam.flink.worker_pool is missing: the TaskManagers of {flink.master} need a pool of Python workers, "
                "such as localhost:50000 if each TaskManager has its own"
            )
    return problems


def _connection_problems(key: str, address: str, server: str) -> list[str]:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return [f"{key} {address}: {server} cannot be reached: {reason}"]
    return []


def _dataflow_problems(dataflow: DataflowSettings) -> list[str]:
    examples = {
        "project": "the ID of the project",
        "region": "such as europe-west4",
        "temp_location": "such as gs://BUCKET/tmp",
        "artifacts": "such as gs://BUCKET/pipelines",
        "image": "the workers' image, such as REGISTRY/recommender-worker:1",
    }
    problems = []
    for name, example in examples.items():
        value = getattr(dataflow, name)
        if not value:
            problems.append(f"beam.dataflow.{name} is missing: {example}")
        elif "gs://" in example and not _FOLDER.fullmatch(value):
            problems.append(f"beam.dataflow.{name} {value}: expected a folder {example}")
    return problems
