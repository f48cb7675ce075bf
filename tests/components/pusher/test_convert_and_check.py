"""The converted file and its check."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from tfx.types import Artifact

from components.errors import StepError
from components.pusher import check
from components.pusher.check import Check, Row, require_agreement
from components.pusher.component import TFLitePusher
from components.pusher.convert import convert
from components.pusher.settings import PusherSettings
from on_device.tflite_model import TFLiteModel


@pytest.fixture(scope="module")
def loaded(inputs: dict[str, list[Artifact]]) -> Any:
    return tf.saved_model.load(f"{inputs['model'][0].uri}/Format-Serving")


@pytest.fixture(scope="module")
def content(loaded: Any) -> bytes:
    return convert(loaded, "float16")


def test_conversion_is_deterministic(content: bytes, inputs: dict[str, list[Artifact]]) -> None:
    loaded_again = tf.saved_model.load(f"{inputs['model'][0].uri}/Format-Serving")
    assert convert(loaded_again, "float16") == content


def test_the_file_has_the_chosen_signatures(loaded: Any, content: bytes) -> None:
    recommend = {"recommend": {"inputs": ["bias", "history"], "outputs": ["ids", "scores"]}}
    similar = {"similar": {"inputs": ["bias", "item"], "outputs": ["ids", "scores"]}}
    explain = {"explain": {"inputs": ["history", "item"], "outputs": ["contributions"]}}

    def signatures(*names: str) -> dict[str, Any]:
        return dict(Interpreter(model_content=convert(loaded, "float16", names)).get_signature_list())

    assert Interpreter(model_content=content).get_signature_list() == recommend | similar | explain
    assert signatures("recommend") == recommend
    assert signatures("recommend", "explain") == recommend | explain


def test_the_file_returns_similar_items_and_contributions(content: bytes) -> None:
    model = TFLiteModel(content)
    ids, scores = model.similar(5, np.array([6]))
    assert set(ids[:3].tolist()) == {4, 3, 7} and scores[0] == pytest.approx(29 / 30, abs=1e-3)
    assert model.explain(np.array([2, 3, 4]), 6).tolist() == [0, 0, 28]
    assert model.explain(np.arange(2, 12), 13).tolist() == [0, 0, 0, 0, 28]


@pytest.mark.parametrize("precision", ["float32", "dynamic_int8"])
def test_names_of_tensors_are_short_and_unique(loaded: Any, precision: str) -> None:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(convert(loaded, precision)))
    names = [tensor.name for graph in model.subgraphs for tensor in graph.tensors]
    assert len(set(names)) == len(names) > 10 and max(map(len, names)) <= 3


def test_weights_are_stored_once(loaded: Any, ring: SimpleNamespace) -> None:
    assert convert(loaded, "float32").count(ring.Model().table.numpy().tobytes()) == 1


def test_the_file_excludes_items(content: bytes) -> None:
    model = TFLiteModel(content)
    ids, scores = model.rank(np.array([2, 3]), np.array([4, 6, 6, 0, 1]))
    assert ids.tolist() == [5, *range(7, 18)]
    assert scores.tolist() == [28.0, *range(26, 15, -1)]


def test_empty_places_of_a_list_are_dropped(content: bytes, ring: SimpleNamespace) -> None:
    model = TFLiteModel(content)
    ids, scores = model.rank(np.array([2]), np.arange(3, 30))
    assert (ids.tolist(), scores.tolist()) == ([30, 31], [2.0, 1.0])
    assert not len(model.rank(np.array([2]), np.arange(32))[0])


@pytest.mark.parametrize(
    ("expected", "actual", "share"),
    [([5, 6, 7, 8], [8, 7, 9, 10], 0.5), ([5], [5], 1.0), ([5, 6], [], 0.0), ([], [], 1.0), ([], [5], 0.0)],
)
def test_overlap_is_the_share_of_common_items(expected: list[int], actual: list[int], share: float) -> None:
    assert check._overlap(np.array(expected), np.array(actual)) == share


# One of four hits is lost and one is gained: the differences are -1, +1, 0 and 0.
@pytest.mark.parametrize(
    ("users", "error"), [("abcd", np.std([-1, 1, 0, 0]) / 2), ("abba", 0.0), ("aabb", math.sqrt(2) / 4)]
)
def test_the_standard_error_of_the_change_of_recall_is_over_users(users: str, error: float) -> None:
    class File:
        top_k, items = 12, range(40)

        def rank_indices(self, history: list[int], exclude: object = None) -> tuple[np.ndarray, None]:
            return np.arange(2, 12) + history[0], None

    sums = check._CheckSums(File())
    # The SavedModel's top ten are 2 to 11; those of the file start at 2, 4, 4 and 2.
    for user, (first, target) in zip(users, [(0, 5), (2, 3), (2, 13), (0, 30)], strict=True):
        sums.add(Row(user.encode(), {"history": [first]}, np.array([]), target, np.arange(2, 12)))
    result = sums.check()
    assert result.recall == 0.5
    assert result.recall_error == pytest.approx(error)


# The file may lose 10% of 0.5, and must agree on 90%.
@pytest.mark.parametrize(
    ("agreement", "recall", "error", "message"),
    [
        (0.9, 0.45, 0, None),
        (0.9, 0.6, 0, None),
        (0.9, 0.44, 0.006, None),
        (0.89, 0.5, 0, "89.00% of the SavedModel's top 10, less than pusher.min_agreement 90.00%"),
        (0.9, 0.44, 0, "recall_at_10 0.4400 and the SavedModel 0.5000"),
        (0.9, 0.44, 0.004, "recall_at_10 0.4400 and the SavedModel 0.5000"),
    ],
)
def test_too_little_agreement_or_recall_is_an_error(
    agreement: float, recall: float, error: float, message: str | None
) -> None:
    settings = PusherSettings(min_agreement=0.9, max_recall_loss=0.1)
    result = Check({"recall_at_10": recall}, agreement, 100, "recall_at_10", error, 0.5 - recall)
    if message is None:
        require_agreement(result, settings)
    else:
        with pytest.raises(StepError, match=message) as raised:
            require_agreement(result, settings)
        assert "\n" not in str(raised.value)


def test_parameters_of_the_component_are_strings_and_integers(
    inputs: dict[str, list[Artifact]], tmp_path: Path
) -> None:
    from tfx.types import channel_utils

    pusher = TFLitePusher(
        **{name: channel_utils.as_channel(artifacts) for name, artifacts in inputs.items()},
        pipeline_name="rings",
        push_root=str(tmp_path),
        settings=PusherSettings(),
        code_version="c0de",
        fail_unblessed=False,
    )
    assert all(isinstance(value, (str, int)) for value in pusher.exec_properties.values())
    assert json.loads(pusher.exec_properties["settings"])["precision"] == "auto"
    assert pusher.outputs["pushed_model"].type_name == "PushedModel"


def test_the_component_compiles_for_kubeflow(inputs: dict[str, list[Artifact]], tmp_path: Path) -> None:
    from tfx import v1 as tfx

    artifacts = {
        name: tfx.dsl.Importer(artifact.uri, type(artifact)).with_id(name).outputs["result"]
        for name, (artifact,) in inputs.items()
    }
    pusher = TFLitePusher(
        **artifacts,
        pipeline_name="rings",
        push_root="/mnt/serving",
        settings="{}",
        code_version="c0de",
        fail_unblessed=False,
    )
    importers = [channel.producer_component for channel in artifacts.values()]
    runner = tfx.orchestration.experimental.KubeflowV2DagRunner(
        config=tfx.orchestration.experimental.KubeflowV2DagRunnerConfig(default_image="image"),
        output_dir=str(tmp_path),
        output_filename="rings.json",
    )
    runner.run(tfx.dsl.Pipeline("rings", str(tmp_path), components=[*importers, pusher]), write_out=True)
    spec = json.loads((tmp_path / "rings.json").read_text(encoding="utf-8"))["pipelineSpec"]
    parameters = spec["root"]["dag"]["tasks"]["TFLitePusher"]["inputs"]["parameters"]
    assert parameters["push_root"] == {"runtimeValue": {"constantValue": {"stringValue": "/mnt/serving"}}}
