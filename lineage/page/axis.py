"""The marks on an axis of a chart, and the decimals of their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Returns about `count` round numbers from low to high, at least two."""
    span = high - low or abs(high) or 1.0
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * number for number in range(first, max(last, first + 1) + 1)]


def decimals(marks: Sequence[float]) -> int:
    """Returns the number of decimals that the marks need."""
    return next((n for n in range(7) if all(abs(round(mark, n) - mark) < 1e-9 for mark in marks)), 6)
