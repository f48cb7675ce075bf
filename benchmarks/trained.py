"""The pipeline's own model on a test split: trained by its steps, ranked by its SavedModel."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.prepared import batches, run_steps
from pipeline import steps
from pipeline.config import PipelineConfig
from pipeline.local_execution import Observer


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        ranks: of each test target among the unseen items, from 0; int64 [U], V where it is a miss.
        holdout_recall_at_10: on the eval split, of the epoch that was kept.
        epochs: how many there were.
        seconds: that fitting took.
    """

    ranks: np.ndarray
    holdout_recall_at_10: float
    epochs: int
    seconds: float


def train(
    data: Path, config: PipelineConfig, output: Path, cache_dir: Path, observer: Observer, raw_test: list[bytes]
) -> Trained:
    """Run the steps up to the Trainer, as `local_runner.py` does, and rank raw test examples with what it saved.

    Args:
        data: ratings, a folder, zip or CSV file.
        config: what to compute.
        output: folder of artifacts and metadata.
        cache_dir: folder for unpacked archives.
        observer: told of every step.
        raw_test: serialized raw examples.

    Raises:
        StepFailed: a step raised an error.
    """
    results = run_steps(data, config, output, cache_dir, observer, steps.TRAINER)
    folder = Path(results[steps.TRAINER].outputs["model"][0].uri) / "Format-Serving"
    facts = json.loads((folder / "model_facts.json").read_text(encoding="utf-8"))
    kept = facts["history"][facts["best_epoch"] - 1]
    ranks = saved_model_ranks(folder, raw_test)
    return Trained(ranks, kept["recall_at_10"], len(facts["history"]), facts["history"][-1]["seconds"])


def saved_model_ranks(folder: Path, raw_examples: list[bytes]) -> np.ndarray:
    """Ranks that the Evaluator measures too: the `rank` signature on raw examples, int64 [U]."""
    rank = tf.saved_model.load(str(folder)).signatures["rank"]
    found = [rank(examples=tf.constant(batch))["target_rank"].numpy() for batch in batches(raw_examples)]
    return np.concatenate(found).astype(np.int64)
