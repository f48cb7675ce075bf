"""Measures training and evaluation with a large catalogue. Each runs in a process of its own, to measure its memory.

`large_catalogue.py` calls `run_process`, which starts `python -m benchmarks.catalogue_costs PART FOLDER`.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tfx.types import artifact_utils, standard_artifacts
from tfx.types import standard_component_specs as specs
from tfx.utils import proto_utils

from benchmarks.processes import measure
from benchmarks.random_catalogue import item_counts, popular_items, save_model, write_examples
from components import features
from components.errors import StepError
from components.evaluation import read_metrics
from components.evaluator.component import Executor
from components.evaluator.eval_config import make_eval_config
from components.evaluator.settings import GateSettings
from components.trainer.input_pipeline import ITEMS, RATINGS, TIMES
from components.trainer.lazy_adam import LazyAdam
from components.trainer.model import RecommenderModel
from components.trainer.settings import TrainerSettings
from pipeline.beam_runners import LOCAL_ARGUMENTS
from pipeline.console import quiet

MODEL, EXAMPLES, REQUEST, RESULT = "model", "examples", "request.json", "result.json"
STEPS = 20


def run_process(part: str, folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Runs a part in a new process.

    Args:
        part: `train` or `evaluate`.
        folder: for its files and log.
        request: argument of the part.

    Returns:
        The result of the part, and `peak_bytes`, the peak memory over all its processes.

    Raises:
        StepError: the process failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
    cost = measure([sys.executable, "-m", "benchmarks.catalogue_costs", part, str(folder)])
    if cost.code:
        raise StepError(f"{part}: exit code {cost.code}; see {folder / f'{part}.log'}")
    result: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    return {**result, "peak_bytes": cost.peak_bytes}


def prepare_evaluation(folder: Path, items: int, users: int, settings: TrainerSettings, history_length: int) -> None:
    """Writes a model with random weights, and a test split of random users."""
    save_model(folder / MODEL / "Format-Serving", items, settings, history_length)
    split = folder / EXAMPLES / f"Split-{features.TEST}"
    split.mkdir(parents=True)
    write_examples(split / "data_tfrecord-00000-of-00001.gz", users, items, history_length)


def evaluate(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Runs the Evaluator's executor as the pipeline does.

    Args:
        folder: with the files of `prepare_evaluation`.
        request: not used.

    Returns:
        `seconds`, and `metrics` of the test split.
    """
    examples, model = standard_artifacts.Examples(), standard_artifacts.Model()
    examples.uri, model.uri, model.id = str(folder / EXAMPLES), str(folder / MODEL), 1
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


def train(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Times training steps on random windows.

    Args:
        folder: not used.
        request: `settings` of the Trainer, `history_length` and number of `items`.

    Returns:
        `step_ms`, the median of a step.
    """
    settings = TrainerSettings(**request["settings"]).decided()
    assert settings.batch_positions is not None  # `decided` sets it
    model = RecommenderModel(settings, request["history_length"], item_counts(request["items"]))
    model.compile(LazyAdam())
    model.optimizer.build(model.trainable_variables)
    train_step = tf.function(model.train_step)
    shape = (max(settings.batch_positions // settings.window, 1), settings.window)
    random = np.random.default_rng(0)
    times = []
    for _ in range(1 + STEPS):  # The first one traces.
        items = tf.constant(popular_items(random, request["items"], shape), tf.int32)
        activities = {ITEMS: items, RATINGS: tf.ones(shape), TIMES: tf.zeros(shape, tf.int32)}
        started = time.perf_counter()
        float(train_step((activities, tf.roll(items, -1, axis=1), tf.ones(shape)))["loss"])
        times.append(time.perf_counter() - started)
    return {"step_ms": 1000 * statistics.median(times[1:])}


def main() -> int:
    """Runs a part, with its log in its folder; returns the exit code."""
    part, folder = sys.argv[1], Path(sys.argv[2])
    with quiet(folder / f"{part}.log"):
        request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
        result = {"evaluate": evaluate, "train": train}[part](folder, request)
        (folder / RESULT).write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
