"""Trains the pipeline's own models, and ranks the targets of a test split with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.prepared import batches, run_steps
from benchmarks.ranking import Ranking
from pipeline import steps
from pipeline.config import PipelineConfig
from pipeline.console import ConsoleObserver


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        ranking: of the test targets.
        holdout_recall_at_10: on the eval split, of the model that was saved.
        seconds: of fitting.
    """

    ranking: Ranking
    holdout_recall_at_10: float
    seconds: float


def train(
    data: Path, config: PipelineConfig, output: Path, cache_dir: Path, observer: ConsoleObserver, raw_test: list[bytes]
) -> Trained:
    """Runs the steps up to the Trainer, and ranks `raw_test`, raw test examples, with the SavedModel.

    The other arguments, and the errors, are those of `run_steps`.
    """
    results = run_steps(data, config, output, cache_dir, observer, steps.TRAINER)
    folder = Path(results[steps.TRAINER].outputs["model"][0].uri) / "Format-Serving"
    facts = json.loads((folder / "model_facts.json").read_text(encoding="utf-8"))
    kept = facts["history"][facts["best_epoch"] - 1]
    return Trained(
        saved_model_ranking(folder, raw_test),
        facts.get("recall_with_gain", kept["recall_at_10"]),
        facts["history"][-1]["seconds"],
    )


def saved_model_ranking(folder: Path, raw_examples: list[bytes]) -> Ranking:
    """Ranks the targets of raw examples as the Evaluator does, with the signature `rank`."""
    rank = tf.saved_model.load(str(folder)).signatures["rank"]
    answers = [rank(examples=tf.constant(batch)) for batch in batches(raw_examples)]
    ranks, lists = (np.concatenate([answer[key].numpy() for answer in answers]) for key in ("target_rank", "top_ids"))
    return Ranking(ranks.astype(np.int64), lists)
