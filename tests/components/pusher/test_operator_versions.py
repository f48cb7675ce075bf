"""A file must not declare older operators than its kernels need: old runtimes would compute nonsense silently."""

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

from components.pusher.convert import convert
from components.pusher.errors import PushError
from components.pusher.operator_versions import RUNTIMES, check_operators, declare_versions
from components.pusher.settings import Precision
from components.trainer import ranking
from tests.components.trainer.test_serving import COUNTS, MODELS, build


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a model. The tests of all models are in `tests/components/trainer/test_serving.py`."""
    return convert(build(tmp_path_factory.mktemp("cnn"), **MODELS["cnn"]).loaded, "float32")


def test_a_large_catalogue_needs_no_newer_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "MANY", 1)
    monkeypatch.setattr(ranking, "WIDTH", 1)
    monkeypatch.setattr(ranking.tf, "pad", stages := Mock(wraps=tf.pad))
    loaded = build(tmp_path, **{**MODELS["bow"], "top_k": 1}).loaded
    assert any(call.kwargs.get("constant_values") == 2 * ranking.FORBIDDEN for call in stages.call_args_list)
    assert {check_operators(convert(loaded, precision)) for precision in get_args(Precision)} == {"2.5.0"}


def test_versions_are_raised_to_those_that_the_operators_need(content: bytes) -> None:
    def understate(model: Any) -> None:
        for code in model.operatorCodes:
            code.version = 1

    understated = changed(content, understate)
    with pytest.raises(PushError, match="declares version 1 of"):
        check_operators(understated)
    assert check_operators(declare_versions(understated)) == "2.5.0"


def test_kernels_with_one_scale_per_channel_are_an_error(content: bytes) -> None:
    quantizer = Quantizer(bytearray(content))
    quantizer.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    quantized = bytes(quantizer.quantize(enable_progress_report=False).quantized_model)
    with pytest.raises(PushError, match=r"declares version 5 of FULLY_CONNECTED.*need version 12.* 2\.17\.0"):
        check_operators(quantized)

    def declare(model: Any) -> None:
        for code in model.operatorCodes:
            if code.builtinCode == schema.BuiltinOperator.FULLY_CONNECTED:
                code.version = 12

    assert check_operators(changed(quantized, declare)) == "2.17.0"


def changed(content: bytes, change: Any) -> bytes:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    change(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


@pytest.mark.parametrize(
    ("operator", "version", "message"),
    [
        (schema.BuiltinOperator.SVDF, 1, "SVDF, and it is unknown .*: it has no rule"),
        (schema.BuiltinOperator.ADD, 6, "ADD, and it is unknown .*: version 6 of it has no rule"),
        (schema.BuiltinOperator.BROADCAST_TO, 1, "declares version 1 of BROADCAST_TO.*need version 2"),
    ],
)
def test_unknown_and_understated_operators_are_an_error(
    content: bytes, operator: int, version: int, message: str
) -> None:
    def first_add(model: Any) -> None:
        (code,) = (code for code in model.operatorCodes if code.builtinCode == schema.BuiltinOperator.ADD)
        code.builtinCode, code.deprecatedBuiltinCode = operator, min(operator, 127)
        code.version = version

    with pytest.raises(PushError, match=message) as raised:
        check_operators(changed(content, first_add))
    assert "\n" not in str(raised.value)


def test_types_without_a_rule_are_an_error(content: bytes) -> None:
    def wide(model: Any) -> None:
        for graph in model.subgraphs:
            for tensor in graph.tensors:
                if tensor.type == schema.TensorType.FLOAT32:
                    tensor.type = schema.TensorType.FLOAT64

    with pytest.raises(PushError, match=r"it takes .*FLOAT64"):
        check_operators(changed(content, wide))


def test_runtimes_are_in_ascending_order() -> None:
    for runtimes in RUNTIMES.values():
        numbers = [tuple(map(int, runtime.split("."))) for runtime in runtimes]
        assert numbers == sorted(numbers)


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
                # By rank, scores fall in equal steps, which logarithms of counts do not.
                correlated = np.ptp(row[2:]) > 0 and abs(np.corrcoef(row[2:], shares)[0, 1]) > 0.9999
                assert not correlated
