"""Several workers train the same model as one worker, and resume after one of them dies."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from components.trainer import devices
from components.trainer.devices import gpu_utilisation, is_chief, make_strategy, worker_name
from tests.components.trainer import worker
from tests.forked import ROOT, run_together

PROGRAM = "tests.components.trainer.worker"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [socket_.getsockname()[1] for socket_ in sockets]
    for socket_ in sockets:
        socket_.close()
    return ports


def cluster_of(workers: int) -> list[str]:
    """Returns the `TF_CONFIG` of each worker."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    return [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}})
        for number in range(workers)
    ]


def run(folder: Path, *arguments: str, workers: int = 1) -> list[int]:
    """Runs a program for each worker, and returns their exit codes."""
    configs = [{"TF_CONFIG": config} for config in cluster_of(workers)] if workers > 1 else [{}]
    processes = run_together(PROGRAM, arguments, ROOT, [{**os.environ, **config} for config in configs])
    (folder / "stderr").write_text("\n".join(process.stderr for process in processes))
    return [process.returncode for process in processes]


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def curve(content: dict[str, Any]) -> list[tuple[float, float]]:
    return [(epoch["loss"], epoch["recall_at_10"]) for epoch in content["history"]]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[float, float]]:
    """Returns the curve of a fit in this process."""
    result = tmp_path_factory.mktemp("single") / "one"
    worker.main(["sampled_softmax", "0", "-", "0", str(result)])
    losses = [loss for loss, _ in curve(read(result))]
    assert losses[-1] < 0.1 * losses[0]
    return curve(read(result))


def is_same_curve(actual: list[tuple[float, float]], expected: list[tuple[float, float]]) -> bool:
    return [recall for _, recall in actual] == [recall for _, recall in expected] and [
        loss for loss, _ in actual
    ] == pytest.approx([loss for loss, _ in expected], rel=1e-3, abs=1e-4)


def test_two_workers_have_the_curve_of_one_worker_even_after_one_dies(tmp_path, single):
    arguments = ("sampled_softmax", "0", str(tmp_path / "backup"))
    assert run(tmp_path, *arguments, "2", str(tmp_path / "killed"), workers=2) == [9, 9]
    assert not (tmp_path / "killed-worker-0").exists()
    assert run(tmp_path, *arguments, "0", str(tmp_path / "again"), workers=2) == [0, 0]
    for number in range(2):
        content = read(tmp_path / f"again-worker-{number}")
        assert (content["replicas"], content["measured"]) == (2, 3), "two of the five epochs were done"
        assert is_same_curve(curve(content), single)


def test_two_devices_of_one_machine_have_the_curve_of_one_device(tmp_path, single):
    assert run(tmp_path, "sampled_softmax", "0", "-", "0", str(tmp_path / "two"), "mirrored") == [0]
    assert read(tmp_path / "two")["replicas"] == 2 and is_same_curve(curve(read(tmp_path / "two")), single)


def test_a_requested_gpu_that_is_missing_is_an_error(monkeypatch):
    monkeypatch.setenv("REQUESTED_GPUS", "2")
    with pytest.raises(StepError, match="2 GPUs were requested, but TensorFlow sees 0: compare the image's CUDA"):
        make_strategy()


def test_the_utilisation_of_gpus_is_the_mean_that_their_driver_reports(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 20\necho 60\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(devices, "SAMPLING_INTERVAL", 0.05)
    with gpu_utilisation() as utilisation:
        time.sleep(0.3)
        assert utilisation() is None, "TensorFlow sees no GPU"
    monkeypatch.setattr(devices.tf.config, "list_physical_devices", lambda kind: [kind])
    with gpu_utilisation() as utilisation:
        for _ in range(200):
            time.sleep(0.05)
            if utilisation() is not None:
                break
        assert utilisation() == pytest.approx(0.4)
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with gpu_utilisation() as utilisation:
        time.sleep(0.3)
        assert utilisation() is None, "there is no nvidia-smi"


@pytest.mark.parametrize(
    ("config", "chief", "name"),
    [
        ("", True, ""),
        (json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}), True, ""),
        (
            json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}),
            True,
            "-worker-0",
        ),
        (
            json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}),
            False,
            "-worker-1",
        ),
        (
            json.dumps({"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}}),
            *(True, "-chief-0"),
        ),
        (
            json.dumps({"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}),
            *(False, "-worker-0"),
        ),
    ],
)
def test_one_worker_is_the_chief_and_several_workers_have_names(monkeypatch, config, chief, name):
    monkeypatch.setenv("TF_CONFIG", config)
    assert (is_chief(), worker_name()) == (chief, name)
