"""Devices for training: one CPU, one or more GPUs, or several machines."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import statistics
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from components.errors import StepError
from components.settings import GPUS

SAMPLING_INTERVAL = 5.0  # seconds
UTILISATION = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")

progress = logging.getLogger("recommender.progress")


def make_strategy() -> tf.distribute.Strategy:
    """Returns the distribution strategy; call it before TensorFlow computes anything.

    Where `TF_CONFIG` names several workers, as on Vertex AI and with Kubeflow's training operator, all workers train
    one model (`MultiWorkerMirroredStrategy`). Otherwise the model is trained on all GPUs of this machine
    (`MirroredStrategy`), on its only GPU, or on its CPU. `trainer.batch_positions` is always the global batch size.

    Raises:
        StepError: TensorFlow sees fewer GPUs than the step requested (environment variable `GPUS`).
    """
    visible, requested = tf.config.list_physical_devices("GPU"), int(os.environ.get(GPUS) or 0)
    if len(visible) < requested:
        raise StepError(
            f"{requested} GPUs were requested, but TensorFlow sees {len(visible)}: compare the image's CUDA with the "
            "node's driver, or request none (deployment.resources.Trainer.gpu: 0)"
        )
    for gpu in visible:
        tf.config.experimental.set_memory_growth(gpu, True)
    if len(_workers()) > 1:
        strategy: tf.distribute.Strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif len(visible) > 1:
        strategy = tf.distribute.MirroredStrategy()
    else:
        strategy = tf.distribute.get_strategy()
    progress.info("training on %s", describe(strategy))
    return strategy


def describe(strategy: tf.distribute.Strategy) -> str:
    """Returns a description of the devices of a strategy."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "a GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    workers = len(_workers())
    devices = ", ".join(gpus) if gpus else f"{os.cpu_count()} CPU cores"
    return f"{workers} workers, this one with {devices}" if workers > 1 else devices


@contextlib.contextmanager
def gpu_utilisation() -> Iterator[Callable[[], float | None]]:
    """Samples the utilisation of this machine's GPUs with `nvidia-smi`.

    Yields:
        A function that returns the mean utilisation so far, from 0 to 1; None without a GPU or `nvidia-smi`.
    """
    samples: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLING_INTERVAL):
            try:
                output = subprocess.run(UTILISATION, capture_output=True, text=True, timeout=30, check=True).stdout
                samples.append(statistics.mean(float(line) for line in output.split()) / 100)
            except (OSError, ValueError, subprocess.SubprocessError):
                return

    thread = threading.Thread(target=sample, daemon=True)
    if tf.config.list_physical_devices("GPU"):
        thread.start()
    try:
        yield lambda: statistics.mean(samples) if samples else None
    finally:
        stop.set()


def is_chief() -> bool:
    """Returns whether this process writes the outputs of training: the only worker, the chief, or the first worker."""
    task = _tf_config("task")
    has_chief = "chief" in _tf_config("cluster")
    return len(_workers()) < 2 or task.get("type") == "chief" or (not has_chief and not task.get("index"))


def worker_name() -> str:
    """Returns a suffix for file names that is unique to this worker; empty where there is only one."""
    task = _tf_config("task")
    return f"-{task.get('type')}-{task.get('index')}" if len(_workers()) > 1 else ""


def _workers() -> list[str]:
    """Returns the addresses of all workers."""
    cluster = _tf_config("cluster")
    return [*cluster.get("chief", []), *cluster.get("worker", [])]


def _tf_config(section: str) -> dict[str, Any]:
    """Returns a section of the environment variable `TF_CONFIG`; empty where there is none."""
    config: dict[str, dict[str, Any]] = json.loads(os.environ.get("TF_CONFIG") or "{}")
    return config.get(section, {})
