"""What a large catalogue costs: each part in a process of its own, whose memory is that part's.

    .venv/bin/python -m benchmarks.catalogue_costs evaluate FOLDER

is how `large_catalogue.py` starts them; FOLDER holds what `prepare_evaluation` writes.
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

from benchmarks.processes import Measured, measure
from benchmarks.random_catalogue import counts_of, popular_items, save_model, write_examples
from components import features
from components.errors import StepError
from components.evaluation import read_metrics
from components.evaluator.component import Executor
from components.evaluator.eval_config import make_eval_config
from components.evaluator.settings import GateSettings
from components.trainer.input_pipeline import ITEMS, RATINGS, TIMES
from components.trainer.lazy_adam import LazyAdam
from components.trainer.model import Recommender
from components.trainer.settings import TrainerSettings
from pipeline.beam_runners import LOCAL_ARGUMENTS
from pipeline.console import quiet

MODEL, EXAMPLES, ASKED, FOUND = "model", "examples", "asked.json", "found.json"
STEPS = 20


def in_a_process(part: str, folder: Path, asked: dict[str, Any]) -> tuple[dict[str, Any], Measured]:
    """Run a part and give what it found, and what its processes took, imports included.

    Raises:
        StepError: it failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ASKED).write_text(json.dumps(asked), encoding="utf-8")
    measured = measure([sys.executable, "-m", "benchmarks.catalogue_costs", part, str(folder)])
    if measured.code:
        raise StepError(f"{part}: exit code {measured.code}; {folder / f'{part}.log'} tells more")
    found: dict[str, Any] = json.loads((folder / FOUND).read_text(encoding="utf-8"))
    return found, measured


def prepare_evaluation(folder: Path, items: int, users: int, settings: TrainerSettings, history_length: int) -> None:
    """Write a model with random weights, and a test split of random users."""
    save_model(folder / MODEL / "Format-Serving", items, settings, history_length)
    split = folder / EXAMPLES / f"Split-{features.TEST}"
    split.mkdir(parents=True)
    write_examples(split / "data_tfrecord-00000-of-00001.gz", users, items, history_length)


def evaluate(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Run the Evaluator's executor as the pipeline does.

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


def train(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Time training steps on random windows.

    Args:
        folder: not needed.
        asked: `settings` of the Trainer, `history_length` and number of `items`.

    Returns:
        `step_ms`, a median.
    """
    settings = TrainerSettings(**asked["settings"]).decided()
    model = Recommender(settings, asked["history_length"], counts_of(asked["items"]))
    model.compile(LazyAdam())
    model.optimizer.build(model.trainable_variables)
    train_step = tf.function(model.train_step)
    shape = (max(settings.batch_positions // settings.window, 1), settings.window)
    random = np.random.default_rng(0)
    times = []
    for _ in range(1 + STEPS):  # The first traces.
        items = tf.constant(popular_items(random, asked["items"], shape), tf.int32)
        activities = {ITEMS: items, RATINGS: tf.ones(shape), TIMES: tf.zeros(shape, tf.int32)}
        started = time.perf_counter()
        float(train_step((activities, tf.roll(items, -1, axis=1), tf.ones(shape)))["loss"])
        times.append(time.perf_counter() - started)
    return {"step_ms": 1000 * statistics.median(times[1:])}


def main() -> int:
    """Run a part; its log lies in its folder."""
    part, folder = sys.argv[1], Path(sys.argv[2])
    with quiet(folder / f"{part}.log"):
        asked = json.loads((folder / ASKED).read_text(encoding="utf-8"))
        found = {"evaluate": evaluate, "train": train}[part](folder, asked)
        (folder / FOUND).write_text(json.dumps(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
