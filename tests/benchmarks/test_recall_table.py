"""Tests the cells of the table of history lengths, and the plot."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.plots import plot_lengths
from benchmarks.ranking import Estimate, Ranking
from benchmarks.recall_table import cell_config, main
from benchmarks.trained import Trained


def test_a_cell_has_the_configuration_of_its_encoder_with_another_history_length(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.recall_table.CONFIGS", tmp_path)
    (tmp_path / "lstm.yaml").write_text(
        "transform:\n  history_length: 10\ntrainer:\n  encoder: lstm\n  window: 20\n  dropout: 0.4\n", encoding="utf-8"
    )
    (tmp_path / "cnn.yaml").write_text("trainer:\n  encoder: cnn\n", encoding="utf-8")
    lstm, cnn = cell_config("lstm", 50, {"trainer.max_minutes": 2.0}), cell_config("cnn", 50, {})
    assert lstm.transform.history_length == cnn.transform.history_length == 50
    assert lstm.trainer.window == 100 and lstm.trainer.dropout == 0.4 and lstm.trainer.max_minutes == 2
    assert cnn.trainer.window == cell_config("cnn", 5, {}).trainer.window == 200
    assert cell_config("lstm", 50, {"trainer.window": 30}).trainer.window == 30


def test_encoders_with_other_data_steps_are_an_error(monkeypatch, tmp_path, capsys):
    for encoder, settings in (("bow", ""), ("cnn", "example_gen: {min_interactions: 5}")):
        (tmp_path / f"{encoder}.yaml").write_text(settings)
    monkeypatch.setattr("benchmarks.recall_table.CONFIGS", tmp_path)
    assert main(["--data", "data/sample", "--encoders", "bow", "cnn"]) == 2
    assert "differ in example_gen or transform; set equal values" in capsys.readouterr().err


def test_every_cell_is_trained_and_written(monkeypatch, tmp_path, make_timelines):
    rows = [[(user + step) % 20 + 2 for step in range(6)] for user in range(40)]
    data = SimpleNamespace(
        train=make_timelines([row[:-2] for row in rows]),
        holdout=make_timelines([row[:-2] for row in rows], [row[-2] for row in rows]),
        test=make_timelines([row[:-1] for row in rows], [row[-1] for row in rows]),
        raw_test=[b""] * 40,
        size=22,
        recommends_seen=False,
    )
    trainings = []

    def train(data, config, *rest):
        trainings.append((config.name, config.trainer.encoder, config.transform.history_length))
        return Trained(Ranking(np.where(np.arange(40) < 10, 0, 15), np.zeros((40, 10))), 0.5, 61.0)

    monkeypatch.setattr("benchmarks.prepared.prepare", lambda *arguments: data)
    monkeypatch.setattr("benchmarks.trained.train", train)
    file, plot = tmp_path / "recall.json", tmp_path / "recall.svg"
    arguments = ["--encoders", "bow", "cnn", "--lengths", "10", "5", "--json", str(file), "--plot", str(plot)]
    assert main(["--data", "data/sample", *arguments]) == 0
    assert [training[1:] for training in trainings] == [("bow", 5), ("bow", 10), ("cnn", 5), ("cnn", 10)]
    assert len({name for name, *_ in trainings}) == 1, "the cells share the data steps"
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["references"].keys() == {"popularity", "EASE", "Markov"}
    assert content["references"]["Markov"]["mean"] == 1.0
    expected = {"eval_recall_at_10": 0.5, "recall_at_10": 0.25, "standard_error": pytest.approx(0.0685, abs=1e-4)}
    assert content["cells"][1] == {"encoder": "bow", "history_length": 10, "seconds": 61.0, **expected}
    assert plot.exists()


def test_the_plot_labels_every_line(tmp_path):
    lines = {
        name: {5: Estimate(0.1, 0.01), 20: Estimate(0.1 + number / 50, 0.01)}
        for number, name in enumerate(("bow", "cnn"))
    }
    for name in ("a", "b"):
        plot_lengths(lines, {"popularity": 0.04, "EASE": 0.11}, tmp_path / f"{name}.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert all(f">{word}</text>" in text for word in ("bow", "cnn", "popularity", "EASE", "5", "20"))
    assert text == (tmp_path / "b.svg").read_text(encoding="utf-8")
    assert "fill: #ffffff" not in text, "the background is transparent"


def test_an_invalid_argument_is_a_one_line_error(capsys):
    assert main(["--data", "nowhere", "--encoders", "bow", "--lengths", "5"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere: no such file or folder")
    assert main(["--data", "nowhere", "--set", "trainer.droput=1"]) == 2
    assert "did you mean 'dropout'" in capsys.readouterr().err
    assert main(["--data", "nowhere", "--set", "trainer.dropout"]) == 2
    assert "expected KEY=VALUE" in capsys.readouterr().err
