"""Names and descriptions in a TFLite file, which viewers of such files show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

METADATA = "TFLITE_METADATA"  # where viewers look for it
MIN_RUNTIME, MIN_RUNTIME_BYTES = b"min_runtime_version", 16  # where runtimes look for it
IDENTIFIER = b"M001"  # of its format, tflite-support's metadata_schema.fbs
SIGNATURES = {
    "recommend": "The best items, popular ones where the history is empty; model_info.json says whether repeats count.",
    "similar": "The items that users choose in the same situations as an item, by cosine.",
    "explain": "By how much the score of an item falls without each of the latest items of a history.",
}
TENSORS = {
    "history": "Item indices of items.json, oldest first, then 0. More than fit: send the last. 1 is an unknown item.",
    "bias": "Of each index, added to its score: 0 leaves it, -30000 takes it out of the answer.",
    "item": "Item index of items.json.",
    "ratings": "Of each item of the history; NaN where it is not known, and after the last.",
    "times": "Of each item of the history, seconds since 1970; 0 where it is not known, and after the last.",
    "ids": "Item indices, best first; -1 where fewer items remain.",
    "scores": "Of the items. Those of recommend compare within one answer only; those of similar are cosines.",
    "contributions": "Of each item of the history; 0 for those that were not left out.",
}
# Features of activities that are columns of the log, by the type of the input.
OTHER_INPUTS = {
    schema.TensorType.FLOAT32: "Of each item of the history; NaN where it is not known, and after the last.",
    schema.TensorType.INT32: "Of each item of the history, index of a word (model_info.json); 0 where not known.",
}


def describe(content: bytes, name: str, description: str, min_runtime: str) -> bytes:
    """Names the tensors as the signatures do, describes them, and declares the oldest runtime.

    Args:
        content: of a file with the signatures of SIGNATURES.
        name: of the model.
        description: of the model.
        min_runtime: oldest TensorFlow Lite version that runs the file.

    Returns:
        The content of the file with metadata.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    model.description = description.encode()
    signatures = sorted(model.signatureDefs, key=lambda signature: signature.subgraphIndex)
    for signature in signatures:
        graph = model.subgraphs[signature.subgraphIndex]
        for tensor in (*signature.inputs, *signature.outputs):
            graph.tensors[tensor.tensorIndex].name = tensor.name
    buffer = schema.BufferT()
    buffer.data = list(_metadata(model, signatures, name, description))
    oldest = schema.BufferT()
    oldest.data = list(min_runtime.encode().ljust(MIN_RUNTIME_BYTES, b"\0"))
    # The converter's entry is of the file before its weights became integers.
    model.metadata = [entry for entry in model.metadata or [] if entry.name != MIN_RUNTIME]
    for key, content_of_entry in ((METADATA.encode(), buffer), (MIN_RUNTIME, oldest)):
        entry = schema.MetadataT()
        entry.name, entry.buffer = key, len(model.buffers)
        model.buffers.append(content_of_entry)
        model.metadata.append(entry)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _metadata(model: Any, signatures: Sequence[Any], name: str, description: str) -> bytes:
    """The ModelMetadata of tflite-support, whose Python package has no wheels for today's Pythons."""
    builder = flatbuffers.Builder()
    graphs = []
    for signature in signatures:
        graph = model.subgraphs[signature.subgraphIndex]
        tensors = [
            _vector(builder, [_text_table(builder, *_text_of(graph, number)) for number in numbers])
            for numbers in (graph.inputs, graph.outputs)
        ]
        key = signature.signatureKey.decode()
        graphs.append(_text_table(builder, key, SIGNATURES[key], *tensors))
    # The third field, a version of the model, is left out: the file beside it tells that.
    root = _text_table(builder, name, description, None, _vector(builder, graphs))
    builder.Finish(root, file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _text_of(graph: Any, number: int) -> tuple[str, str]:
    name = graph.tensors[number].name.decode()
    return name, TENSORS.get(name) or OTHER_INPUTS[graph.tensors[number].type]


def _text_table(builder: flatbuffers.Builder, name: str, description: str, *others: int | None) -> int:
    """A table that begins with a name and a description, as all those of the format do."""
    fields = [builder.CreateString(name), builder.CreateString(description), *others]
    builder.StartObject(len(fields))
    for slot, offset in enumerate(fields):
        if offset is not None:
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
