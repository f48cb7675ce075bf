"""A file must not declare older operators than it needs: old runtimes would compute wrong results without an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import recipe
from ai_edge_quantizer.quantizer import Quantizer

from components.errors import StepError
from components.pusher.convert import convert, convert_each
from components.pusher.operator_versions import _entry, declare_versions, oldest_runtime
from components.pusher.quantize import quantize
from components.pusher.settings import Precision
from components.trainer import ranking
from tests.components.trainer.test_serving import COUNTS, MODELS, build


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of one model. The tests of all models are in `tests/components/trainer/test_serving.py`."""
    return convert(build(tmp_path_factory.mktemp("cnn"), **MODELS["cnn"]).loaded, "float32")


def test_a_large_catalogue_needs_no_newer_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "MANY", 1)
    monkeypatch.setattr(ranking, "WIDTH", 1)
    monkeypatch.setattr(ranking.tf, "pad", stages := Mock(wraps=tf.pad))
    loaded = build(tmp_path, **{**MODELS["bow"], "top_k": 1}).loaded
    assert any(call.kwargs.get("constant_values") == 2 * ranking.FORBIDDEN for call in stages.call_args_list)
    assert set(map(oldest_runtime, convert_each(loaded, get_args(Precision)))) == {"2.5.0"}


def with_declarations(content: bytes, version: int, runtime: bytes) -> bytes:
    """Returns a quantized file whose converter declared the given version of all operators, and the given runtime."""

    def change(model: Any) -> None:
        for code in model.operatorCodes:
            code.version = version
        _entry(model).data = list(runtime.ljust(16, b"\0"))

    return declare_versions(changed(quantize(content, tables_only=False), change))


def test_versions_and_runtime_are_raised_to_the_minimum_for_int8_weights(content: bytes) -> None:
    declared = with_declarations(content, 1, b"1.5.0")
    assert oldest_runtime(declared) == "1.14.0"
    codes = flatbuffer_utils.read_model_from_bytearray(bytearray(declared)).operatorCodes
    raised = {code.builtinCode: code.version for code in codes if code.version > 1}
    assert raised == {schema.BuiltinOperator.FULLY_CONNECTED: 3}


def test_newer_versions_that_the_converter_declares_are_kept(content: bytes) -> None:
    declared = with_declarations(content, 12, b"2.17.0")
    assert oldest_runtime(declared) == "2.17.0"
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(declared))
    assert {code.version for code in model.operatorCodes} == {12}


def test_a_file_that_not_every_litert_runs_is_an_error(content: bytes) -> None:
    def newer(model: Any) -> None:
        _entry(model).data = list(b"2.18.0".ljust(16, b"\0"))

    with pytest.raises(StepError, match=r"needs TensorFlow Lite 2\.18\.0, but 2\.17\.0 is the newest"):
        oldest_runtime(changed(content, newer))


def test_kernels_with_one_scale_per_channel_are_an_error(content: bytes) -> None:
    quantizer = Quantizer(bytearray(content))
    quantizer.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    quantized = bytes(quantizer.quantize(enable_progress_report=False).quantized_model)
    with pytest.raises(StepError, match="unknown which version of FULLY_CONNECTED") as raised:
        declare_versions(quantized)
    assert "\n" not in str(raised.value)


def changed(content: bytes, change: Any) -> bytes:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    change(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def unknown_operator(model: Any) -> None:
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.FULLY_CONNECTED:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SVDF


def unknown_type(model: Any) -> None:
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        if tensor.type == schema.TensorType.INT8:
            tensor.type = schema.TensorType.INT4


def asymmetric(model: Any) -> None:
    for operator in (operator for graph in model.subgraphs for operator in graph.operators):
        if hasattr(operator.builtinOptions, "asymmetricQuantizeInputs"):
            operator.builtinOptions.asymmetricQuantizeInputs = True


def quantized_activations(model: Any) -> None:
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        if tensor.type == schema.TensorType.FLOAT32:
            tensor.type = schema.TensorType.INT8


@pytest.mark.parametrize("change", [unknown_operator, unknown_type, asymmetric, quantized_activations])
def test_unsupported_quantization_is_an_error(content: bytes, change: Any) -> None:
    with pytest.raises(StepError, match=r"unknown which version of [A-Z_]+ the file needs"):
        declare_versions(changed(quantize(content, tables_only=False), change))


def test_empty_history_is_scored_by_rank_and_no_tensor_holds_counts(content: bytes) -> None:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    shares = np.log1p(COUNTS[2:])
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is None or tensor.type != schema.TensorType.FLOAT32:
                continue
            values = np.frombuffer(bytes(data), np.float32)
            for row in values.reshape(-1, len(COUNTS)) if values.size % len(COUNTS) == 0 else []:
                # Scores by rank fall in equal steps; logarithms of counts do not.
                correlated = np.ptp(row[2:]) > 0 and abs(np.corrcoef(row[2:], shares)[0, 1]) > 0.9999
                assert not correlated
