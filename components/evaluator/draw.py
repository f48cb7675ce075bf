"""Draws users of the test split, since some tens of thousands measure a model well enough."""

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
def drawn_users(examples: Artifact, count: int, folder: str) -> Iterator[Artifact]:
    """Draws users of the test split, the same whenever the split has the same users.

    Args:
        examples: raw examples with a test split.
        count: how many users; all where there are fewer.
        folder: where their examples are until the context ends; local or on a file system that TensorFlow reaches.

    Yields:
        Examples whose test split has all the examples of these users and no others.
    """
    files = fileio.glob(os.path.join(artifact_utils.get_split_uri([examples], features.TEST), "*"))
    drawn = copy.deepcopy(examples)
    drawn.uri = folder
    split = artifact_utils.get_split_uri([drawn], features.TEST)
    fileio.makedirs(split)
    try:
        with tf.io.TFRecordWriter(os.path.join(split, "drawn.gz"), "GZIP") as writer:
            for record in _records_of_users(sorted(files), count):
                writer.write(record)
        yield drawn
    finally:
        fileio.rmtree(folder)


def _records_of_users(files: list[str], count: int) -> Iterator[bytes]:
    """Yields the examples of the users whose hashes are the lowest; memory holds those of `count` users."""
    records: dict[bytes, list[bytes]] = {}
    highest: list[tuple[bytes, bytes]] = []  # the inverted hashes of those users, the highest hash first
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
            del records[heapq.heapreplace(highest, (inverted, user))[1]]
        else:
            continue
        records[user] = [record]
    for user in sorted(records):
        yield from records[user]
