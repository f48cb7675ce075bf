"""Digests of examples: two folders hold the same examples if their digests are equal."""

from __future__ import annotations

import hashlib
from pathlib import Path

import tensorflow as tf


def digest(split: Path) -> tuple[int, str]:
    """Returns the number of examples in a split's files, and a SHA-256 that is the same for any order."""
    digests = []
    files = tf.data.TFRecordDataset(sorted(str(path) for path in split.iterdir()), compression_type="GZIP")
    for record in files.as_numpy_iterator():
        values = tf.train.Example.FromString(record).features.feature
        example_hash = hashlib.sha256()
        for name in sorted(values):
            example_hash.update(name.encode() + values[name].SerializeToString(deterministic=True))
        digests.append(example_hash.digest())
    return len(digests), hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def digests(folder: Path) -> dict[str, tuple[int, str]]:
    """Returns the digest of each split in a folder of splits (`Split-train` and so on)."""
    return {path.name.removeprefix("Split-"): digest(path) for path in sorted(folder.glob("Split-*"))}
