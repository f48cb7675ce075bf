"""The cells of the table of history lengths, and the picture."""

from __future__ import annotations

import pytest

from benchmarks import inputs
from benchmarks.ranking import Estimate
from benchmarks.recall_cells import Results, settings_key
from benchmarks.recall_plot import plot
from benchmarks.recall_table import cell_config, main
from pipeline.config import ConfigError


def test_a_cell_is_the_encoders_own_configuration_with_another_history(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.recall_table.CONFIGS", tmp_path)
    (tmp_path / "lstm.yaml").write_text(
        "transform:\n  history_length: 10\ntrainer:\n  encoder: lstm\n  window: 20\n  dropout: 0.4\n", encoding="utf-8"
    )
    (tmp_path / "cnn.yaml").write_text("trainer:\n  encoder: cnn\n", encoding="utf-8")
    bound, free = cell_config("lstm", 50, {"trainer.max_minutes": 2.0}), cell_config("cnn", 50, {})
    assert bound.transform.history_length == free.transform.history_length == 50
    assert bound.trainer.window == 100 and bound.trainer.dropout == 0.4 and bound.trainer.max_minutes == 2
    assert free.trainer.window == cell_config("cnn", 5, {}).trainer.window == 200
    assert cell_config("lstm", 50, {"trainer.window": 30}).trainer.window == 30


def test_cells_are_computed_once(tmp_path):
    file = tmp_path / "recall.json"
    first, other = cell_config("bow", 5, {}), cell_config("bow", 10, {})
    key = settings_key("targets", first)
    assert Results(file).find(key) is None
    Results(file).add({"key": key, "recall_at_10": 0.5})
    assert Results(file).find(key) == {"key": key, "recall_at_10": 0.5}
    assert Results(file).find(settings_key("targets", other)) is None
    assert Results(file).find(settings_key("other targets", first)) is None
    assert Results(None).find(key) is None


def test_the_picture_names_every_line(tmp_path):
    lines = {
        name: {5: Estimate(0.1, 0.01), 20: Estimate(0.1 + at / 50, 0.01)} for at, name in enumerate(("bow", "cnn"))
    }
    for name in ("a", "b"):
        plot(lines, {"popularity": 0.04, "EASE": 0.11}, tmp_path / f"{name}.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert all(f">{word}</text>" in text for word in ("bow", "cnn", "popularity", "EASE", "5", "20"))
    assert text == (tmp_path / "b.svg").read_text(encoding="utf-8")
    assert "fill: #ffffff" not in text, "no ground of its own"


def test_mistakes_are_one_line(capsys):
    assert main(["--data", "nowhere", "--encoders", "bow", "--lengths", "5"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere: no such file or folder")
    assert main(["--data", "nowhere", "--set", "trainer.droput=1"]) == 2
    assert "did you mean 'dropout'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="expected KEY=VALUE"):
        inputs.overrides(["trainer.dropout"])
    assert inputs.overrides(["a.b=1", "c=x=y"]) == {"a.b": 1, "c": "x=y"}
