"""The samples for Android and iOS name what is in a converted file: they cannot be compiled here, only compared."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from components import features
from components.pusher.convert import convert
from components.trainer.activity import TIME_GAP, ActivityFeature
from components.trainer.model import Recommender
from components.trainer.serving import ServingModel
from components.trainer.settings import TrainerSettings
from on_device import artifact
from on_device.tflite_model import EXCLUDED, NOT_GIVEN, RECOMMEND

CLIENT = Path(artifact.__file__).parent
KOTLIN, SWIFT = (CLIENT / "samples" / f"Recommender.{language}" for language in ("kt", "swift"))
SAMPLES = pytest.mark.parametrize("sample", [KOTLIN, SWIFT], ids=["kotlin", "swift"])
DTYPES = {"Int": np.int32, "Int32": np.int32, "Float": np.float32, "Float32": np.float32}
HISTORY_LENGTH = 4
COUNTS = np.array([0, 0, 5, 4, 3, 2, 1])


class PlainTransform:
    """Takes integers as ids, in place of the Transform graph: devices do without it."""

    def raw_feature_spec(self) -> dict[str, tf.io.VarLenFeature]:
        return {features.ITEM_ID: tf.io.VarLenFeature(tf.int64)}

    def transform_features_layer(self) -> Any:
        def transform(raw: dict[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
            items = tf.RaggedTensor.from_sparse(raw[features.ITEM_ID])
            history = items[:, -HISTORY_LENGTH:].to_tensor(0, shape=(None, HISTORY_LENGTH))
            activities = dict.fromkeys((features.HISTORY, features.HISTORY_RATING, features.HISTORY_TIME), history)
            return {features.TIMELINE: raw[features.ITEM_ID], **activities, features.TARGET: history[:, 0]}

        return transform


def signatures(folder: Path, *activity_features: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Inputs and outputs by signature, with details by name, of a file that is made as the pipeline makes it."""
    settings = TrainerSettings(encoder="bow", dimension=4, top_k=3, members=[], activity_features=activity_features)
    known = [{"rating": ActivityFeature("rating", (2.5,)), "time_gap": TIME_GAP}[name] for name in activity_features]
    model = Recommender(settings, HISTORY_LENGTH, COUNTS, activity_features=known)
    ServingModel(model, PlainTransform()).save(str(folder))
    interpreter = Interpreter(model_content=convert(tf.saved_model.load(str(folder)), "float32"))
    runners = {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}
    return {
        name: {"inputs": runner.get_input_details(), "outputs": runner.get_output_details()}
        for name, runner in runners.items()
    }


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, Any]]]:
    return signatures(tmp_path_factory.mktemp("plain"))


def code(sample: Path) -> str:
    """Without comments."""
    return re.sub(r"//.*|/\*.*?\*/", "", sample.read_text(encoding="utf-8"))


def comments(sample: Path) -> str:
    """All in one line."""
    return " ".join(re.findall(r"// (.*)", sample.read_text(encoding="utf-8")))


def test_shapes_that_the_samples_rely_on(plain: dict[str, Any]) -> None:
    shapes = {
        name: found["shape_signature"].tolist()
        for signature in plain.values()
        for tensors in signature.values()
        for name, found in tensors.items()
    }
    assert shapes == {"history": [1, HISTORY_LENGTH], "bias": [1, len(COUNTS)], "ids": [1, 3], "scores": [1, 3]}


@SAMPLES
def test_names(sample: Path, plain: dict[str, Any]) -> None:
    tensors = {name for signature in plain.values() for side in signature.values() for name in side}
    expected = {*plain, *tensors, artifact.MODEL, artifact.ITEMS, artifact.INFO}
    if sample is KOTLIN:  # In Swift these are names of variables.
        expected |= {"items", "id", "title", "min_runtime", "recommends_seen"}
    texts = set(re.findall(r'"(.*?)"', code(sample)))
    assert {text for text in texts if " " not in text and text not in (".", "-", "1.")} == expected
    assert set(plain) == {RECOMMEND}


