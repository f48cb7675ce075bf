"""Memory of a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from on_device import ArtifactError, memory
from on_device.memory import STATUS, Memory, grow, measure


def test_a_fresh_process_has_little(pushed_once: Path) -> None:
    found = measure(pushed_once / "2")
    assert found is not None
    assert 10e6 < found.before < 200e6  # of this one, which has imported TensorFlow, nothing counts
    assert 0 < found.growth <= found.peak_growth < 50e6


HUNGRY = """
import dataclasses, json, sys
from pathlib import Path
import numpy as np
from on_device import Recommender
from on_device.memory import grow

load, held = Recommender.load, []

def hungry(path):
    np.ones(100_000_000, np.uint8)
    held.append(np.ones(50_000_000, np.uint8))
    return load(path)

Recommender.load = hungry
print(json.dumps(dataclasses.asdict(grow(Path(sys.argv[1])))))
"""


def test_what_is_held_and_what_was_the_most(pushed_once: Path) -> None:
    """Where the system tells both: 100 MB are held while the model loads, and 50 MB still are after."""
    if not STATUS.is_file():
        pytest.skip("this system has no /proc")
    # In a fresh process: memory that this one has freed would be taken again, and not counted.
    done = subprocess.run([sys.executable, "-c", HUNGRY, str(pushed_once / "2")], capture_output=True, check=True)
    found = Memory(**json.loads(done.stdout))
    assert 45e6 < found.growth < 90e6
    assert 95e6 < found.peak_growth < 140e6
    assert found.source == "/proc/self/status"


def test_without_proc_the_peak_counts(pushed_once: Path, tmp_path: Path) -> None:
    found = grow(pushed_once / "2", status=tmp_path / "none")
    assert found is not None
    assert found.source == "getrusage"
    assert found.before > 10e6
    assert 0 <= found.growth == found.peak_growth


def test_without_either_nothing_is_told(monkeypatch: pytest.MonkeyPatch, pushed_once: Path, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "resource", None)
    assert grow(pushed_once / "2", status=tmp_path / "none") is None


def test_a_process_that_fails(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"model.tflite: its memory cannot be measured \(.*no such folder"
    ) as raised:
        measure(tmp_path / "none")
    assert "\n" not in str(raised.value)
