"""SavedModel -> TFLite."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from ai_edge_litert.tools import flatbuffer_utils

from components.pusher.quantize import quantize
from components.pusher.settings import Precision
from on_device.tflite_model import RECOMMEND


def convert(loaded: Any, precision: Precision) -> bytes:
    """Convert the signature of a loaded SavedModel that devices use.

    `TFLiteConverter.from_saved_model` would drop the weights of a Keras 3 model without a word, so that the function is
    converted instead.

    Args:
        loaded: what `tf.saved_model.load` returned.
        precision: how the weights are stored; see `PusherSettings`.

    Returns:
        The content of a `.tflite` file with builtin operators alone.
    """
    function = _with_named_inputs(loaded.signatures[RECOMMEND])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], loaded)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    content = bytes(converter.convert())
    if precision in ("int8_tables", "dynamic_int8"):
        content = quantize(content, tables_only=precision == "int8_tables")
    return _renamed(content)


def _renamed(content: bytes) -> bytes:
    """Returns the file with the name of its signature, and with numbers for the names of tensors.

    The converter calls a single signature `serving_default`. No runtime reads the names of tensors, and the signature
    has names of its own for those that matter.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    (signature,) = model.signatureDefs
    signature.signatureKey = RECOMMEND.encode()
    for number, tensor in enumerate(tensor for graph in model.subgraphs for tensor in graph.tensors):
        tensor.name = b"%x" % number
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _with_named_inputs(signature: Any) -> Any:
    """Returns a signature as a function whose inputs have its inputs' names, which the converter takes over."""

    def call(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = signature(**inputs)
        return outputs

    inputs = signature.structured_input_signature[1]
    specs = {key: tf.TensorSpec(spec.shape, spec.dtype, key) for key, spec in inputs.items()}
    return tf.function(call).get_concrete_function(**specs)
