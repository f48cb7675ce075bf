"""Measures model files of random catalogues, and the client that loads them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.latency import start_seconds
from benchmarks.random_catalogue import item_counts, popular_items, save_model
from components import features
from components.pusher.convert import convert
from components.pusher.manifest import describe_files
from components.pusher.settings import Precision
from components.trainer.settings import TrainerSettings
from on_device.artifact import FORMAT, INFO, ITEMS, MODEL
from on_device.memory import measure
from on_device.tflite_model import TFLiteModel

WARM_UP, STARTS, CUT = 3, 3, 10


def file_costs(
    folder: Path,
    items: int,
    settings: TrainerSettings,
    history_length: int,
    precisions: Sequence[Precision],
    runs: int,
) -> tuple[list[dict[str, Any]], bytes]:
    """Converts a model with random weights to some precisions, and times an answer of each file on one thread.

    Returns:
        For each precision `size_bytes`, `median_ms`, `p90_ms` and `agreement_at_10`, the mean share of the float32
        file's best ten items that this file also has, None before the float32 file; and the content of the smallest
        file.
    """
    save_model(folder / "model", items, settings, history_length)
    loaded = tf.saved_model.load(str(folder / "model"))
    random = np.random.default_rng(1)
    histories = [popular_items(random, items, (history_length,)) for _ in range(WARM_UP + runs)]
    files, smallest, expected = [], b"", None
    for precision in precisions:
        content = convert(loaded, precision)
        answers, times = _answers(TFLiteModel(content), histories)
        if precision == "float32":
            expected = answers
        files.append(
            {
                "precision": precision,
                "size_bytes": len(content),
                "median_ms": 1000 * float(np.median(times[WARM_UP:])),
                "p90_ms": 1000 * float(np.percentile(times[WARM_UP:], 90)),
                "agreement_at_10": expected and _agreement(expected, answers),
            }
        )
        smallest = min(smallest or content, content, key=len)
    return files, smallest


def _answers(model: TFLiteModel, histories: list[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    answers, times = [], np.empty(len(histories))
    for number, history in enumerate(histories):
        started = time.perf_counter()
        answers.append(model.rank(history)[0][:CUT])
        times[number] = time.perf_counter() - started
    return answers, times


def _agreement(expected: list[np.ndarray], answers: list[np.ndarray]) -> float:
    shares = [len(np.intersect1d(*pair)) / len(pair[0]) for pair in zip(expected, answers, strict=True)]
    return float(np.mean(shares))


def client_costs(
    folder: Path, content: bytes, items: int, settings: TrainerSettings, history_length: int
) -> dict[str, Any]:
    """Writes a model's folder as the Pusher does, and loads it in new processes.

    Returns:
        `items_bytes`; `start_seconds`, the median from the start of Python to the first answer; and `memory_bytes` and
        `peak_bytes`, the growth of the process's memory, and of its peak, by loading and an answer.
    """
    folder.mkdir(parents=True)
    entries = [
        {
            "index": index,
            "id": f"item-{index}",
            "title": f"Film number {index}",
            "genres": ["Drama", "Comedy"],
            "year": 1990,
            "count": int(count),
        }
        for index, count in enumerate(item_counts(items)[features.FIRST_INDEX :], start=features.FIRST_INDEX)
    ]
    (folder / MODEL).write_bytes(content)
    (folder / ITEMS).write_text(json.dumps({"format": FORMAT, "items": entries}), encoding="utf-8")
    info = {"format": FORMAT, "history_length": history_length, "top_k": settings.top_k, "num_items": items}
    (folder / INFO).write_text(json.dumps({**info, **describe_files(folder)}), encoding="utf-8")
    memory = measure(folder)
    return {
        "items_bytes": (folder / ITEMS).stat().st_size,
        "start_seconds": start_seconds(folder, STARTS),
        "memory_bytes": memory.growth if memory else 0,
        "peak_bytes": memory.peak_growth if memory else 0,
    }
