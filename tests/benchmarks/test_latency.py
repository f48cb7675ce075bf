"""The reference of 2021, made again, and how files are timed beside it."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from benchmarks import reference_model
from benchmarks.device_latency import RANKING, REFERENCE, inference_times


@pytest.fixture(scope="module")
def reference() -> bytes:
    return reference_model.reference_file()


def test_reference_has_the_published_shape(reference: bytes) -> None:
    interpreter = Interpreter(model_content=reference)
    runner = interpreter.get_signature_runner()
    assert runner.get_input_details()["history"]["shape"].tolist() == [1, 10]
    answer = runner(history=np.arange(1, 11, dtype=np.int32)[None, :])
    assert answer["ids"].shape == answer["scores"].shape == (1, 100)
    assert (np.diff(answer["scores"][0]) <= 0).all() and answer["ids"].max() < 3953
    table = 4 * 3953 * 16
    assert table < len(reference) < 1.5 * table, "items are stored once, in float32"


def test_ranking_finds_the_best() -> None:
    scores = np.random.default_rng(1).normal(size=(1, 3953)).astype(np.float32)
    interpreter = Interpreter(model_content=reference_model.ranking_file())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], scores)
    interpreter.invoke()
    found = [interpreter.get_tensor(output["index"])[0] for output in interpreter.get_output_details()]
    (ids,) = (values for values in found if values.dtype == np.int32)
    assert ids.tolist() == np.argsort(-scores[0])[:100].tolist()


def test_times_are_told_over_the_reference(reference: bytes) -> None:
    files = {REFERENCE: (reference, 3953), RANKING: (reference_model.ranking_file(), 3953)}
    found = inference_times(files, runs=200)
    assert found[REFERENCE]["ratio"] == 1.0 and found[REFERENCE]["size_bytes"] == len(reference)
    assert 0 < found[RANKING]["median_us"] < found[REFERENCE]["median_us"]
    assert found[RANKING]["ratio"] == pytest.approx(
        found[RANKING]["median_us"] / found[REFERENCE]["median_us"], abs=0.01
    )
