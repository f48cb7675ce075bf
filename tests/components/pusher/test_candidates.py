"""The choice among precisions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from components.pusher.candidates import File, choose
from components.pusher.check import Check
from components.pusher.settings import PusherSettings


def checked(precision: Any, size: int, recall: float, agreement: float = 1.0) -> tuple[File, Check]:
    recommender: Any = SimpleNamespace()
    file = File(precision, bytes(size), recommender, 30.0, 90.0, "2.5.0")
    return file, Check({"recall_at_10": recall}, agreement, 100, "recall_at_10")


# Files may lose 1% of 0.3, and must agree on 95%.
@pytest.mark.parametrize(
    ("float16", "int8", "chosen"),
    [
        ((50, 0.3, 1.0), (25, 0.297, 0.96), "dynamic_int8"),  # loses 1%
        ((50, 0.3, 1.0), (25, 0.296, 0.96), "float16"),
        ((50, 0.3, 1.0), (25, 0.31, 0.94), "float16"),  # disagrees with the SavedModel
        ((50, 0.2, 1.0), (25, 0.2, 1.0), "float32"),
        ((50, 0.3, 1.0), (60, 0.3, 1.0), "float16"),
    ],
)
def test_the_smallest_acceptable_file_is_chosen(float16: Any, int8: Any, chosen: str) -> None:
    candidates = [checked("float32", 100, 0.3), checked("float16", *float16), checked("dynamic_int8", *int8)]
    files, checks = zip(*candidates, strict=True)
    assert choose(files, checks, PusherSettings(max_recall_loss=0.01, min_agreement=0.95)).precision == chosen


def test_a_configured_precision_is_always_chosen() -> None:
    only, check = checked("dynamic_int8", 25, 0.0, 0.0)
    assert choose([only], [check], PusherSettings(precision="dynamic_int8")) is only