def test_dtypes(plain: dict[str, Any]) -> None:
    inputs, outputs = plain[RECOMMEND]["inputs"], plain[RECOMMEND]["outputs"]
    dtypes = {name: found["dtype"] for name, found in {**inputs, **outputs}.items()}
    kotlin = dict(re.findall(r"val (\w+) = (?:Array\(1\) \{ )?(Int|Float)Array", code(KOTLIN)))
    of_values = {"history": "recent", "bias": "bias", "ids": "ids", "scores": "scores"}
    assert {name: DTYPES[kotlin[value]] for name, value in of_values.items()} == {
        name: dtypes[name] for name in of_values
    }
    assert '"history" to arrayOf(recent), "bias" to arrayOf(bias)' in code(KOTLIN)
    swift = re.findall(r'output\(named: "(\w+)"\), as: (\w+)\.self', code(SWIFT))
    assert {name: DTYPES[kind] for name, kind in swift} == {name: dtypes[name] for name in outputs}
    assert '["history": bytes(Array(padded)), "bias": bytes(bias)]' in code(SWIFT)
    (bias,) = re.findall(r"var bias = \[(\w+)\]", code(SWIFT))
    (padding,) = re.findall(r"let padding: (\w+) =", code(SWIFT))
    assert {"bias": DTYPES[bias], "history": DTYPES[padding]} == {name: dtypes[name] for name in inputs}


@SAMPLES
def test_constants(sample: Path) -> None:
    found = dict(re.findall(r"^(?:const val|let) (\w+)(?:: Int32)? = (\d+)", code(sample), re.MULTILINE))
    constants = {"padding": artifact.PADDING, "unknown": artifact.UNKNOWN, "firstindex": artifact.FIRST_INDEX}
    assert {name.lower().replace("_", ""): int(value) for name, value in found.items()} == constants
    (excluded,) = re.findall(r"^(?:const val EXCLUDED|let excluded: Float32) = (-[\d_]+)f?", code(sample), re.MULTILINE)
    assert float(excluded.replace("_", "")) == EXCLUDED


@SAMPLES
def test_keys_of_the_catalogue(sample: Path) -> None:
    schema = json.loads((CLIENT / "schemas" / "items.schema.json").read_text(encoding="utf-8"))
    structs = re.findall(r"struct (\w+): Decodable \{(.*?)\}", code(SWIFT), re.DOTALL)
    keys = {name: re.findall(r"let (\w+):", body) for name, body in structs}
    if sample is KOTLIN:
        keys = {"Catalogue": re.findall(r'getJSONArray\("(\w+)"\)', code(KOTLIN))}
        keys["Item"] = re.findall(r'it\.getString\("(\w+)"\)', code(KOTLIN))
    keys.pop("ModelInfo", None)
    assert keys == {"Catalogue": ["items"], "Item": ["id", "title"]}
    assert "items" in schema["properties"]
    assert {"id", "title"} <= set(schema["$defs"]["item"]["required"])


@SAMPLES
def test_activity_inputs(sample: Path, plain: dict[str, Any], tmp_path: Path) -> None:
    inputs = signatures(tmp_path, "rating", "time_gap")[RECOMMEND]["inputs"]
    wanted = {name: inputs[name]["dtype"] for name in set(inputs) - set(plain[RECOMMEND]["inputs"])}
    told = re.findall(r'"(\w+)" \((\w+?)(?:Array)?, [^)]*?(NaN|0) where', comments(sample))
    assert {name: DTYPES[kind] for name, kind, _ in told} == wanted
    assert {name: value for name, _, value in told} == {
        name: "NaN" if np.isnan(NOT_GIVEN[dtype]) else str(NOT_GIVEN[dtype]) for name, dtype in wanted.items()
    }


@SAMPLES
def test_samples_turn_xnnpack_on_and_refuse_a_file_for_a_newer_runtime(sample: Path) -> None:
    switch = {KOTLIN: ".setUseXNNPACK(true)", SWIFT: ".isXNNPackEnabled = true"}[sample]
    version = {KOTLIN: "TensorFlowLite.runtimeVersion()", SWIFT: "Runtime.version"}[sample]
    assert switch in code(sample) and version in code(sample) and "min_runtime" in code(sample)
