"""SavedModel -> TFLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from ai_edge_litert.tools import flatbuffer_utils

from components.pusher.quantize import quantize
from components.pusher.settings import Precision
from on_device.tflite_model import SIGNATURES


def convert(loaded: Any, precision: Precision, signatures: Sequence[str] = SIGNATURES) -> bytes:
    """Converts the signatures of a loaded SavedModel that devices use; they share their weights in the file.

    `TFLiteConverter.from_saved_model` would drop the weights of a Keras 3 model without a word, so that functions are
    converted instead.

    Args:
        loaded: what `tf.saved_model.load` returned.
        precision: how the weights are stored; see `PusherSettings`.
        signatures: names of those that the file has.

    Returns:
        The content of a `.tflite` file that has builtin operators only.
    """
    functions = [_with_named_inputs(loaded.signatures[name], name) for name in signatures]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, loaded)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    content = bytes(converter.convert())
    if precision in ("int8_tables", "dynamic_int8"):
        content = quantize(content, tables_only=precision == "int8_tables")
    return _shrunk(content, signatures)


def _shrunk(content: bytes, signatures: Sequence[str]) -> bytes:
    """Returns the file with numbers for the names of tensors, equal constants stored once, and no empty tables.

    No runtime reads the names of tensors, and signatures have names of their own for those that matter. The converter
    calls a single signature `serving_default`; it gets its name back.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    if len(signatures) == 1:
        model.signatureDefs[0].signatureKey = signatures[0].encode()
    first: dict[bytes, int] = {}
    shared = [
        number if buffer.data is None else first.setdefault(bytes(buffer.data), number)
        for number, buffer in enumerate(model.buffers)
    ]
    for number, tensor in enumerate(tensor for graph in model.subgraphs for tensor in graph.tensors):
        tensor.name = b"%x" % number
        tensor.buffer = shared[tensor.buffer]
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None
    for number, buffer in enumerate(model.buffers):
        if shared[number] != number:
            buffer.data = None
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _with_named_inputs(signature: Any, name: str) -> Any:
    """Returns a signature as a function of its name, and of the names of its inputs, which the converter takes over."""

    def call(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = signature(**inputs)
        return outputs

    call.__name__ = name
    inputs = signature.structured_input_signature[1]
    specs = {key: tf.TensorSpec(spec.shape, spec.dtype, key) for key, spec in inputs.items()}
    return tf.function(call).get_concrete_function(**specs)
