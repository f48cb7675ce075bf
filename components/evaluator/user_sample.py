"""Samples users of the test split, because some tens of thousands are enough to measure a model."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import heapq
import os
from collections.abc import Iterator

import tensorflow as tf
from tfx.dsl.io import fileio
from tfx.types import Artifact, artifact_utils

from components import features

SEED = b"users of the test split"


@contextlib.contextmanager
def sampled_users(examples: Artifact, count: int, folder: str) -> Iterator[Artifact]:
    """Samples users of the test split. A split with the same users always gives the same sample.

    Args:
        examples: raw examples with a test split.
        count: number of users; if the split has fewer, all are used.
        folder: folder for the sample until the context ends; local or on a file system that TensorFlow supports.

    Yields:
        Examples whose test split has all examples of the sampled users, and no others.
    """
    files = fileio.glob(os.path.join(artifact_utils.get_split_uri([examples], features.TEST), "*"))
    sample = copy.deepcopy(examples)
    sample.uri = folder
    split = artifact_utils.get_split_uri([sample], features.TEST)
    fileio.makedirs(split)
    try:
        with tf.io.TFRecordWriter(os.path.join(split, "drawn.gz"), "GZIP") as writer:
            for record in _records_of_users(sorted(files), count):
                writer.write(record)
        yield sample
    finally:
        fileio.rmtree(folder)


def _records_of_users(files: list[str], count: int) -> Iterator[bytes]:
    """Yields the examples of the `count` users with the lowest hashes; keeps only their examples in memory."""
    records: dict[bytes, list[bytes]] = {}
    highest: list[tuple[bytes, bytes]] = []  # a heap of (inverted hash, user), the highest hash first
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        example = tf.train.Example.FromString(record)
        (user,) = example.features.feature[features.USER_ID].bytes_list.value
        if user in records:
            records[user].append(record)
            continue
        inverted = bytes(255 - byte for byte in hashlib.sha256(SEED + user).digest())
        if len(records) < count:
            heapq.heappush(highest, (inverted, user))
        elif inverted > highest[0][0]:
            _, removed = heapq.heapreplace(highest, (inverted, user))
            del records[removed]
        else:
            continue
        records[user] = [record]
    for user in sorted(records):
        yield from records[user]
