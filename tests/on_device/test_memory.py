"""The memory that a model uses in a new process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from on_device import ArtifactError, memory
from on_device.memory import STATUS, Memory, measure, measure_here


def test_a_new_process_uses_little_memory(pushed_once: Path) -> None:
    memory_used = measure(pushed_once / "2")
    assert memory_used is not None
    assert 10e6 < memory_used.before < 200e6  # without the TensorFlow of this process
    assert 0 < memory_used.growth <= memory_used.peak_growth < 50e6


SCRIPT = """
import dataclasses, json, sys
from pathlib import Path
import numpy as np
from on_device import Recommender
from on_device.memory import measure_here

load, held = Recommender.load, []

def load_with_arrays(path):
    np.ones(100_000_000, np.uint8)
    held.append(np.ones(50_000_000, np.uint8))
    return load(path)

Recommender.load = load_with_arrays
print(json.dumps(dataclasses.asdict(measure_here(Path(sys.argv[1])))))
"""


def test_growth_excludes_freed_memory_and_the_peak_includes_it(pushed_once: Path) -> None:
    """Loading allocates 100 MB, which are freed, and 50 MB, which are not."""
    if not STATUS.is_file():
        pytest.skip("this system has no /proc")
    # In a new process: this process would reuse memory that it has freed, which would not count.
    process = subprocess.run([sys.executable, "-c", SCRIPT, str(pushed_once / "2")], capture_output=True, check=True)
    memory_used = Memory(**json.loads(process.stdout))
    assert 45e6 < memory_used.growth < 90e6
    assert 95e6 < memory_used.peak_growth < 140e6
    assert memory_used.source == "/proc/self/status"


def test_without_proc_only_the_peak_is_known(pushed_once: Path, tmp_path: Path) -> None:
    memory_used = measure_here(pushed_once / "2", status=tmp_path / "none")
    assert memory_used is not None
    assert memory_used.source == "getrusage"
    assert memory_used.before > 10e6
    assert 0 <= memory_used.growth == memory_used.peak_growth


def test_memory_is_unknown_without_proc_and_getrusage(
    monkeypatch: pytest.MonkeyPatch, pushed_once: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "resource", None)
    assert measure_here(pushed_once / "2", status=tmp_path / "none") is None


def test_a_failed_measurement_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"model.tflite: its memory cannot be measured \(.*no such folder"
    ) as raised:
        measure(tmp_path / "none")
    assert "\n" not in str(raised.value)
