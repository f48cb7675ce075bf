"""Runs the data steps on a Flink cluster of this machine, and checks that the records are the same as without it.

    .venv/bin/python -m tests.flink_cluster --ratings 10_000_000

Starts the processes that an operator starts: a JobManager, two TaskManagers and a pool of Python workers;
`local_runner.py --beam flink` starts the job server. Flink's classes are in the job server's jar (`make flink-jar`).
`benchmarks/generate.py` generates the data in the shape of `beam_speed.py`. All processes end with the program.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.beam_speed import STEPS, make_data, run_steps
from benchmarks.processes import ROOT
from pipeline.beam_runners import OPENED
from pipeline.flink_jar import JarError, make_jar
from tests.same_records import digests

JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
UP_WITHIN, GRACE = 90.0, 10.0  # seconds
FRAMEWORK_MB, NETWORK_MB, MANAGED_MB = 128, 192, 256


class ClusterError(Exception):
    """The cluster does not start; the message is one line."""


@dataclass(frozen=True)
class Cluster:
    """The addresses of a cluster.

    Attributes:
        master: `HOST:PORT` of the JobManager's REST service.
        worker_pool: `HOST:PORT` of the pool of Python workers.
    """

    master: str
    worker_pool: str


@contextlib.contextmanager
def running(jar: Path, folder: Path, task_managers: int = 2, heap_mb: int = 512) -> Iterator[Cluster]:
    """Starts a cluster, and stops it at the end of the context.

    Args:
        jar: A jar with Flink's classes.
        folder: An empty folder for configuration, logs and temporary files.
        task_managers: The number of TaskManagers, each with one slot.
        heap_mb: Megabytes of Java heap in each process; a TaskManager has the same amount of off-heap memory.

    Raises:
        ClusterError: The cluster does not start.
    """
    rpc, rest, pool = _free_ports(3)
    (folder / "temporary").mkdir(parents=True)
    (folder / "flink-conf.yaml").write_text(yaml.safe_dump(_configuration(rpc, rest, heap_mb, folder)))
    direct_mb = FRAMEWORK_MB + heap_mb + NETWORK_MB
    java = ["java", f"-Xmx{heap_mb}m", f"-XX:MaxDirectMemorySize={direct_mb}m", *OPENED]
    flink = [*java, "-cp", str(jar)]
    configured = ["--configDir", str(folder)]
    commands = {
        "job_manager": [*flink, JOB_MANAGER, *configured],
        **{
            f"task_manager_{number}": [*flink, TASK_MANAGER, *configured, "-D", f"taskmanager.resource-id={number}"]
            for number in range(1, task_managers + 1)
        },
        "worker_pool": [sys.executable, "-m", "pipeline.worker_pool", "--port", str(pool)],
    }
    with contextlib.ExitStack() as stack:
        processes = {
            name: stack.enter_context(_process(command, folder / f"{name}.log")) for name, command in commands.items()
        }
        _wait(f"http://localhost:{rest}/taskmanagers", task_managers, processes, folder)
        yield Cluster(f"localhost:{rest}", f"localhost:{pool}")


def _configuration(rpc: int, rest: int, heap_mb: int, folder: Path) -> dict[str, object]:
    """Returns the configuration, with the values that Flink's own scripts compute: the jar has no scripts."""
    memory = {
        "framework.heap.size": FRAMEWORK_MB,
        "framework.off-heap.size": FRAMEWORK_MB,
        "task.heap.size": heap_mb - FRAMEWORK_MB,
        "task.off-heap.size": heap_mb,  # data to and from the Python workers
        "managed.size": MANAGED_MB,
        "network.min": NETWORK_MB,
        "network.max": NETWORK_MB,
        "jvm-metaspace.size": 256,
        "jvm-overhead.min": 192,
        "jvm-overhead.max": 192,
    }
    return {
        "jobmanager.rpc.address": "localhost",
        "jobmanager.rpc.port": rpc,
        "jobmanager.bind-host": "localhost",
        "jobmanager.memory.process.size": f"{heap_mb + 512}m",
        "rest.port": rest,
        "rest.bind-address": "localhost",
        "taskmanager.host": "localhost",
        "taskmanager.bind-host": "localhost",
        "taskmanager.numberOfTaskSlots": 1,
        "taskmanager.cpu.cores": 1,
        **{f"taskmanager.memory.{name}": f"{megabytes}m" for name, megabytes in memory.items()},
        "taskmanager.network.sort-shuffle.min-buffers": 64,
        # The job contains the classes that the cluster, which runs from the same jar, has already.
        "classloader.resolve-order": "parent-first",
        # Otherwise, a TaskManager without memory would continue, and its job would wait forever.
        "cluster.uncaught-exception-handling": "FAIL",
        "io.tmp.dirs": str(folder / "temporary"),
    }


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for listener in sockets:
            listener.bind(("localhost", 0))
        return [listener.getsockname()[1] for listener in sockets]


