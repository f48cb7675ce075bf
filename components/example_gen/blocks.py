"""Blocks of interactions between the stages of ExampleGen: compressed Arrow streams, in memory or in files.

Beam's local runner keeps every element in memory. With this runner, blocks are stored in files of the step's temporary
folder, and the elements are only references, so that memory use does not grow with the log. Other runners shuffle on
disk.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass

import pyarrow as pa

OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class Block:
    """A reference to a block in a file: `size` bytes from offset `start`."""

    path: str
    start: int
    size: int


class Blocks:
    """Stores tables as blocks.

    Args:
        folder: local folder for the files; if empty, blocks stay in memory.
    """

    def __init__(self, folder: str):
        self._folder = folder

    def put(self, tables: list[pa.Table]) -> list[bytes | Block]:
        """Returns a block for each table; on disk, all blocks of a call share one file."""
        contents = [_encode(table) for table in tables]
        if not self._folder:
            return list(contents)
        path = os.path.join(self._folder, f"{uuid.uuid4().hex}.arrows")
        blocks: list[bytes | Block] = []
        with open(path, "wb") as stream:
            for content in contents:
                blocks.append(Block(path, stream.tell(), len(content)))
                stream.write(content)
        return blocks

    def get(self, block: bytes | Block) -> pa.Table:
        """Returns the table of a block."""
        if isinstance(block, bytes):
            return pa.ipc.open_stream(block).read_all()
        with open(block.path, "rb") as stream:
            stream.seek(block.start)
            return pa.ipc.open_stream(stream.read(block.size)).read_all()


def _encode(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=OPTIONS) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
