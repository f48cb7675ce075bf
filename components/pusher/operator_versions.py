"""The operator versions that a TFLite file declares, and the oldest runtime that supports them.

A runtime that supports version 5 of an operator runs every file that declares version 5 or lower. If the operator needs
a newer version than the file declares, an old runtime accepts the file and computes wrong results. The converter
declares the versions, and writes the oldest runtime that supports them into the file's metadata. The AI Edge Quantizer,
which gives operators int8 weights afterwards, changes neither; `declare_versions` does. For operators without int8
weights, this module relies on the converter, which ignores operators that are not in its table of runtimes.
"""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from components.errors import StepError

ENTRY, ENTRY_BYTES = b"min_runtime_version", 16  # name and size of the entry with the oldest runtime
# LiteRT 1.0 continues TensorFlow Lite 2.17, so a file that needs at most 2.17 runs on every LiteRT.
NEWEST = "2.17.0"
UNQUANTIZED = (schema.TensorType.FLOAT32, schema.TensorType.INT32, schema.TensorType.BOOL)
# For each operator, the version that it needs if its weights are int8 with one scale and its other inputs are not
# quantized, and the oldest TensorFlow Lite that supports this version. From the converter's `op_version.cc` and
# `runtime_version.cc`, in TensorFlow's `tensorflow/compiler/mlir/lite/tools/versioning/`.
WITH_INT8_WEIGHTS = {"BATCH_MATMUL": (1, "2.3.0"), "EMBEDDING_LOOKUP": (1, "1.13.0"), "FULLY_CONNECTED": (3, "1.14.0")}


def oldest_runtime(content: bytes) -> str:
    """Returns the oldest TensorFlow Lite version that runs a file, such as `"2.5.0"`; LiteRT 1.0 continues 2.17.

    Args:
        content: content of a `.tflite` file.

    Raises:
        StepError: not every LiteRT runs the file.
    """
    oldest = _read_entry(flatbuffer_utils.read_model_from_bytearray(bytearray(content)))
    if _parts(oldest) > _parts(NEWEST):
        raise StepError(
            f"the file needs TensorFlow Lite {oldest}, but {NEWEST} is the newest that every LiteRT includes; "
            "nothing is pushed; choose another pusher.precision"
        )
    return oldest


def declare_versions(content: bytes) -> bytes:
    """Returns the content of a quantized file with the operator versions and the oldest runtime that it needs.

    Raises:
        StepError: an operator is quantized in a way for which `WITH_INT8_WEIGHTS` has no version.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    oldest = _read_entry(model)
    for graph in model.subgraphs:
        for operator in graph.operators:
            inputs = [graph.tensors[number] for number in operator.inputs if number >= 0]
            if all(tensor.type in UNQUANTIZED for tensor in inputs):
                continue
            name = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
            if name not in WITH_INT8_WEIGHTS or not _has_int8_weights(inputs, operator.builtinOptions):
                raise StepError(
                    f"it is unknown which version of {name} the file needs for its types and quantization, so old "
                    "runtimes could compute it incorrectly; nothing is pushed; choose another pusher.precision"
                )
            version, runtime = WITH_INT8_WEIGHTS[name]
            code = model.operatorCodes[operator.opcodeIndex]
            code.version = max(code.version, version)
            oldest = max(oldest, runtime, key=_parts)
    _entry(model).data = list(oldest.encode().ljust(ENTRY_BYTES, b"\0"))
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _has_int8_weights(inputs: list[Any], options: Any) -> bool:
    """Returns whether an operator's second input is int8 with one scale and its others are not quantized.

    Operators that quantize their activations asymmetrically while they run need newer versions, and do not count.
    """
    weights = inputs[1]
    if [tensor for tensor in inputs if tensor.type not in UNQUANTIZED] != [weights]:
        return False
    scales = weights.quantization.scale
    has_one_scale = scales is not None and len(scales) == 1
    is_asymmetric = getattr(options, "asymmetricQuantizeInputs", False)
    return weights.type == schema.TensorType.INT8 and has_one_scale and not is_asymmetric


def _read_entry(model: Any) -> str:
    return bytes(_entry(model).data).rstrip(b"\0").decode()


def _entry(model: Any) -> Any:
    """Returns the buffer of the metadata entry with the oldest runtime.

    Raises:
        StepError: there is no entry.
    """
    number = next((entry.buffer for entry in model.metadata or [] if entry.name == ENTRY), None)
    if number is None:
        raise StepError("the converter did not write the oldest runtime into the file; nothing is pushed")
    return model.buffers[number]


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
