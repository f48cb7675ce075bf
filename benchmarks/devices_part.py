"""One worker of `benchmarks.devices`, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.devices import measure

if __name__ == "__main__":
    measure(Path(sys.argv[1]))
