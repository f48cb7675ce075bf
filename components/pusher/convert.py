"""Converts a SavedModel to TFLite."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from ai_edge_litert.tools import flatbuffer_utils

from components.pusher.quantize import quantize
from components.pusher.settings import Precision
from on_device.tflite_model import SIGNATURES


def convert(loaded: Any, precision: Precision, signatures: Sequence[str] = SIGNATURES) -> bytes:
    """Returns the content of one file; see `convert_each`."""
    return convert_each(loaded, (precision,), signatures)[0]


def convert_each(loaded: Any, precisions: Sequence[Precision], signatures: Sequence[str] = SIGNATURES) -> list[bytes]:
    """Converts signatures of a loaded SavedModel into one file for each precision.

    The signatures of a file share the weights. They are converted as concrete functions, because
    `TFLiteConverter.from_saved_model` silently drops the weights of a Keras 3 model.

    Args:
        loaded: the result of `tf.saved_model.load`.
        precisions: how the weights are stored; see `PusherSettings`.
        signatures: names of the signatures to convert.

    Returns:
        The contents of `.tflite` files with only builtin operators.
    """
    functions = [_with_named_inputs(loaded.signatures[name], name) for name in signatures]

    @functools.cache  # The int8 files begin as the float32 file.
    def converted(is_float16: bool) -> bytes:
        converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, loaded)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if is_float16:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        return bytes(converter.convert())

    contents = []
    for precision in precisions:
        content = converted(precision == "float16")
        if precision in ("int8_tables", "dynamic_int8"):
            content = quantize(content, tables_only=precision == "int8_tables")
        contents.append(_shrunk(content, signatures))
    return contents


def _shrunk(content: bytes, signatures: Sequence[str]) -> bytes:
    """Returns a smaller file: numbers instead of tensor names, equal constants stored once, no empty tables.

    No runtime reads the names of tensors; signatures store the names of their inputs and outputs themselves. The
    converter renames a single signature to `serving_default`, so its name is restored.
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
    """Returns a signature as a concrete function, whose name and input names the converter keeps."""

    def call(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = signature(**inputs)
        return outputs

    call.__name__ = name
    inputs = signature.structured_input_signature[1]
    specs = {key: tf.TensorSpec(spec.shape, spec.dtype, key) for key, spec in inputs.items()}
    return tf.function(call, autograph=False).get_concrete_function(**specs)
