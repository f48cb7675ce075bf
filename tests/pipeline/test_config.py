"""Configuration: files, overrides, and one line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import ConfigError, PipelineConfig, load_config, read_assignments

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path):
    assert isinstance(load_config(path), PipelineConfig)


def test_overrides_replace_values_of_the_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("trainer: {encoder: cnn, dimension: 32}\n")
    config = load_config(path, {"trainer.dimension": 16, "transform.history_length": 10})
    assert (config.trainer.encoder, config.trainer.dimension, config.transform.history_length) == ("cnn", 16, 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer: {encodr: cnn}", "trainer.encodr: unknown key; did you mean 'encoder'?"),
        ("trainr: {}", "trainr: unknown key; did you mean 'trainer'?"),
        (
            "transform: {history_length: 0}",
            "transform.history_length: input should be greater than or equal to 1, not 0",
        ),
        (
            "trainer: {encoder: gru}",
            "trainer.encoder: input should be 'bow', 'cnn', 'lstm' or 'transformer', not 'gru'",
        ),
        ("teacher: {dimension: 50, heads: 4}", "teacher.dimension 50 is not divisible by 4 heads"),
        ("teacher: {activity_features: [hour]}", "names hour, which trainer.activity_features lacks"),
        ("teacher: {repeats: recommend}", "teacher.repeats recommend differs from trainer.repeats auto; set both"),
        ("teacher: {warm_start: true}", "teacher.warm_start is not possible: a teacher begins with fresh weights"),
        (
            "{teacher: {}, trainer: {label_smoothing: 0.1}}",
            "with a teacher, trainer.label_smoothing must be 0: the teacher's scores take its place",
        ),
        (
            "{teacher: {}, trainer: {loss: gbce}}",
            "with a teacher, trainer.loss must be full_softmax, not gbce",
        ),
        ("trainer: {dimension: 50, heads: 4}", "trainer.dimension 50 is not divisible by 4 heads"),
        ("name: Movie Lens", "name: may contain only lower-case letters, digits, '-' and '_', not 'Movie Lens'"),
        (
            "gate: {max_regression: 0.02}",
            "gate: max_regression was removed: the gate now allows a loss of two standard errors; "
            "remove it, or set baseline_runs to 0",
        ),
        ("a: [", "line 2: not YAML"),
        (
            "trainer: {}\ngate: {}\ntrainer: {}",
            "line 3: not YAML: the key 'trainer' is also in line 1; keep one of them",
        ),
        ("trainer:\n  seed: 1\n  seed: 2", "line 3: not YAML: the key 'seed' is also in line 2"),
        ("trainer: {members: [{lookback: 3}]}", "trainer.members.0.lookback: unknown key; did you mean 'look_back'?"),
        ("teacher: {encodr: cnn}", "teacher.encodr: unknown key; did you mean 'encoder'?"),
        (
            "deployment: {resources: {Trainer: {gpus: 1}}}",
            "deployment.resources.Trainer.gpus: unknown key; did you mean 'gpu'?",
        ),
        (
            "data: {missing: [na, null]}",
            "data.missing.1: expected text, not None; put words such as null, yes and on in quotes",
        ),
        (
            "{data: {activity: {pric: words}}, trainer: {activity_features: [price]}}",
            "data.activity names 'pric', no column in trainer.activity_features; did you mean 'price'?",
        ),
        ("data: {activity: {price: words}}", "no column in trainer.activity_features; add it there, or remove it here"),
        (
            "data: {separator: §}",
            "data.separator: expected one or two ASCII characters, but no quotation mark or line end; ",
        ),
        ("data: {separator: '|||'}", "\\t for a tab, not '|||'"),
        (
            "deployment: {resources: {Trainer: {memory: 8}}}",
            "memory: expected a number and a unit, such as 8Gi or 500M, not 8",
        ),
        ("- a", "expected keys and values, found list"),
    ],
)
def test_a_mistake_is_reported_in_one_line(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text + "\n")
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_keys_that_a_merge_repeats_are_allowed(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("teacher: &large\n  dimension: 128\ntrainer:\n  <<: *large\n  dimension: 32\n")
    assert load_config(path).trainer.dimension == 32


def test_numbers_are_text_where_a_setting_is_text(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("example_gen: {events: {1: 0.50, 02: 1}, targets: [1]}\n")
    values = "{A: 1, B: 010, C: 12:30, D: 1.10, E: 2026-03-01}"
    config = load_config(path, read_assignments([f"deployment.env={values}", "trainer.dropout=1.0e-1"]))
    assert config.example_gen.events == {"1": 0.5, "02": 1}
    assert config.example_gen.targets == ("1",)
    assert config.deployment.env == {"A": "1", "B": "010", "C": "12:30", "D": "1.10", "E": "2026-03-01"}
    assert config.trainer.dropout == 0.1


@pytest.mark.parametrize(
    ("value", "separator"), [(r"\t", "\t"), ("\t", "\t"), (" ", " "), ("", None), ("::", "::"), ("';'", ";")]
)
def test_separators_of_the_command_line(value, separator):
    assert load_config(None, read_assignments([f"data.separator={value}"])).data.separator == separator


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such configuration file"):
        load_config(tmp_path / "nowhere.yaml")
