"""The part of `benchmarks.trainer_memory` that is measured, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.trainer_memory import measure

if __name__ == "__main__":
    measure(Path(sys.argv[1]))
