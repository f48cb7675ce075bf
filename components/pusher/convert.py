"""SavedModel -> TFLite."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from ai_edge_litert.tools import flatbuffer_utils

from components.pusher.quantize import quantize
from components.pusher.settings import Precision
from on_device.tflite_model import RECOMMEND, RECOMMEND_EXCLUDING

SIGNATURES = (RECOMMEND, RECOMMEND_EXCLUDING)


def convert(loaded: Any, precision: Precision) -> bytes:
    """Convert the signatures of a loaded SavedModel that devices use; they share their weights in the file.

    `TFLiteConverter.from_saved_model` would drop the weights of a Keras 3 model without a word, so that the functions
    are converted instead.

    Args:
        loaded: what `tf.saved_model.load` returned.
        precision: how the weights are stored; see `PusherSettings`.

    Returns:
        The content of a `.tflite` file with builtin operators alone.
    """
    functions = [_named(loaded.signatures[name], name) for name in SIGNATURES]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, loaded)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    content = bytes(converter.convert())
    if precision in ("int8_tables", "dynamic_int8"):
        content = quantize(content, tables_only=precision == "int8_tables")
    return _with_short_names(content)


def _with_short_names(content: bytes) -> bytes:
    """Returns the file with numbers for names of tensors: no runtime reads them, and signatures have their own."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    # Different in all signatures, as quantizers want them.
    for number, tensor in enumerate(tensor for graph in model.subgraphs for tensor in graph.tensors):
        tensor.name = b"%x" % number
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _named(signature: Any, name: str) -> Any:
    """The signature as a function of its name: the converter calls signatures after their functions."""

    def call(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = signature(**inputs)
        return outputs

    call.__name__ = name
    inputs = signature.structured_input_signature[1]
    specs = {key: tf.TensorSpec(spec.shape, spec.dtype, key) for key, spec in inputs.items()}
    return tf.function(call).get_concrete_function(**specs)
