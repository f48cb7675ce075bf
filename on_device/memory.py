"""Measures the memory that a model takes, in a new process, where nothing else allocates memory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from on_device.artifact import FIRST_INDEX, MODEL
from on_device.errors import ArtifactError
from on_device.recommender import Recommender

try:
    import resource
except ImportError:  # Windows lacks it.
    resource = None  # type: ignore[assignment]

STATUS = Path("/proc/self/status")
RESIDENT, PEAK = "VmRSS", "VmHWM"
RESET_PEAK = Path("/proc/self/clear_refs")


@dataclasses.dataclass(frozen=True)
class Memory:
    """Resident memory, in bytes, of a process that loads a pushed model and recommends for a full history.

    Attributes:
        before: Memory of Python, NumPy and LiteRT before the model is loaded.
        growth: Memory that the model, its catalogue and the inference have added when they are done.
        peak_growth: Most memory that they have added at any time.
        source: `/proc/self/status`, or `getrusage`, which reports only the peak: then `before` is the peak of the
            imports and `growth` equals `peak_growth`.
    """

    before: int
    growth: int
    peak_growth: int
    source: str


def measure(folder: Path) -> Memory | None:
    """Measures a version's folder in a new process; returns None if the system does not report memory, as on Windows.

    Raises:
        ArtifactError: The process failed.
    """
    command = [sys.executable, "-m", "on_device.memory", str(folder.resolve())]
    process = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if process.returncode:
        cause = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise ArtifactError(f"{folder / MODEL}: its memory cannot be measured ({cause})")
    memory = json.loads(process.stdout)
    return memory and Memory(**memory)


def measure_here(folder: Path, status: Path = STATUS) -> Memory | None:
    """Measures a version's folder in this process; see `measure`.

    Args:
        folder: Folder of a version.
        status: File in which Linux reports the memory of a process; other systems have none.
    """
    if {RESIDENT, PEAK} <= _read_sizes(status).keys():
        with contextlib.suppress(OSError):  # Without permission, the peak includes the imports.
            RESET_PEAK.write_text("5", encoding="ascii")
        source = str(status)
        resident, peak = lambda: _read_sizes(status)[RESIDENT], lambda: _read_sizes(status)[PEAK]
    elif resource is not None:
        source, resident, peak = "getrusage", _max_resident, _max_resident
    else:
        return None
    before = resident()
    recommender = Recommender.load(folder)
    indices = np.arange(FIRST_INDEX, FIRST_INDEX + len(recommender.items))
    recommender.rank_indices(indices[-recommender.history_length :])
    return Memory(before, resident() - before, peak() - before, source)


def _read_sizes(status: Path) -> dict[str, int]:
    """Returns the sizes in `/proc/self/status` by name, converted from kB to bytes; empty if the file is missing."""
    if not status.is_file():
        return {}
    lines = [line.split() for line in status.read_text(encoding="ascii", errors="replace").splitlines()]
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if line[2:] == ["kB"]}


def _max_resident() -> int:
    """Returns the peak memory of this process in bytes; `getrusage` counts bytes on macOS and KiB elsewhere."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    measured = measure_here(Path(sys.argv[1]))
    print(json.dumps(measured and dataclasses.asdict(measured)))
