"""The examples in the docstrings of the Python client give the results that they show."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from on_device import recommender


def test_the_examples_of_the_recommender_are_correct(
    pushed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "serving_models").mkdir()
    pushed.rename(tmp_path / "serving_models" / "films")
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(recommender)
    assert results.attempted > 10
    assert results.failed == 0
