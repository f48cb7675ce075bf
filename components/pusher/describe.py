"""Adds names and descriptions for model viewers to a TFLite file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

METADATA = b"TFLITE_METADATA"  # name of the entry that viewers read
IDENTIFIER = b"M001"  # file identifier of the metadata, from tflite-support's metadata_schema.fbs
SIGNATURES = {
    "recommend": "The top items; popular ones for an empty history. See model_info.json for whether it repeats items.",
    "similar": "The items that users choose in the same situations as an item, by cosine similarity.",
    "explain": "How much the score of an item drops if one of the latest items of the history is left out.",
}
TENSORS = {
    "history": "Indices from items.json, oldest first, then 0. If it is too long, send the last. 1 is an unknown item.",
    "bias": "A value for each item index, added to its score: 0 changes nothing, -30000 excludes the item.",
    "item": "Item index from items.json.",
    "ratings": "Rating of each item of the history; NaN if unknown, and as padding.",
    "times": "Time of each item of the history, in seconds since 1970; 0 if unknown, and as padding.",
    "ids": "Item indices, best first, padded with -1.",
    "scores": "Scores of the items. For recommend, comparable only within one result; for similar, cosines.",
    "contributions": "How much each item of the history contributes; 0 for items that were not left out.",
}
# Inputs for other columns of the log, by their type.
OTHER_INPUTS = {
    schema.TensorType.FLOAT32: "Number for each item of the history; NaN if unknown, and as padding.",
    schema.TensorType.INT32: "Word index (model_info.json) for each item of the history; 0 if unknown, and as padding.",
}


def describe(content: bytes, name: str, description: str) -> bytes:
    """Names the tensors as in the signatures, and describes them.

    Args:
        content: content of a file with signatures from `SIGNATURES`.
        name: name of the model.
        description: description of the model.

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
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(_metadata(model, signatures, name, description))
    entry.name, entry.buffer = METADATA, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata.append(entry)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _metadata(model: Any, signatures: Sequence[Any], name: str, description: str) -> bytes:
    """Returns the ModelMetadata of tflite-support, whose Python package has no wheels for current Python versions."""
    builder = flatbuffers.Builder()
    graphs = []
    for signature in signatures:
        graph = model.subgraphs[signature.subgraphIndex]
        tensors = [
            _vector(builder, [_text_table(builder, *_texts(graph, number)) for number in numbers])
            for numbers in (graph.inputs, graph.outputs)
        ]
        key = signature.signatureKey.decode()
        graphs.append(_text_table(builder, key, SIGNATURES[key], *tensors))
    # The third field is the version of the model, which is in model_info.json instead.
    root = _text_table(builder, name, description, None, _vector(builder, graphs))
    builder.Finish(root, file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _texts(graph: Any, number: int) -> tuple[str, str]:
    """Returns the name and the description of a tensor."""
    name = graph.tensors[number].name.decode()
    return name, TENSORS.get(name) or OTHER_INPUTS[graph.tensors[number].type]


def _text_table(builder: flatbuffers.Builder, name: str, description: str, *others: int | None) -> int:
    """Builds a table that starts with a name and a description, as all tables of the format do."""
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
