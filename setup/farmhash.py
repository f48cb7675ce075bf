"""Replaces `pyfarmhash`, which has no wheel for Python 3.10 or macOS and would need a C++ compiler there.

TensorFlow Data Validation always imports `farmhash`, but calls it only for the skew between features, which the
pipeline does not compute. The set-up copies this file into an environment without the real module.
"""

from __future__ import annotations


def __getattr__(name: str) -> object:
    raise AttributeError(f"farmhash.{name} is missing: pyfarmhash has no wheel for this machine; install pyfarmhash")
