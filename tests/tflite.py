"""Makes small model files for tests."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from ai_edge_litert.tools import flatbuffer_utils


def convert_function(function: Any, module: tf.Module, **specs: tf.TensorSpec) -> bytes:
    """A file with a function as its only signature, under the function's name."""
    concrete = tf.function(function).get_concrete_function(**specs)
    content = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    (signature,) = model.signatureDefs
    signature.signatureKey = function.__name__.encode()
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
