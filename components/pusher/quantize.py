"""Stores the weights of a TFLite file in 8 bits; activations stay in float32.

Every tensor has one scale. Kernels with a scale for each output channel are a little closer to the float32 model, but
runtimes before TensorFlow Lite 2.17 compute them wrongly without an error (`operator_versions` has the table), and the
scales of item tables would be stored once for each signature.
"""

from __future__ import annotations

import contextlib
import io
import re
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import recipe
from ai_edge_quantizer.qtyping import QuantGranularity
from ai_edge_quantizer.quantizer import Quantizer

from components.pusher.operator_versions import declare_versions

GATHER = schema.BuiltinOperator.GATHER
EMBEDDING_LOOKUP = schema.BuiltinOperator.EMBEDDING_LOOKUP
FULLY_CONNECTED = schema.BuiltinOperator.FULLY_CONNECTED


def quantize(content: bytes, tables_only: bool) -> bytes:
    """Returns the content of a smaller file with int8 weights, one scale for each tensor.

    A table of items that the model both looks up and multiplies by is stored once.

    Args:
        content: content of a `.tflite` file with float32 weights.
        tables_only: whether only the item tables become integers, and kernels stay in float32.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    table_results = {name for graph in model.subgraphs for name in _use_lookups(model, graph)}
    if tables_only and not table_results:
        return content
    patterns = [f"^{re.escape(name)};?$" for name in sorted(table_results)] if tables_only else [".*"]
    quantizer = Quantizer(flatbuffer_utils.convert_object_to_bytearray(model))
    quantizer.load_quantization_recipe([_one_scale(pattern) for pattern in patterns])
    with contextlib.redirect_stderr(io.StringIO()):  # It has a progress bar that no option switches off.
        result = quantizer.quantize(enable_progress_bar=False, enable_progress_report=False)
    return declare_versions(bytes(result.quantized_model))


def _one_scale(pattern: str) -> dict[str, Any]:
    """Returns the recipe of int8 weights with one scale, for operators whose result has a name of the pattern."""
    (rule,) = recipe.dynamic_wi8_afp32()
    weights = {**rule["op_config"]["weight_tensor_config"], "granularity": QuantGranularity.TENSORWISE}
    return {**rule, "regex": pattern, "op_config": {**rule["op_config"], "weight_tensor_config": weights}}


def _use_lookups(model: Any, graph: Any) -> list[str]:
    """Turns gathers of rows of a constant table into lookups: a GATHER cannot read integers as floats.

    Returns:
        The names of the results of operators that look rows up in a table, or multiply by one.
    """
    codes = [code.builtinCode for code in model.operatorCodes]
    table_sizes = set()
    for operator in graph.operators:
        if codes[operator.opcodeIndex] == GATHER and _is_row_lookup(model, graph, operator):
            table, indices = operator.inputs[:2]
            table_sizes.add(graph.tensors[table].shape[0])
            operator.opcodeIndex = _lookup_code(model)
            operator.inputs = [indices, table]
            operator.builtinOptions, operator.builtinOptionsType = None, schema.BuiltinOptions.NONE
    codes = [code.builtinCode for code in model.operatorCodes]
    names = []
    for operator in graph.operators:
        code = codes[operator.opcodeIndex]
        multiplies = code == FULLY_CONNECTED and graph.tensors[operator.inputs[1]].shape[0] in table_sizes
        if code == EMBEDDING_LOOKUP or multiplies:
            names.append(graph.tensors[operator.outputs[0]].name.decode())
    return names


def _is_row_lookup(model: Any, graph: Any, operator: Any) -> bool:
    table, indices = (graph.tensors[number] for number in operator.inputs[:2])
    is_table = table.type == schema.TensorType.FLOAT32 and len(_shape(table)) == 2
    return is_table and len(_shape(indices)) == 1 and model.buffers[table.buffer].data is not None


def _shape(tensor: Any) -> list[int]:
    """Returns the shape of a tensor; TFLite has none for a scalar."""
    return [] if tensor.shape is None else list(tensor.shape)


def _lookup_code(model: Any) -> int:
    """Returns the number of EMBEDDING_LOOKUP in the model's list of operators; adds it where it is missing."""
    for number, code in enumerate(model.operatorCodes):
        if code.builtinCode == EMBEDDING_LOOKUP:
            return number
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = EMBEDDING_LOOKUP
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
