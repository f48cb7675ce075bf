"""How much memory a model takes, in a fresh process: nothing else moves that one's memory."""

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
except ImportError:  # Windows has none.
    resource = None  # type: ignore[assignment]

STATUS = Path("/proc/self/status")
NOW, PEAK = "VmRSS", "VmHWM"
RESET_PEAK = Path("/proc/self/clear_refs")


@dataclasses.dataclass(frozen=True)
class Memory:
    """Resident memory of a process that loads a pushed model and answers a full history, in bytes.

    Attributes:
        before: with Python, NumPy and LiteRT imported.
        growth: by loading the model and its catalogue, and by the answer; what is left of it afterwards.
        peak_growth: the most on the way.
        source: who told: `/proc/self/status`; or `getrusage`, which knows the peak alone, so that `before` is the peak
            of the imports and `growth` is `peak_growth`.
    """

    before: int
    growth: int
    peak_growth: int
    source: str


def measure(folder: Path) -> Memory | None:
    """Measure a version's folder; None where the system does not tell: on Windows.

    Raises:
        ArtifactError: the process failed.
    """
    command = [sys.executable, "-m", "on_device.memory", str(folder.resolve())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ArtifactError(f"{folder / MODEL}: its memory cannot be measured ({reason})")
    found = json.loads(done.stdout)
    return found and Memory(**found)


def grow(folder: Path, status: Path = STATUS) -> Memory | None:
    """Load and answer in this process; see `measure`.

    Args:
        folder: of a version.
        status: where Linux tells; elsewhere it is missing.
    """
    if {NOW, PEAK} <= _entries(status).keys():
        with contextlib.suppress(OSError):  # Where it is not allowed, the peak is that of the imports at least.
            RESET_PEAK.write_text("5", encoding="ascii")
        source, now, peak = str(status), lambda: _entries(status)[NOW], lambda: _entries(status)[PEAK]
    elif resource is not None:
        source, now, peak = "getrusage", _most, _most
    else:
        return None
    before = now()
    recommender = Recommender.load(folder)
    indices = np.arange(FIRST_INDEX, FIRST_INDEX + len(recommender.items))
    recommender.rank_indices(indices[-recommender.history_length :])
    return Memory(before, now() - before, peak() - before, source)


def _entries(status: Path) -> dict[str, int]:
    """What `/proc/self/status` says of sizes, by name, in bytes; it has kB. Nothing where there is no such file."""
    if not status.is_file():
        return {}
    words = [line.split() for line in status.read_text(encoding="ascii", errors="replace").splitlines()]
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in words if line[2:] == ["kB"]}


def _most() -> int:
    """The most that this process has had; macOS counts in bytes, others in KiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    found = grow(Path(sys.argv[1]))
    print(json.dumps(found and dataclasses.asdict(found)))
