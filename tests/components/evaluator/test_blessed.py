"""The best model stays the baseline if each new model is slightly worse than the one before."""

from __future__ import annotations

import pytest

from components.errors import StepError
from components.evaluator.blessed import Blessed, best_first, first_undamaged

A = Blessed("a")


@pytest.mark.parametrize(
    ("blessed", "runs", "expected"),
    [
        ([], 5, []),
        ([A], 5, ["a"]),
        ([A, Blessed("b", "a", 0.01)], 5, ["b", "a"]),
        # Each loss is within chance: the best model stays the baseline.
        ([A, Blessed("b", "a", -0.01), Blessed("c", "a", -0.02), Blessed("d", "a", -0.015)], 5, ["a", "b", "d", "c"]),
        # Differences add up: c is 0.01 above a, though it was compared with b.
        ([A, Blessed("b", "a", -0.01), Blessed("c", "b", 0.02)], 5, ["c", "a", "b"]),
        ([A, Blessed("b", "a", -0.01), Blessed("c", "b", -0.02)], 1, ["c"]),
        ([A, Blessed("b", "a", -0.01), Blessed("c", "a", -0.02)], 2, ["b", "c"]),
        ([A, Blessed("b", "a", 0.0)], 5, ["b", "a"]),  # Equally good: the latest first.
        ([A, Blessed("b")], 5, ["b"]),  # No baseline.
        ([A, Blessed("b", "gone", -0.01)], 5, ["b"]),
        ([A, Blessed("b", "a", -0.01), Blessed("a", "b", 0.02)], 5, ["a", "b"]),  # Blessed twice.
        ([A, Blessed("b", "a", 0.01)], 0, []),
    ],
)
def test_best_first_sorts_models_by_their_added_differences(blessed, runs, expected):
    assert best_first(blessed, runs) == expected


def test_three_models_that_are_each_slightly_worse_do_not_replace_the_baseline():
    """The quality falls from 0.30 to 0.27 in steps within chance, so each model would pass against the last one."""
    quality = {"a": 0.30, "b": 0.29, "c": 0.28, "d": 0.27}
    within_chance = 0.015
    blessed, baselines = [A], {}
    for name in ("b", "c", "d"):
        baseline = best_first(blessed, 5)[0]
        baselines[name] = baseline
        change = quality[name] - quality[baseline]
        if change > -within_chance:
            blessed.append(Blessed(name, baseline, change))
    assert baselines == {"b": "a", "c": "a", "d": "a"}
    assert [entry.model for entry in blessed] == ["a", "b"]


def test_comparisons_with_an_excluded_model_still_count():
    blessed = [A, Blessed("b", "a", 0.02), Blessed("c", "b", -0.01)]
    assert best_first(blessed, 5, excluded={"b"}) == ["c", "a"]
    assert best_first(blessed, 1, excluded={"c"}) == ["b"]


def test_a_damaged_model_stops_the_run_or_is_skipped():
    damage = {"a": "a/weights is missing", "b": ""}.get
    with pytest.raises(
        StepError,
        match=r"^a/weights is missing: the baseline model is damaged; restore it, or",
    ):
        first_undamaged(["a", "b"], damage, "stop")
    assert first_undamaged(["a", "b"], damage, "skip") == "b"
    assert first_undamaged(["b", "a"], damage, "stop") == "b"  # The second is not checked.
    assert first_undamaged([], damage, "stop") == ""
