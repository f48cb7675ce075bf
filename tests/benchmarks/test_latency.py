"""Tests the reference model of 2021, and the times of files relative to it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from rich.console import Console

from benchmarks import reference_model
from benchmarks.latency import REFERENCE, _Model, inference_times, report
from components.errors import StepError
from on_device.artifact import Artifact
from tests.on_device.conftest import ITEMS, NextFilms


@pytest.fixture(scope="module")
def reference() -> bytes:
    return reference_model.reference_file()


def test_reference_has_the_published_shape(reference: bytes) -> None:
    interpreter = Interpreter(model_content=reference)
    runner = interpreter.get_signature_runner()
    assert runner.get_input_details()["history"]["shape"].tolist() == [1, 10]
    outputs = runner(history=np.arange(1, 11, dtype=np.int32)[None, :])
    assert outputs["ids"].shape == outputs["scores"].shape == (1, 100)
    assert (np.diff(outputs["scores"][0]) <= 0).all() and outputs["ids"].max() < 3953
    table = 4 * 3953 * 16
    assert table < len(reference) < 1.5 * table, "items are stored once, in float32"


def test_the_reference_is_trained(reference: bytes) -> None:
    """Popular items, which have low indices, come first."""
    outputs = Interpreter(model_content=reference).get_signature_runner()(
        history=np.arange(10, dtype=np.int32)[None, :]
    )
    assert np.median(outputs["ids"]) < 300


def test_times_have_ratios_to_the_reference(reference: bytes) -> None:
    files = {REFERENCE: (reference, 3953), "copy": (reference, 3953)}
    times = inference_times(files, runs=200)
    assert times[REFERENCE]["ratio"] == 1.0 and times[REFERENCE]["size_bytes"] == len(reference)
    ratio = times["copy"]["median_us"] / times[REFERENCE]["median_us"]
    assert 0.5 < ratio < 2 and times["copy"]["ratio"] == pytest.approx(ratio, abs=0.03)


def test_a_file_is_timed_and_an_invalid_file_is_an_error(reference: bytes) -> None:
    times = report([], {"own.tflite": (reference, 100)}, 20, False, Console(file=io.StringIO()))
    assert set(times) == {REFERENCE, "own.tflite"} and times["own.tflite"]["median_us"] > 0
    with pytest.raises(StepError, match=r"own\.tflite: LiteRT cannot run this file"):
        report([], {"own.tflite": (b"no model", 100)}, 20, False, Console(file=io.StringIO()))


def test_a_pushed_version_is_timed(reference: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.latency.start_seconds", lambda folder, runs: 0.5)
    folder = tmp_path / "films" / "3"
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(reference)
    info = {"pipeline": "films", "version": "3", "encoder": "bow", "precision": "float32", "history_length": 10}
    artifact = Artifact(folder, {**info, "num_items": 3952}, folder / "model.tflite", ())
    times = report([artifact], {}, 20, False, Console(file=io.StringIO()))
    pushed = times["films/3, bow, N = 10, float32"]
    assert pushed["ratio"] > 0 and pushed["start_seconds"] == 0.5


def test_the_signature_recommend_is_timed_even_if_it_is_not_the_first() -> None:
    content = NextFilms().convert()
    inputs_of_first_signature = {tensor["name"] for tensor in Interpreter(model_content=content).get_input_details()}
    assert any("item" in name for name in inputs_of_first_signature)
    model = _Model(content, OpResolverType.AUTO)
    model.fill(np.random.default_rng(0), ITEMS)
    model.invoke()
    assert model._subgraph > 0
    assert set(model._inputs) == {"history", "bias"}
