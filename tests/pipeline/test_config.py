"""Configuration: files, overrides, and one line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import ConfigError, PipelineConfig, load_config

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


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such configuration file"):
        load_config(tmp_path / "nowhere.yaml")
