"""The metadata of a pushed file, as viewers of model files read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.tools import flatbuffer_utils
from flatbuffers.number_types import UOffsetTFlags
from flatbuffers.table import Table
from tfx.types import Artifact

from components.pusher.convert import convert
from components.pusher.describe import SIGNATURES, TENSORS, describe
from on_device.tflite_model import TFLiteModel

NAME, DESCRIPTION, GRAPHS, INPUTS, OUTPUTS = 4, 6, 10, 8, 10  # offsets in tables of the published schema


@pytest.fixture(scope="module")
def content(inputs: dict[str, list[Artifact]]) -> bytes:
    loaded = tf.saved_model.load(str(Path(inputs["model"][0].uri) / "Format-Serving"))
    return describe(convert(loaded, "dynamic_int8"), "Rings", "Walks a ring.")


def metadata_of(content: bytes) -> Table:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    (entry,) = (entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    data = bytearray(bytes(model.buffers[entry.buffer].data))
    assert data[4:8] == b"M001"
    return Table(data, flatbuffers.encode.Get(UOffsetTFlags.packer_type, data, 0))


def text(table: Table, field: int) -> str:
    value: bytes = table.String(table.Offset(field) + table.Pos)
    return value.decode()


def tables(table: Table, field: int) -> list[Table]:
    offset = table.Offset(field)
    first = table.Vector(offset)
    return [Table(table.Bytes, table.Indirect(first + 4 * number)) for number in range(table.VectorLen(offset))]


def test_model_signatures_and_tensors_are_described(content: bytes) -> None:
    metadata = metadata_of(content)
    assert (text(metadata, NAME), text(metadata, DESCRIPTION)) == ("Rings", "Walks a ring.")
    graphs = {text(graph, NAME): graph for graph in tables(metadata, GRAPHS)}
    assert {name: text(graph, DESCRIPTION) for name, graph in graphs.items()} == SIGNATURES
    for graph in graphs.values():
        for tensor in [*tables(graph, INPUTS), *tables(graph, OUTPUTS)]:
            assert text(tensor, DESCRIPTION) == TENSORS[text(tensor, NAME)]
    names = [text(tensor, NAME) for tensor in tables(graphs["recommend"], OUTPUTS)]
    assert sorted(names) == ["ids", "scores"]


def test_tensors_have_the_names_of_the_signatures(content: bytes) -> None:
    model: Any = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    names = [sorted(graph.tensors[number].name for number in graph.inputs) for graph in model.subgraphs]
    assert sorted(names) == [[b"bias", b"history"], [b"bias", b"item"], [b"history", b"item"]]
    assert model.description == b"Walks a ring."


def test_a_described_file_still_recommends(content: bytes) -> None:
    ids, _ = TFLiteModel(content).rank(np.array([2, 3]), np.array([4]))
    assert ids.tolist()[:3] == [5, 6, 7]


def test_the_oldest_runtime_is_declared_once(content: bytes) -> None:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    (entry,) = (entry for entry in model.metadata if entry.name == b"min_runtime_version")
    assert bytes(model.buffers[entry.buffer].data) == b"2.2.0".ljust(16, b"\0")
