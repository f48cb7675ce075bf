"""A pool serves two TaskManagers that have the same id for their first worker."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import psutil
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from pipeline import worker_pool

WITHIN = 60.0  # seconds, of which importing Beam takes most
WORKER_ID = "1-1"


class TaskManager(beam_fn_api_pb2_grpc.BeamFnControlServicer, beam_fn_api_pb2_grpc.BeamFnLoggingServicer):
    """The services of a TaskManager that a worker without work needs."""

    def __init__(self) -> None:
        self.connected: queue.Queue[str] = queue.Queue()
        self.logged: queue.Queue[str] = queue.Queue()
        self._ended = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(4))
        beam_fn_api_pb2_grpc.add_BeamFnControlServicer_to_server(self, self._server)
        beam_fn_api_pb2_grpc.add_BeamFnLoggingServicer_to_server(self, self._server)
        self.address = f"localhost:{self._server.add_insecure_port('localhost:0')}"
        self._server.start()

    def Control(self, responses: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        self.connected.put(dict(context.invocation_metadata())["worker_id"])
        self._ended.wait()
        return iter(())

    def Logging(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        for message in messages:
            for entry in message.log_entries:
                self.logged.put(entry.message)
        return iter(())

    def close(self) -> None:
        self._ended.set()
        self._server.stop(None)


def workers() -> list[psutil.Process]:
    """Returns the workers that are alive."""
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if any("sdk_worker_main" in word for word in child.cmdline())]


def wait_for(number: int) -> None:
    deadline = time.monotonic() + WITHIN
    while len(workers()) != number:
        assert time.monotonic() < deadline, f"{len(workers())} workers, not {number}"
        time.sleep(0.1)


def test_each_task_manager_has_its_own_worker():
    server, pool, port = worker_pool.serve("localhost", 0)
    managers = [TaskManager(), TaskManager()]
    try:
        with grpc.insecure_channel(f"localhost:{port}") as channel:
            stub = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
            for manager in managers:
                request = beam_fn_api_pb2.StartWorkerRequest(worker_id=WORKER_ID)
                request.control_endpoint.url = request.logging_endpoint.url = manager.address
                assert not stub.StartWorker(request).error
            assert [manager.connected.get(timeout=WITHIN) for manager in managers] == [WORKER_ID, WORKER_ID]
            assert managers[0].logged.get(timeout=WITHIN), "logs go to Flink"
            stub.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id=WORKER_ID))
            managers[0].close()
            wait_for(1)  # the worker of the first TaskManager ended with its control channel
            assert managers[1].connected.empty()
        pool.close()
        wait_for(0)
    finally:
        pool.close()
        server.stop(None)
        for manager in managers:
            manager.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_pool(number: int):
    command = [sys.executable, "-m", "pipeline.worker_pool", "--port", "0"]
    with subprocess.Popen(command, cwd=worker_pool.ROOT, stdout=subprocess.PIPE, text=True) as pool:
        assert pool.stdout.readline().startswith("starts workers for localhost:")
        pool.send_signal(number)
        assert pool.wait(WITHIN) == 0


def test_a_port_in_use_is_an_error(capsys: pytest.CaptureFixture[str]):
    server, _, port = worker_pool.serve("localhost", 0)
    assert worker_pool.main(["--port", str(port)]) == 2
    assert capsys.readouterr().err == f"error: --port {port}: cannot listen on localhost; choose a free port\n"
    server.stop(None)
