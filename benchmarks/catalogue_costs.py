"""Measures the files and the evaluation of random catalogues, and the client that loads a file."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tfx.types import artifact_utils, standard_artifacts
from tfx.types import standard_component_specs as specs
from tfx.utils import proto_utils

from benchmarks.latency import start_seconds
from benchmarks.random_catalogue import item_counts, popular_items, save_model, write_raw_examples
from benchmarks.runtime_matrix import overlap
from components import features
from components.evaluation import read_metrics
from components.evaluator.component import Executor
from components.evaluator.eval_config import make_eval_config
from components.evaluator.settings import GateSettings
from components.pusher.convert import convert_each
from components.pusher.manifest import describe_files
from components.pusher.settings import Precision
from components.trainer.settings import TrainerSettings
from on_device.artifact import FORMAT, INFO, ITEMS, MODEL
from on_device.memory import measure
from on_device.tflite_model import TFLiteModel
from pipeline.beam_runners import LOCAL_ARGUMENTS

WARM_UP, STARTS = 3, 3
SAVED_MODEL, EXAMPLES = "model/Format-Serving", "examples"


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
    histories = popular_items(np.random.default_rng(1), items, (WARM_UP + runs, history_length))
    contents = convert_each(loaded, precisions)
    costs, expected = [], None
    for precision, content in zip(precisions, contents, strict=True):
        model = TFLiteModel(content)
        answers, times = [], []
        for history in histories:
            started = time.perf_counter()
            ids, _ = model.rank(history)
            times.append(1000 * (time.perf_counter() - started))
            answers.append(ids)
        if precision == "float32":
            expected = answers
        costs.append(
            {
                "precision": precision,
                "size_bytes": len(content),
                "median_ms": float(np.median(times[WARM_UP:])),
                "p90_ms": float(np.percentile(times[WARM_UP:], 90)),
                "agreement_at_10": expected and overlap(expected, answers),
            }
        )
    return costs, min(contents, key=len)


def client_costs(
    folder: Path, content: bytes, items: int, settings: TrainerSettings, history_length: int
) -> dict[str, Any]:
    """Writes a model's folder as the Pusher does, and loads it in new processes.

    Returns:
        `items_bytes`; `start_seconds`, the median from the start of Python to the first answer; and `memory_bytes` and
        `peak_bytes`, the growth of the process's memory, and of its peak, by loading and an answer.
    """
    folder.mkdir(parents=True)
    metadata = {"genres": ["Drama", "Comedy"], "year": 1990}
    entries = [
        {"index": index, "id": f"item-{index}", "title": f"Film number {index}", **metadata, "count": count}
        for index, count in enumerate(item_counts(items).tolist())
    ]
    content_of_items = {"format": FORMAT, "items": entries[features.FIRST_INDEX :]}
    (folder / MODEL).write_bytes(content)
    (folder / ITEMS).write_text(json.dumps(content_of_items), encoding="utf-8")
    info = {"format": FORMAT, "history_length": history_length, "top_k": settings.top_k, "num_items": items}
    (folder / INFO).write_text(json.dumps({**info, **describe_files(folder)}), encoding="utf-8")
    memory = measure(folder)
    return {
        "items_bytes": (folder / ITEMS).stat().st_size,
        "start_seconds": start_seconds(folder, STARTS),
        "memory_bytes": memory.growth if memory else 0,
        "peak_bytes": memory.peak_growth if memory else 0,
    }


def prepare_evaluation(folder: Path, items: int, users: int, settings: TrainerSettings, history_length: int) -> None:
    """Writes a model with random weights, and a test split of random users."""
    save_model(folder / SAVED_MODEL, items, settings, history_length)
    split = folder / EXAMPLES / f"Split-{features.TEST}"
    split.mkdir(parents=True)
    write_raw_examples(split / "data_tfrecord-00000-of-00001.gz", users, items, history_length)


def evaluate(folder: Path) -> dict[str, Any]:
    """Runs the Evaluator's executor as the pipeline does.

    Args:
        folder: with the files of `prepare_evaluation`.

    Returns:
        `seconds`, and `metrics` of the test split.
    """
    examples, model = standard_artifacts.Examples(), standard_artifacts.Model()
    examples.uri, model.uri, model.id = str(folder / EXAMPLES), str((folder / SAVED_MODEL).parent), 1
    examples.split_names = artifact_utils.encode_split_names([features.TEST])
    evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
    evaluation.uri, blessing.uri = str(folder / "evaluation"), str(folder / "blessing")
    settings = GateSettings(min_recall_at_10=0, min_lift_over_popularity=0, min_lift_over_markov=0)
    context = Executor.Context(LOCAL_ARGUMENTS, str(folder / "scratch"), unique_id="1")
    started = time.monotonic()
    Executor(context).Do(
        {specs.EXAMPLES_KEY: [examples], specs.MODEL_KEY: [model]},
        {specs.EVALUATION_KEY: [evaluation], specs.BLESSING_KEY: [blessing]},
        {
            specs.EVAL_CONFIG_KEY: proto_utils.proto_to_json(make_eval_config(settings)),
            specs.EXAMPLE_SPLITS_KEY: json.dumps([features.TEST]),
        },
    )
    return {"seconds": time.monotonic() - started, "metrics": read_metrics(evaluation.uri)["overall"]}
