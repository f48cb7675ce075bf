"""Memory of a fresh process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from on_device import ArtifactError, Recommender, memory
from on_device.memory import STATUS, grow, measure


def test_a_fresh_process_has_little(pushed_once: Path) -> None:
    found = measure(pushed_once / "2")
    assert found is not None
    assert 10e6 < found.before < 200e6  # of this one, which has imported TensorFlow, nothing counts
    assert 0 < found.growth <= found.peak_growth < 50e6


def test_what_is_held_and_what_was_the_most(monkeypatch: pytest.MonkeyPatch, pushed_once: Path) -> None:
    """Where the system tells both: 100 MB are held while the model loads, and 30 MB still are after."""
    if not STATUS.is_file():
        pytest.skip("this system has no /proc")
    load = Recommender.load
    held = []

    def hungry(path: Path) -> Recommender:
        np.ones(100_000_000, np.uint8)
        held.append(np.ones(30_000_000, np.uint8))
        return load(path)

    monkeypatch.setattr(Recommender, "load", hungry)
    found = grow(pushed_once / "2")
    assert found is not None
    assert 25e6 < found.growth < 60e6
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
