"""Says whether two folders hold the same examples, whatever their order and that of their features.

    .venv/bin/python -m benchmarks.same_records FOLDER FOLDER

Each is a folder of splits (`Split-train` and so on), as ExampleGen and Transform leave them.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import tensorflow as tf

from components import features

# What the other folder may lack: the plain Beam version counts events itself.
ONLY_OURS = {features.CATALOG_TRAIN_EVENTS, features.CATALOG_EVENTS}


def digest(split: Path) -> tuple[int, str]:
    """Number of examples in a split's files, and a SHA-256 of all of them, in order of their own."""
    digests = []
    files = tf.data.TFRecordDataset(sorted(str(path) for path in split.iterdir()), compression_type="GZIP")
    for record in files.as_numpy_iterator():
        found = tf.train.Example.FromString(record).features.feature
        one = hashlib.sha256()
        for name in sorted(set(found) - ONLY_OURS):
            one.update(name.encode() + found[name].SerializeToString(deterministic=True))
        digests.append(one.digest())
    return len(digests), hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def digests(folder: Path) -> dict[str, tuple[int, str]]:
    """The digest of each split in a folder."""
    return {path.name.removeprefix("Split-"): digest(path) for path in sorted(folder.glob("Split-*"))}


def main(arguments: list[str] | None = None) -> int:
    """Compare and print; returns 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs=2, type=Path, metavar="FOLDER")
    one, other = (digests(folder) for folder in parser.parse_args(arguments).folders)
    for split in sorted(one | other):
        same = one.get(split) == other.get(split)
        counts = " and ".join(f"{found[split][0]:,}" if split in found else "no" for found in (one, other))
        print(f"{split}: {counts} examples, {'the same' if same else 'DIFFERENT'}")
    return int(one != other)


if __name__ == "__main__":
    sys.exit(main())
