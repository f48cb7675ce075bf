"""Writes lists of serialized examples to TFRecord files."""

from __future__ import annotations

import os

import apache_beam as beam
import tensorflow as tf
from apache_beam.io import filebasedsink, iobase

# The default level 6 takes three times as long for files that are 3 % smaller, because ids and times hardly compress.
COMPRESSION_LEVEL = 1


class _Sink(filebasedsink.FileBasedSink):
    """A sink for gzipped TFRecord files; an element is a list of records. Beam writes temporary files, then renames."""

    def __init__(self, prefix: str):
        super().__init__(prefix, beam.coders.BytesCoder(), file_name_suffix=".gz")

    def open(self, temp_path: str) -> tf.io.TFRecordWriter:
        options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=COMPRESSION_LEVEL)
        return tf.io.TFRecordWriter(temp_path, options)

    def write_record(self, file_handle: tf.io.TFRecordWriter, value: list[bytes]) -> None:
        for record in value:
            file_handle.write(record)

    def close(self, file_handle: tf.io.TFRecordWriter | None) -> None:
        if file_handle is not None:
            file_handle.close()


def write_examples(folder: str) -> iobase.Write:
    """Returns a transform that writes lists of serialized examples, with the file names of TFX's own ExampleGens.

    Each worker writes its own files.

    Args:
        folder: path or URI of the folder of a split.
    """
    return iobase.Write(_Sink(os.path.join(folder, "data_tfrecord")))
