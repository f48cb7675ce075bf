"""Tests the cells of the table of history lengths, and the plot."""

from __future__ import annotations

from benchmarks.plots import plot_lengths
from benchmarks.ranking import Estimate
from benchmarks.recall_table import Results, cell_config, main, settings_key


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


def test_cells_are_computed_once(tmp_path):
    file = tmp_path / "recall.json"
    first, second = cell_config("bow", 5, {}), cell_config("bow", 10, {})
    key = settings_key("targets", first)
    assert Results(file).find(key) is None
    Results(file).add({"key": key, "recall_at_10": 0.5})
    assert Results(file).find(key) == {"key": key, "recall_at_10": 0.5}
    assert Results(file).find(settings_key("targets", second)) is None
    assert Results(file).find(settings_key("other targets", first)) is None
    assert Results(None).find(key) is None


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
