"""Weights of a TFLite file in 8 bits; activations stay in float32."""

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

GATHER = schema.BuiltinOperator.GATHER
EMBEDDING_LOOKUP = schema.BuiltinOperator.EMBEDDING_LOOKUP
FULLY_CONNECTED = schema.BuiltinOperator.FULLY_CONNECTED


def quantize(content: bytes, tables_alone: bool) -> bytes:
    """Store weights as integers of 8 bits.

    Tables of items, whose rows are of one magnitude, get one scale each; kernels get one for every output. A table that
    is both looked up and multiplied by is stored once.

    Args:
        content: of a file with float32 weights.
        tables_alone: whether kernels stay as they are.

    Returns:
        The content of the smaller file.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    names = [_as_lookups(model, graph) for graph in model.subgraphs]
    quantizer = Quantizer(flatbuffer_utils.convert_object_to_bytearray(model))
    (of_kernels,) = recipe.dynamic_wi8_afp32()
    recipes = [] if tables_alone else [of_kernels]
    for name in sorted({name for of_graph in names for name in of_graph}):
        recipes.append({**_with_one_scale(of_kernels), "regex": f"^{re.escape(name)};?$"})
    if not recipes:
        return content
    quantizer.load_quantization_recipe(recipes)
    with contextlib.redirect_stderr(io.StringIO()):  # It has a progress bar that no option switches off.
        result = quantizer.quantize(enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _with_one_scale(of_kernels: dict[str, Any]) -> dict[str, Any]:
    """The same recipe, with one scale for a whole tensor."""
    config = of_kernels["op_config"]
    weights = {**config["weight_tensor_config"], "granularity": QuantGranularity.TENSORWISE}
    return {**of_kernels, "op_config": {**config, "weight_tensor_config": weights}}


def _as_lookups(model: Any, graph: Any) -> list[str]:
    """Make lookups of what gathers rows of a constant table, for a GATHER cannot read integers as floats.

    Returns:
        Names of the results of the operators that look rows up in a table, or multiply by one.
    """
    codes = [code.builtinCode for code in model.operatorCodes]
    tables = {}
    for operator in graph.operators:
        if codes[operator.opcodeIndex] == GATHER and _is_row_lookup(model, graph, operator):
            table, indices = operator.inputs[:2]
            tables[table] = graph.tensors[table].shape[0]
            operator.opcodeIndex = _lookup_code(model)
            operator.inputs = [indices, table]
            operator.builtinOptions, operator.builtinOptionsType = None, schema.BuiltinOptions.NONE
    codes = [code.builtinCode for code in model.operatorCodes]
    names = []
    for operator in graph.operators:
        code = codes[operator.opcodeIndex]
        multiplies = code == FULLY_CONNECTED and graph.tensors[operator.inputs[1]].shape[0] in tables.values()
        if code == EMBEDDING_LOOKUP or multiplies:
            names.append(graph.tensors[operator.outputs[0]].name.decode())
    return names


def _is_row_lookup(model: Any, graph: Any, operator: Any) -> bool:
    table, indices = (graph.tensors[number] for number in operator.inputs[:2])
    is_table = table.type == schema.TensorType.FLOAT32 and len(_shape(table)) == 2
    return is_table and len(_shape(indices)) == 1 and model.buffers[table.buffer].data is not None


def _shape(tensor: Any) -> list[int]:
    """TFLite has no shape for a scalar."""
    return [] if tensor.shape is None else list(tensor.shape)


def _lookup_code(model: Any) -> int:
    """The number of the operator in the model's list, to which it is added where it is not there yet."""
    for number, code in enumerate(model.operatorCodes):
        if code.builtinCode == EMBEDDING_LOOKUP:
            return number
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = EMBEDDING_LOOKUP
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
