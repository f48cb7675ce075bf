"""Quantizes the weights of a TFLite file to 8 bits; activations stay in float32.

Each tensor has one scale. Kernels with one scale per output channel are slightly closer to the float32 model, but
runtimes before TensorFlow Lite 2.17 silently compute them incorrectly (see `operator_versions`), and the scales of item
tables would be stored once for each signature.
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
    """Returns the content of a smaller file with int8 weights and one scale per tensor.

    An item table that is used both for lookups and for a multiplication is stored once.

    Args:
        content: content of a `.tflite` file with float32 weights.
        tables_only: whether to quantize only the item tables and keep kernels in float32.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    table_results = {name for graph in model.subgraphs for name in _use_lookups(model, graph)}
    if tables_only and not table_results:
        return content
    patterns = [f"^{re.escape(name)};?$" for name in sorted(table_results)] if tables_only else [".*"]
    quantizer = Quantizer(flatbuffer_utils.convert_object_to_bytearray(model))
    quantizer.load_quantization_recipe([_one_scale(pattern) for pattern in patterns])
    with contextlib.redirect_stderr(io.StringIO()):  # No option turns off its progress bar.
        result = quantizer.quantize(enable_progress_bar=False, enable_progress_report=False)
    return declare_versions(bytes(result.quantized_model))


def _one_scale(pattern: str) -> dict[str, Any]:
    """Returns a recipe for int8 weights with one scale, for operators whose result name matches a pattern."""
    (rule,) = recipe.dynamic_wi8_afp32()
    weights = {**rule["op_config"]["weight_tensor_config"], "granularity": QuantGranularity.TENSORWISE}
    return {**rule, "regex": pattern, "op_config": {**rule["op_config"], "weight_tensor_config": weights}}


def _use_lookups(model: Any, graph: Any) -> list[str]:
    """Replaces each GATHER of rows from a constant table by an EMBEDDING_LOOKUP, which can read int8 rows as floats.

    Returns:
        The names of the results of operators that look up rows of a table or multiply by a table.
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
    """Returns the shape of a tensor, which TFLite omits for scalars."""
    return [] if tensor.shape is None else list(tensor.shape)


def _lookup_code(model: Any) -> int:
    """Returns the number of EMBEDDING_LOOKUP in the model's list of operators; adds it if it is missing."""
    for number, code in enumerate(model.operatorCodes):
        if code.builtinCode == EMBEDDING_LOOKUP:
            return number
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = EMBEDDING_LOOKUP
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
