"""Refit fits a blessed model on complete timelines, and does nothing without a blessing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tfx.types import Artifact, artifact_utils, standard_artifacts

from components.refit import executor
from components.refit.executor import Executor
from components.trainer import run
from components.trainer.fit import Plan
from components.trainer.settings import TrainerSettings

FACTS = {
    "settings": TrainerSettings(learning_rate=0.01).model_dump(mode="json"),
    "recommends_seen": True,
    "repeat_gain": 2.0,
    "split": "temporal",
    "best_epoch": 5,
    "trained_on": 80,
    "item_ids": ["a", "b"],
    "started_from": "",
}


@pytest.fixture
def refit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[dict[str, Any]]]:
    """Returns a function that runs the step and returns the arguments of the calls to the Trainer's functions."""
    calls: list[dict[str, Any]] = []
    data = SimpleNamespace(train=SimpleNamespace(items=range(100)), ids=["a", "b", "c"])
    monkeypatch.setattr(executor, "read_training_data", lambda arguments: calls.append(vars(arguments)) or data)
    monkeypatch.setattr(executor, "check", lambda settings, data, has_teacher: None)

    def fit_and_save(
        settings, data, *paths: str, plan: Plan, facts: dict, base: Any = None, strategy: Any = None, teacher: str = ""
    ) -> None:
        calls.append({"settings": settings, "paths": paths, "plan": plan, "facts": facts, "base": base})

    monkeypatch.setattr(executor, "fit_and_save", fit_and_save)

    def run_step(blessed: int) -> list[dict[str, Any]]:
        inputs: dict[str, Artifact] = {
            "candidate": standard_artifacts.Model(),
            "model_blessing": standard_artifacts.ModelBlessing(),
            "examples": standard_artifacts.Examples(),
            "transform_graph": standard_artifacts.TransformGraph(),
        }
        for name, artifact in inputs.items():
            artifact.uri = str(tmp_path / name)
        inputs["model_blessing"].set_int_custom_property("blessed", blessed)
        inputs["examples"].split_names = artifact_utils.encode_split_names(["all", "catalog"])
        folder = tmp_path / "candidate" / "Format-Serving"
        folder.mkdir(parents=True)
        (folder / run.FACTS_FILE).write_text(json.dumps(FACTS), encoding="utf-8")
        model = standard_artifacts.Model()
        model.uri = str(tmp_path / "refitted")
        Executor().Do({name: [artifact] for name, artifact in inputs.items()}, {"model": [model]}, {"checkpoints": "c"})
        return calls

    return run_step


def test_without_a_blessing_nothing_is_refitted(refit, tmp_path: Path):
    assert refit(0) == []
    assert not (tmp_path / "refitted").exists()


def test_after_a_warm_start_the_refit_starts_from_the_candidate(refit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(FACTS, "started_from", "an earlier model")
    _, fitted = refit(1)
    assert fitted["base"] == (str(tmp_path / "candidate" / "Format-Serving"), Plan(5, begin=run.WARM_START))


def test_the_refit_uses_the_settings_and_epochs_of_the_candidate(refit, tmp_path: Path):
    read, fitted = refit(1)
    assert read["train_files"] == [f"{tmp_path}/examples/Split-all/*", f"{tmp_path}/examples/Split-catalog/*"]
    assert read["eval_files"] == []
    assert fitted["settings"] == TrainerSettings(learning_rate=0.01, repeats="recommend", repeat_gain=2.0)
    assert fitted["plan"] == Plan(5) and fitted["base"] is None
    assert fitted["paths"] == (
        str(tmp_path / "transform_graph"),
        str(tmp_path / "refitted" / "Format-Serving"),
        "c",
    )
    assert fitted["facts"] == {"split": "temporal", "candidate_trained_on": 80, "candidate_items": 2}
