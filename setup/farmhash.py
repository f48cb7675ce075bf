"""Stands in for `pyfarmhash` where that has no wheel: for Python 3.10 and on macOS it would need a C++ compiler.

TensorFlow Data Validation imports `farmhash` whenever it is imported itself, and calls it for the skew between features
alone, which the pipeline does not compute. The set-up copies this file into an environment without the real module.
"""

from __future__ import annotations


def __getattr__(name: str) -> object:
    raise AttributeError(f"farmhash.{name} is not here, since pyfarmhash has no wheel for this machine: install it")
