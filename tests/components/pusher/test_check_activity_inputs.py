"""The check gives the file the same histories as the SavedModel, with all inputs of the model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from components import features
from components.pusher.check import check_files

HISTORIES = {
    "history": np.array([[2, 3, 0], [4, 0, 0], [0, 0, 0]], np.int32),
    "ratings": np.array([[1, 4.5, 0], [2, 0, 0], [0, 0, 0]], np.float32),
    "times": np.array([[10, 20, 0], [30, 0, 0], [0, 0, 0]], np.int32),
}
TIMELINES = np.array([[5, 2, 3], [4, 0, 0], [0, 0, 0]], np.int32)
TARGETS = np.array([7, 8, 9], np.int32)


class Recorder:
    """A client that recommends 7 and 8, and records its inputs."""

    def __init__(self, inputs: list[str]):
        self.structured_input_signature = ((), dict.fromkeys(inputs))
        self.calls: list[dict[str, list]] = []
        self.top_k, self.items = 2, range(8)

    def rank_indices(self, **inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.calls.append({name: np.asarray(values).ravel().tolist() for name, values in inputs.items()})
        return np.array([7, 8]), np.array([2.0, 1.0])


@pytest.mark.parametrize("inputs", [["history"], ["history", "times"], ["history", "ratings", "times"]])
def test_the_file_gets_all_inputs_of_the_model(tmp_path: Path, inputs: list[str]) -> None:
    path = tmp_path / "test.gz"
    user = tf.train.Example()
    user.features.feature[features.USER_ID].bytes_list.value.append(b"1")
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for _ in TARGETS:
            writer.write(user.SerializeToString())
    encoded = {name: HISTORIES[name] for name in inputs} | {"left_out": TIMELINES, "target": TARGETS}
    client = Recorder(inputs)
    signatures = {
        "recommend": client,
        "encode_examples": lambda examples: {name: tf.constant(values) for name, values in encoded.items()},
        "serving_default": lambda examples: {"ids": tf.constant([[7, 8]] * len(TARGETS))},
    }
    (check,) = check_files(SimpleNamespace(signatures=signatures), [client], [str(path)])
    expected = [{name: HISTORIES[name][row].tolist() for name in inputs} for row in range(3)]
    expected[0]["exclude"] = [5]  # It is older than the history.
    assert client.calls == expected
    assert check.agreement_at_10 == 1 and check.examples == 3
    assert check.metrics["recall_at_1"] == pytest.approx(1 / 3)
