"""The highest of many scores, selected in two stages in TensorFlow and in a TFLite file, compared with one sort."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from components.pusher.operator_versions import oldest_runtime
from components.trainer import ranking
from components.trainer.ranking import WIDTH, two_stage_top_k

LENGTH = 5
SIZES = (4 * WIDTH * LENGTH, 4 * WIDTH * LENGTH + 1, 5 * WIDTH * LENGTH - 1)


def in_tensorflow(size: int) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    return lambda scores: tuple(tensor.numpy() for tensor in two_stage_top_k(tf.constant(scores), LENGTH))


def in_a_file(size: int) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    concrete = tf.function(lambda scores: two_stage_top_k(scores, LENGTH)).get_concrete_function(
        tf.TensorSpec([1, size], tf.float32)
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    content = bytes(converter.convert())
    assert oldest_runtime(content) == "1.11.0"
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()

    def run(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], scores)
        interpreter.invoke()
        outputs = [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
        ids, values = sorted(outputs, key=lambda values: values.dtype == np.float32)
        return values, ids

    return run


@pytest.mark.parametrize("make", [in_tensorflow, in_a_file])
@pytest.mark.parametrize("size", SIZES)
def test_two_stages_have_the_same_result_as_one_sort(monkeypatch, make, size):
    monkeypatch.setattr(ranking, "MANY", 0)
    run, random = make(size), np.random.default_rng(size)
    many_ties = random.integers(0, 4, size).astype(np.float32)  # most scores are equal
    last = np.full(size, -25_000.0, np.float32)
    last[-1], last[WIDTH - 1 : WIDTH + 1] = 3, 7
    for scores in (
        random.normal(size=size).astype(np.float32),
        many_ties,
        np.zeros(size, np.float32),
        last,
        -many_ties,
    ):
        order = np.lexsort((np.arange(size), -scores))[:LENGTH]
        values, ids = run(scores[None, :])
        assert ids.tolist() == [order.tolist()]
        np.testing.assert_array_equal(values, [scores[order]])


def test_few_scores_are_sorted_in_one_stage(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("few scores are sorted in two stages")

    monkeypatch.setattr(tf, "pad", refuse)
    assert two_stage_top_k(tf.constant([[1.0, 3.0, 2.0]]), 2)[1].numpy().tolist() == [[1, 2]]
