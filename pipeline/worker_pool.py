"""A pool that starts Python workers for the TaskManagers of a Flink cluster on this machine.

    .venv/bin/python -m pipeline.worker_pool --port 50000

Beam's own pool serves only one TaskManager. It identifies workers by an id that is unique only within a TaskManager, so
it stops workers of other TaskManagers with the same id. Their tasks then wait forever. It also starts the `python` on
PATH instead of this environment's, and never reads the output of its workers, so that a worker with much output blocks.
This pool serves all TaskManagers. A worker runs Beam's own program in this environment, logs to Flink, and ends when
Flink closes its control channel.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from google.protobuf import text_format

from on_device.command_line import command_line

ROOT = Path(__file__).parent.parent
GRACE = 5.0  # seconds


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts a process for each worker that a TaskManager requests."""

    def __init__(self) -> None:
        self._workers: list[subprocess.Popen[bytes]] = []

    def StartWorker(
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """See Beam's `beam_fn_api.proto`."""
        environment = {
            **os.environ,
            "WORKER_ID": request.worker_id,
            "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(request.control_endpoint),
            "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(request.logging_endpoint),
        }
        command = [sys.executable, "-m", "apache_beam.runners.worker.sdk_worker_main"]
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        self._workers.append(subprocess.Popen(command, cwd=ROOT, env=environment))
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Does nothing: the worker ends with its control channel, and the id does not identify its TaskManager."""
        return beam_fn_api_pb2.StopWorkerResponse()

    def close(self) -> None:
        """Stops all workers."""
        for worker in self._workers:
            worker.terminate()


def serve(host: str, port: int) -> tuple[grpc.Server, WorkerPool, int]:
    """Starts a pool; returns its server, the pool and the port. For port 0, the system chooses a free port.

    Raises:
        RuntimeError: the port is in use.
    """
    pool = WorkerPool()
    # With one thread, requests do not overlap.
    server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    port = server.add_insecure_port(f"{host}:{port}")
    server.start()
    return server, pool, port


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Serves until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=50000, help="default: %(default)s")
    parser.add_argument("--host", default="localhost", help="address to listen on (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        server, pool, port = serve(options.host, options.port)
    except RuntimeError:
        print(f"error: --port {options.port}: cannot listen on {options.host}; choose a free port", file=sys.stderr)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        print(f"starts workers for {options.host}:{port}", flush=True)
        server.wait_for_termination()
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        server.stop(GRACE).wait()  # Until no request starts another worker.
        pool.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
