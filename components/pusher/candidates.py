"""Converts a model in several precisions, and chooses one of the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.pusher.check import Check
from components.pusher.convert import convert_each
from components.pusher.describe import describe
from components.pusher.operator_versions import oldest_runtime
from components.pusher.settings import Precision, PusherSettings, Signature
from on_device.artifact import Artifact, Item
from on_device.latency import latencies
from on_device.recommender import Recommender

LATENCY_RUNS = 200


@dataclass(frozen=True)
class File:
    """A model in one precision.

    Attributes:
        precision: precision of the weights.
        content: content of the `.tflite` file.
        recommender: the client with the file loaded.
        latency_us: median latency of `recommend` in microseconds, on one thread, with XNNPACK.
        latency_without_xnnpack_us: the same without XNNPACK.
        min_runtime: oldest TensorFlow Lite version that runs the file.
    """

    precision: Precision
    content: bytes
    recommender: Recommender
    latency_us: float
    latency_without_xnnpack_us: float
    min_runtime: str

    def facts(self, check: Check) -> dict[str, float | int | str]:
        """Returns the entry in `model_info.json` of a file that may be chosen, with its check on the eval split."""
        return {
            "precision": self.precision,
            "size_bytes": len(self.content),
            "latency_us": self.latency_us,
            "latency_without_xnnpack_us": self.latency_without_xnnpack_us,
            "recall_at_10": check.metrics["recall_at_10"],
            "agreement_at_10": check.agreement_at_10,
        }


def make_files(
    loaded: Any,
    items: Sequence[Item],
    model_info: dict[str, Any],
    precisions: Sequence[Precision],
    signatures: Sequence[Signature],
) -> list[File]:
    """Converts a model in several precisions, and measures the latency of each file.

    Args:
        loaded: the SavedModel.
        items: the catalogue.
        model_info: the Trainer's facts about the model.
        precisions: the precisions, one file each.
        signatures: names of the signatures of each file.

    Raises:
        StepError: old runtimes cannot run a file correctly.
    """
    description = (
        f"Recommends {model_info['top_k']} of {len(items):,} items from the last {model_info['history_length']} items "
        f"of a user ({model_info['encoder']}). Item indices are those of items.json."
    )
    files = []
    contents = convert_each(loaded, precisions, signatures)
    runtimes = [oldest_runtime(content) for content in contents]
    for precision, converted, runtime in zip(precisions, contents, runtimes, strict=True):
        content = describe(converted, "On-device recommender", description)
        artifact = Artifact(Path(), model_info, content, tuple(items))
        recommender = Recommender(artifact)
        times = _median_us(recommender), _median_us(Recommender(artifact, xnnpack=False))
        files.append(File(precision, content, recommender, *times, runtime))
    return files


def _median_us(recommender: Recommender) -> float:
    """Returns the median latency of `recommend` in microseconds, rounded to a tenth."""
    return round(float(np.median(latencies(recommender, LATENCY_RUNS))), 1)


def choose(files: Sequence[File], checks: Sequence[Check], settings: PusherSettings) -> File:
    """Returns the smallest file that loses little of the first file's recall and agrees with the SavedModel.

    Args:
        files: the files, float32 first if there are several.
        checks: the check of each file on the eval split.
        settings: settings of the Pusher.
    """
    min_recall = checks[0].recall * (1 - settings.max_recall_loss)
    acceptable = [
        file
        for file, check in zip(files[1:], checks[1:], strict=True)
        if check.recall >= min_recall and check.agreement_at_10 >= settings.min_agreement
    ]
    return min([files[0], *acceptable], key=lambda file: len(file.content))