@contextlib.contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(url: str, task_managers: int, processes: dict[str, subprocess.Popen[bytes]], folder: Path) -> None:
    deadline = time.monotonic() + UP_WITHIN
    while time.monotonic() < deadline:
        for name, process in processes.items():
            if process.poll() is not None:
                raise ClusterError(f"{name} ended with code {process.returncode}; its log: {folder / f'{name}.log'}")
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=5) as response:
            if len(json.load(response)["taskmanagers"]) == task_managers:
                return
        time.sleep(0.5)
    raise ClusterError(f"not {task_managers} TaskManagers within {UP_WITHIN:.0f} s; logs: {folder}")


def example_folders(output: Path) -> dict[str, Path]:
    """Returns the folders of ExampleGen's and Transform's examples, by step."""
    artifacts = output / "movielens" / "artifacts"
    outputs = {"ExampleGen": "examples", "Transform": "transformed_examples"}
    return {step: next((artifacts / step / name).glob("*/Split-train")).parent for step, name in outputs.items()}


def compare(data: Path, ratings: int, scratch: Path, cluster: Cluster, console: Console) -> int:
    """Runs the steps without Flink and on a cluster; returns 1 if a run fails or records differ."""
    addresses = [f"--set=beam.flink.{name}={getattr(cluster, name)}" for name in ("master", "worker_pool")]
    table = Table("where", *STEPS, "together", "peak of the runner")
    folders = []
    for name, options in (("this process", []), ("Flink", ["--beam=flink", *addresses])):
        console.print(f"{name}:", highlight=False)
        folder = scratch / name.split()[0]
        run = run_steps(ratings, data, folder, options)
        if run is None:
            console.print(f"error: the run failed; its output is above, the cluster's logs are in {scratch}")
            return 1
        folders.append(example_folders(folder))
        times = [f"{value:.1f} s" for value in (*(run.seconds[step] for step in STEPS), run.total)]
        table.add_row(name, *times, f"{run.peak_bytes / 2**30:.2f} GiB")
    console.print(table)
    local, on_flink = folders
    code = 0
    for step in local:
        expected, actual = digests(local[step]), digests(on_flink[step])
        counts = ", ".join(f"{split} {count:,}" for split, (count, _) in expected.items())
        console.print(f"{step}: {counts}: {'the same' if expected == actual else 'DIFFERENT'}", highlight=False)
        if expected != actual or not expected:
            code = 1
    return code


def main(arguments: list[str] | None = None) -> int:
    """Runs the steps, and prints a comparison; returns 1 if a run fails or records differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratings", type=int, default=1_000_000, metavar="N", help="default: 1,000,000")
    parser.add_argument("--data", type=Path, metavar="PATH", help="ratings to take in place of generated ones")
    parser.add_argument("--task-managers", type=int, default=2, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--heap", type=int, default=512, metavar="MB", help="of each Java process (default: %(default)s)"
    )
    parser.add_argument(
        "--scratch", type=Path, metavar="FOLDER", help="a new folder that keeps data, artifacts and logs"
    )
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that the cluster ends, too
    with contextlib.ExitStack() as stack:
        scratch = (options.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory()))).resolve()
        try:
            jar = make_jar()
            data = options.data.resolve() if options.data else make_data(options.ratings, scratch / "data", "ml-32m")
            cluster = running(jar, scratch / "cluster", options.task_managers, options.heap)
            return compare(data, options.ratings, scratch, stack.enter_context(cluster), console)
        except (ClusterError, JarError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
