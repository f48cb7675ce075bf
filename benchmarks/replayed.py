"""Runs the pipeline on the interactions before a time, and compares models on those after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.logs import Log, Targets, write_prefix
from benchmarks.ranking import Estimate, paired_difference, recall
from benchmarks.trained import saved_model_ranking
from components.evaluator.gate import read_verdict
from components.example_validator.results import read_drift
from data.dataset import fingerprint
from data.formats import open_dataset
from pipeline import local_execution, steps
from pipeline.config import PipelineConfig
from pipeline.console import ConsoleObserver
from pipeline.local_pipeline import create_local_pipeline, is_stale

CUT = 10
MODEL_STEPS = {"retrained": steps.TRAINER, "refitted": steps.REFIT}


def run(
    log: Log, before: int, config: PipelineConfig, output: Path, cache_dir: Path, console: Console
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Runs the pipeline on the interactions before a time; the runs of all times share one folder.

    Returns:
        The folders of SavedModels: `retrained`, which the gate tested, and `refitted`, which was fitted again after the
        gate, if there is one; and the `drift` of the data (see `read_drift`), whether the gate `blessed` the model, and
        the reasons of the `gate`.
    """
    data = write_prefix(log, before, output / "prefixes" / str(before))
    pipeline = create_local_pipeline(
        config,
        data,
        fingerprint(open_dataset(data, cache_dir)),
        output / config.name,
        output / "serving_models",
        cache_dir,
        enable_cache=True,
    )
    results = local_execution.run(pipeline, ConsoleObserver(console), is_stale=is_stale)
    outputs = {result.name: result.outputs for result in results}
    folders = {
        name: Path(outputs[step]["model"][0].uri) / "Format-Serving"
        for name, step in MODEL_STEPS.items()
        if step in outputs
    }
    drift = read_drift(outputs[steps.EXAMPLE_VALIDATOR]["anomalies"][0].uri)
    verdict = read_verdict(outputs[steps.EVALUATOR]["evaluation"][0].uri)
    facts = {"drift": drift, "blessed": verdict.blessed, "gate": "; ".join(verdict.reasons)}
    return {name: folder for name, folder in folders.items() if folder.exists()}, facts


def compare(models: dict[str, Path], targets: Targets) -> dict[str, Any]:
    """Compares models on the same targets; each model ranks all items that it can recommend.

    Args:
        models: folders of SavedModels: `first`, `retrained` and, if there is one, `refitted`.
        targets: of a period.

    Returns:
        `targets`, `users`, and the share `of_new_users`; for each model `recall_at_10`, and the share of targets that
        are `unknown` to it; and differences of Recall@10: `difference` between the retrained and the first model,
        `difference_known` on the targets that the first model knows, `refit` between the refitted and the retrained
        model. Standard errors are over users.
    """
    ranks = {name: saved_model_ranking(folder, targets.examples).ranks for name, folder in models.items()}
    known = {name: np.isin(targets.items, _item_ids(folder)) for name, folder in models.items()}

    def difference(name: str, other: str, chosen: np.ndarray | slice = slice(None)) -> Estimate:
        return paired_difference(ranks[name][chosen], ranks[other][chosen], targets.users[chosen])

    return {
        "targets": len(targets.items),
        "users": len(np.unique(targets.users)),
        "of_new_users": float(targets.new_user.mean()),
        **{
            name: {"recall_at_10": recall(ranks[name], CUT, targets.users), "unknown": float(1 - known[name].mean())}
            for name in models
        },
        "difference": difference("retrained", "first"),
        "difference_known": difference("retrained", "first", known["first"]),
        **({"refit": difference("refitted", "retrained")} if "refitted" in models else {}),
    }


def _item_ids(folder: Path) -> np.ndarray:
    """Returns the ids that a model can recommend, bytes [V]."""
    facts = json.loads((folder / "model_facts.json").read_text(encoding="utf-8"))
    return np.array([item.encode() for item in facts["item_ids"]])
