"""Makes small model files for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from ai_edge_litert.tools import flatbuffer_utils

Specs = dict[str, tf.TensorSpec]


def convert_functions(module: tf.Module, functions: dict[Callable[..., Any], Specs]) -> bytes:
    """Returns a file with some functions as signatures, under their names; each has its inputs by name."""
    concrete = [tf.function(function).get_concrete_function(**specs) for function, specs in functions.items()]
    content = tf.lite.TFLiteConverter.from_concrete_functions(concrete, module).convert()
    if len(functions) > 1:
        return bytes(content)
    # The converter replaces the name of a single function.
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    (model.signatureDefs[0].signatureKey,) = (function.__name__.encode() for function in functions)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def convert_function(function: Callable[..., Any], module: tf.Module, **specs: tf.TensorSpec) -> bytes:
    """Returns a file with a function as its only signature, under the function's name."""
    return convert_functions(module, {function: specs})
