"""Compares the operator versions that a TFLite file declares with those that its operators need.

A runtime that supports version 5 of an operator runs every file that declares version 5 or lower. If the operator needs
a newer version than the file declares, an old runtime accepts the file and computes wrong results. The converter
declares these versions. The AI Edge Quantizer, which rewrites the file afterwards, does not; therefore
`declare_versions` declares them.

The rules and the tables are from the converter, TensorFlow's `tensorflow/compiler/mlir/lite/tools/versioning/`,
`op_version.cc` and `runtime_version.cc`, for the operators, types and shapes that this pipeline's models use. Any other
operator, type or shape is an error until a rule for it is added here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from components.pusher.errors import PushError

TYPES = {value: name for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
FLOAT32, INT32, BOOL, INT8, FLOAT16 = "FLOAT32", "INT32", "BOOL", "INT8", "FLOAT16"
MAX_DIMENSIONS = 4  # Operators on more dimensions need newer versions.
# LiteRT 1.0 continues TensorFlow Lite 2.17, so a file that needs at most 2.17 runs on every LiteRT.
NEWEST = "2.17.0"

# For each operator, the oldest TensorFlow Lite that supports its versions 1, 2, and so on.
RUNTIMES = {
    "ADD": ("1.5.0",),
    "ADD_N": ("1.14.0",),
    "BATCH_MATMUL": ("2.3.0", "2.3.0", "2.4.0", "2.5.0"),
    "BROADCAST_TO": ("2.5.0", "2.5.0"),  # No release has version 1.
    "CAST": ("1.5.0",),
    "CONCATENATION": ("1.5.0",),
    "CUMSUM": ("2.4.0",),
    "DEQUANTIZE": ("1.13.1", "1.14.0", "1.15.0", "2.2.0", "2.7.0"),
    "DIV": ("1.6.0",),
    "EMBEDDING_LOOKUP": ("1.13.0", "1.14.0", "1.14.0", "2.18.0"),
    "EQUAL": ("1.14.0",),
    "EXP": ("1.7.0",),
    "EXPAND_DIMS": ("1.10.0",),
    "FILL": ("1.13.0",),
    "FULLY_CONNECTED": (
        *("1.5.0", "1.10.0", "1.14.0", "1.14.0", "2.0.0", "2.1.0", "2.3.0", "2.3.0", "2.3.0", "2.11.0", "2.15.0"),
        "2.17.0",
    ),
    "GATHER": ("1.6.0", "1.14.0", "1.15.0", "2.4.0", "2.5.0"),
    "GELU": ("2.9.0",),
    "GREATER": ("1.14.0",),
    "GREATER_EQUAL": ("1.14.0",),
    "LESS": ("1.14.0",),
    "LESS_EQUAL": ("1.14.0",),
    "LOGICAL_AND": ("1.11.0",),
    "LOGICAL_NOT": ("1.11.0",),
    "LOGICAL_OR": ("1.11.0",),
    "LOGISTIC": ("1.14.0",),
    "MAXIMUM": ("1.14.0",),
    "MEAN": ("1.6.0",),
    "MINIMUM": ("1.14.0",),
    "MUL": ("1.5.0",),
    "NEG": ("1.9.0",),
    "NOT_EQUAL": ("1.14.0",),
    "ONE_HOT": ("1.11.0",),
    "PACK": ("1.11.0",),
    "PAD": ("1.5.0",),
    "PADV2": ("1.9.0",),
    "RANGE": ("1.13.0",),
    "REDUCE_MAX": ("1.11.0",),
    "RELU": ("1.5.0",),
    "RESHAPE": ("1.5.0",),
    "RSQRT": ("1.10.0",),
    "SCATTER_ND": ("2.1.0",),
    "SELECT": ("1.14.0",),
    "SELECT_V2": ("2.2.0",),
    "SHAPE": ("1.10.0",),
    "SLICE": ("1.14.0",),
    "SOFTMAX": ("1.5.0",),
    "SPLIT": ("1.5.0", "1.14.0", "1.14.0"),
    "SQRT": ("1.10.0",),
    "SQUARE": ("1.12.0",),
    "SQUARED_DIFFERENCE": ("1.13.1",),
    "SQUEEZE": ("1.6.0",),
    "STRIDED_SLICE": ("1.6.0",),
    "SUB": ("1.6.0",),
    "SUM": ("1.10.0",),
    "TANH": ("1.14.0",),
    "TILE": ("1.10.1",),
    "TOPK_V2": ("1.7.0",),
    "TRANSPOSE": ("1.6.0",),
    "WHILE": ("1.15.0",),
}
# Operators whose version 1 also takes booleans. WHILE passes on tensors of any type.
TAKE_BOOLEANS = {
    "CAST",
    "LOGICAL_AND",
    "LOGICAL_NOT",
    "LOGICAL_OR",
    "ONE_HOT",
    "SELECT",
    "SELECT_V2",
    "RESHAPE",
    "WHILE",
}


class _Unknown(Exception):
    """No rule covers an operator; the message is the reason."""


def check_operators(content: bytes) -> str:
    """Returns the oldest TensorFlow Lite version that runs a file, such as `"2.5.0"`; LiteRT 1.0 continues 2.17.

    Args:
        content: content of a `.tflite` file.

    Raises:
        PushError: an operator needs a newer version than the file declares, or no rule covers it.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    oldest = "1.5.0"
    for code, name, needed in _operators(model):
        if isinstance(needed, _Unknown):
            raise PushError(
                f"the file has {name}, and it is unknown whether old runtimes compute it correctly: {needed}; nothing "
                "is pushed; add a rule for it to components/pusher/operator_versions.py"
            )
        if needed > code.version:
            raise PushError(
                f"the file declares version {code.version} of {name}, but its types and quantization need version "
                f"{needed}: runtimes before TensorFlow Lite {RUNTIMES[name][needed - 1]} would compute it incorrectly; "
                "nothing is pushed; choose another pusher.precision"
            )
        oldest = max(oldest, RUNTIMES[name][code.version - 1], key=_parts)
    if _parts(oldest) > _parts(NEWEST):
        raise PushError(
            f"the file needs TensorFlow Lite {oldest}, but {NEWEST} is the newest that every LiteRT includes; "
            "nothing is pushed; choose another pusher.precision"
        )
    return oldest


