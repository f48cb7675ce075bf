"""Where training runs: this processor, its GPUs, or several machines."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import statistics
import subprocess
import threading
from collections.abc import Callable, Iterator

import tensorflow as tf

from components.errors import StepError
from components.settings import GPUS

SAMPLED_EVERY = 5.0  # seconds
UTILISATION = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")

progress = logging.getLogger("recommender.progress")


def make_strategy() -> tf.distribute.Strategy:
    """Returns how training is distributed; to be called before TensorFlow computes anything.

    With the `TF_CONFIG` of more than one worker, as Vertex AI and Kubeflow's training operator set it, all workers
    train one model (`MultiWorkerMirroredStrategy`). Otherwise all GPUs of this machine do (`MirroredStrategy`), or its
    one GPU, or its processor. In all of them `trainer.batch_positions` is the size of the batch of all together.

    Raises:
        StepError: TensorFlow sees fewer GPUs than a cluster was asked for, which the environment variable `GPUS` says.
    """
    visible, gpus = tf.config.list_physical_devices("GPU"), int(os.environ.get(GPUS) or 0)
    if len(visible) < gpus:
        raise StepError(
            f"{gpus} GPUs were asked for, and TensorFlow sees {len(visible)}: compare the image's CUDA with the node's "
            "driver, or ask for none (deployment.resources.Trainer.gpu: 0)"
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
    """Returns where a strategy trains, in words."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "a GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    workers = len(_workers())
    here = ", ".join(gpus) if gpus else f"{os.cpu_count()} CPU cores"
    return f"{workers} workers, this one with {here}" if workers > 1 else here


@contextlib.contextmanager
def gpu_utilisation() -> Iterator[Callable[[], float | None]]:
    """Samples how busy the GPUs of this machine are, as `nvidia-smi` reports it.

    Yields:
        Returns the mean share of time in which the GPUs computed, from 0 to 1; None where there is no GPU, or no
        `nvidia-smi`.
    """
    samples: list[float] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLED_EVERY):
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
        over.set()


def is_chief() -> bool:
    """Returns whether this process writes what training leaves: it does where there are no other workers."""
    task = json.loads(os.environ.get("TF_CONFIG") or "{}").get("task", {})
    return len(_workers()) < 2 or task.get("type") == "chief" or ("chief" not in _cluster() and not task.get("index"))


def worker_name() -> str:
    """Returns a part of a name that differs between workers; empty where there is only one."""
    task = json.loads(os.environ.get("TF_CONFIG") or "{}").get("task", {})
    return f"-{task.get('type')}-{task.get('index')}" if len(_workers()) > 1 else ""


def _cluster() -> dict[str, list[str]]:
    cluster: dict[str, list[str]] = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    return cluster


def _workers() -> list[str]:
    return [*_cluster().get("chief", []), *_cluster().get("worker", [])]