def declare_versions(content: bytes) -> bytes:
    """Returns the content of a file with declared versions raised to those that its operators need."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for code, _, needed in _operators(model):
        if not isinstance(needed, _Unknown):
            code.version = max(code.version, needed)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _operators(model: Any) -> Iterator[tuple[Any, str, int | _Unknown]]:
    """Yields the code of each operator, its name, and the version that it needs, or the reason why it has no rule."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            name = OPERATORS.get(max(code.builtinCode, code.deprecatedBuiltinCode), "an operator without a name")
            needed: int | _Unknown
            try:
                needed = _needed_version(name, operator, [_tensor(graph, number) for number in operator.inputs])
                if not 1 <= code.version <= len(RUNTIMES[name]):
                    raise _Unknown(f"version {code.version} of it has no rule")
            except _Unknown as reason:
                needed = reason
            yield code, name, needed


def _needed_version(name: str, operator: Any, inputs: list[Any]) -> int:
    """Returns the version that an operator needs: the newest that any of its properties needs."""
    if name not in RUNTIMES:
        raise _Unknown("it has no rule")
    present = [tensor for tensor in inputs if tensor is not None]
    types = [TYPES[tensor.type] for tensor in present]
    options = operator.builtinOptions
    if name in ("FULLY_CONNECTED", "BATCH_MATMUL", "EMBEDDING_LOOKUP") and types[1] == INT8:
        return _needed_with_int8_weights(name, options, inputs, types)
    if name == "DEQUANTIZE" and types[0] in (FLOAT16, INT8):
        return 3 if types[0] == FLOAT16 else 5 if _scales(present[0]) > 1 else 2
    if name == "BROADCAST_TO" and types[0] in (FLOAT32, INT32):
        return 2
    if any(type_ not in (FLOAT32, INT32) and not (type_ == BOOL and name in TAKE_BOOLEANS) for type_ in types):
        raise _Unknown(f"it takes {', '.join(types)}")
    if any(_dimensions(tensor) > MAX_DIMENSIONS for tensor in present):
        raise _Unknown(f"it takes more than {MAX_DIMENSIONS} dimensions")
    if name == "FULLY_CONNECTED":
        return _needed_of_fully_connected(options, inputs)
    if name == "GATHER":
        return 5 if options is not None and options.batchDims else 1
    if name == "SPLIT":
        return 3 if types[1] == INT32 else 1
    if name == "STRIDED_SLICE" and (options.ellipsisMask or options.newAxisMask or getattr(options, "offset", False)):
        raise _Unknown("it has an ellipsis, a new axis or an offset")
    return 1


def _needed_with_int8_weights(name: str, options: Any, inputs: list[Any], types: list[str]) -> int:
    """Returns the version that an operator needs for int8 weights and float activations or indices."""
    if types[0] != (INT32 if name == "EMBEDDING_LOOKUP" else FLOAT32):
        raise _Unknown(f"it takes {', '.join(types)}")
    several_scales = _scales(inputs[1]) > 1
    if name == "EMBEDDING_LOOKUP":
        return 4 if several_scales else 1
    if name == "BATCH_MATMUL":
        # The converter has no version for it. Runtimes without support read the first scale, or reject the file.
        if several_scales:
            raise _Unknown("it has one scale per channel, for which there is no version")
        return 4 if options.asymmetricQuantizeInputs else 1
    if several_scales:
        return 12
    return max(_needed_of_fully_connected(options, inputs), 9 if options.asymmetricQuantizeInputs else 3)


def _needed_of_fully_connected(options: Any, inputs: list[Any]) -> int:
    if options.weightsFormat:
        raise _Unknown("its weights are shuffled")
    return max(6 if len(inputs) == 2 else 1, 5 if options.keepNumDims else 1)


def _tensor(graph: Any, number: int) -> Any:
    """Returns an input; None for an omitted optional input."""
    return None if number < 0 else graph.tensors[number]


def _scales(tensor: Any) -> int:
    quantization = tensor.quantization
    return 0 if quantization is None or quantization.scale is None else len(quantization.scale)


def _dimensions(tensor: Any) -> int:
    return 0 if tensor.shape is None else len(tensor.shape)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
