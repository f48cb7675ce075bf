"""Grouping, ordering, ties, duplicates and splits, compared with results computed by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen import timelines
from components.example_gen.settings import ExampleGenSettings
from components.example_gen.timelines import NO_TARGET, Ratings, Rows


def make_ratings(rows: list[tuple[str, str, float, int]], weights: list[float] | None = None) -> Ratings:
    """Returns ratings of (user, item, rating, timestamp), in the order of the log."""
    users, items, ratings, timestamps = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = {
        "user": pa.array(users, pa.string()),
        "item": pa.array(items, pa.string()),
        "rating": np.array(ratings, np.float32),
        "timestamp": np.array(timestamps, np.int64),
        "position": np.arange(len(rows)) * 10,
        "weight": np.array([1.0] * len(rows) if weights is None else weights, np.float32),
    }
    return Ratings.from_table(pa.table(columns))


def items(grouped: Ratings) -> list[list[str]]:
    ids = grouped.items.to_pylist()
    bounds = itertools.pairwise(timelines.bounds_of(grouped))
    return [[ids[item] for item in grouped.item[start:stop]] for start, stop in bounds]


def rows_of(
    grouped: Ratings, split_settings: ExampleGenSettings | None = None, **options: object
) -> dict[str, list[tuple[int, ...]]]:
    """Returns the (start, stop, target) of all rows of each split that has rows; training has (start, stop)."""
    rows = timelines.split_rows(grouped, split_settings or ExampleGenSettings(), **options)
    columns = {split: np.stack([part.start, part.stop, part.target], axis=1) for split, part in rows.items()}
    return {
        split: [tuple(value for value in row if value != NO_TARGET) for row in table.tolist()]
        for split, table in columns.items()
        if len(table)
    }


def test_timelines_are_sorted_by_time_then_by_file_position():
    ratings = make_ratings(
        [("u", "late", 3, 9), ("u", "z", 3, 5), ("v", "x", 3, 1), ("u", "a", 3, 5), ("u", "first", 3, 1)]
    )
    assert items(timelines.group(ratings)) == [["first", "z", "a", "late"], ["x"]]


def test_only_exact_repeats_are_dropped():
    ratings = make_ratings([("u", "a", 3, 5), ("u", "b", 3, 5), ("u", "a", 3, 5), ("u", "a", 4, 5), ("u", "a", 3, 6)])
    grouped = timelines.group(ratings)
    assert items(grouped) == [["a", "b", "a", "a"]]
    assert grouped.rating.tolist() == [3, 3, 4, 3]


def test_a_purchase_at_the_time_of_a_view_is_kept_in_the_order_of_the_log():
    rows = [("u", "a", 1, 5), ("u", "b", 1, 5), ("u", "a", 1, 5), ("u", "b", 1, 5), ("u", "a", 1, 5)]
    grouped = timelines.group(make_ratings(rows, [0.2, 1, 1, 0.2, 0.2]))
    assert items(grouped) == [["a", "b", "a", "b"]]
    np.testing.assert_array_equal(grouped.weight, np.float32([0.2, 1, 1, 0.2]))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.just(3.0), st.integers(0, 3)), max_size=30)
)
def test_grouping_agrees_with_sorting_python_objects(rows):
    expected: dict[str, list[tuple[int, str]]] = {}
    distinct_rows = set()
    for user, item, rating, timestamp in rows:
        if (user, item, rating, timestamp) not in distinct_rows:
            distinct_rows.add((user, item, rating, timestamp))
            expected.setdefault(user, []).append((timestamp, item))
    expected_items = [
        [item for _, item in sorted(expected[user], key=lambda event: event[0])] for user in sorted(expected)
    ]
    grouped = timelines.group(make_ratings(rows))
    assert items(grouped) == expected_items


def test_leave_one_out_holds_out_the_last_two_interactions():
    grouped = timelines.group(make_ratings([("u", item, 3, time) for time, item in enumerate("abcde")]))
    assert rows_of(grouped) == {"train": [(0, 3)], "eval": [(0, 3, 3)], "test": [(0, 4, 4)]}


def test_users_with_too_few_interactions_have_no_rows():
    grouped = timelines.group(
        make_ratings([("u", "a", 3, 1), ("u", "b", 3, 2), *(("v", item, 3, 1) for item in "abc")])
    )
    rows = rows_of(grouped, ExampleGenSettings(min_interactions=3))
    assert {row[0] for split_rows in rows.values() for row in split_rows} == {2}


def test_two_interactions_are_enough_for_training():
    grouped = timelines.group(make_ratings([("u", "a", 3, 1), ("u", "b", 3, 2), ("v", "a", 3, 1)]))
    assert rows_of(grouped) == {"train": [(0, 2)]}


@pytest.mark.parametrize("targets", ["first", "all"])
def test_interactions_after_the_period_do_not_count_for_a_split(targets):
    """A user with one interaction before the cut is unknown in that split, regardless of later interactions."""
    grouped = timelines.group(make_ratings([("u", item, 3, time) for time, item in enumerate("abc", start=4)]))
    split_settings = ExampleGenSettings(split="temporal", temporal_targets=targets, min_interactions=3)
    assert rows_of(grouped, split_settings, cuts=(5, 6)) == {"test": [(0, 2, 2)]}


def test_a_session_is_in_the_split_of_its_last_interaction():
    rows = [
        (session, item, 3, start + offset)
        for session, start in (("a", 0), ("b", 3), ("c", 8), ("d", 20))
        for offset, item in enumerate("xyz")
    ]
    grouped = timelines.group(make_ratings(rows))
    assert rows_of(grouped, ExampleGenSettings(split="sessions"), cuts=(5, 10)) == {
        "train": [(0, 3)],
        "eval": [(3, 4, 4), (3, 5, 5)],
        "test": [(6, 7, 7), (6, 8, 8), (9, 10, 10), (9, 11, 11)],
    }


def test_the_sampled_targets_of_a_user_do_not_depend_on_the_partition():
    def targets_of(users: str) -> dict[str, list[int]]:
        log = [(user, str(time), 3, time) for user in users for time in range(40)]
        split_settings = ExampleGenSettings(split="temporal", max_targets_per_user=5)
        grouped, targets = timelines.group(make_ratings(log)), {}
        for start, _, target in rows_of(grouped, split_settings, cuts=(10, 20))["test"]:
            targets.setdefault(users[start // 40], []).append(target - start)
        return targets

    targets_of_both = targets_of("uv")
    assert targets_of_both == {**targets_of("u"), **targets_of("v")} and targets_of_both["u"] != targets_of_both["v"]
    assert all(
        len(set(sample)) == 5 and min(sample) >= 20 and sample == sorted(sample) for sample in targets_of_both.values()
    )


def test_repeats_marks_items_that_the_user_had_before():
    grouped = timelines.group(
        make_ratings([("u", item, 3, time) for time, item in enumerate("abaab")] + [("v", "a", 3, 1)])
    )
    assert timelines.repeats(grouped).tolist() == [False, False, True, True, True, False]


def shop(kinds: str) -> Ratings:
    """Returns the timeline of a user who views (v) and purchases (p) an item at each time."""
    rows = [("u", item, 3, time) for time, item in enumerate("abcdefgh"[: len(kinds)])]
    return timelines.group(make_ratings(rows, [float(kind == "p") for kind in kinds]))


def test_leave_one_out_holds_out_the_last_two_targets():
    assert rows_of(shop("vpvpvpv")) == {"train": [(0, 3)], "eval": [(0, 3, 3)], "test": [(0, 5, 5)]}


@pytest.mark.parametrize("kinds", ["vvvv", "vvvp", "pvvp"])
def test_without_two_targets_after_the_first_nothing_is_held_out(kinds):
    assert rows_of(shop(kinds)) == {"train": [(0, 4)]}


def test_only_targets_of_a_period_are_held_out():
    split_settings = ExampleGenSettings(split="temporal")
    rows = rows_of(shop("ppvpvpvv"), split_settings, cuts=(3, 5))
    assert rows == {"train": [(0, 3)], "eval": [(0, 3, 3)], "test": [(0, 5, 5)]}


def test_the_split_for_the_refit_has_complete_timelines():
    grouped = timelines.group(
        make_ratings([("u", item, 3, time) for time, item in enumerate("abcd")] + [("v", "a", 3, 1)])
    )
    assert rows_of(grouped, with_all=True)["all"] == [(0, 4)]


def test_dropping_repeats_keeps_the_first_target_or_else_the_first_interaction():
    rows = [("u", item, 3, time) for time, item in enumerate("abacab")] + [("v", "a", 3, 1)]
    unweighted = timelines.without_repeats(timelines.group(make_ratings(rows)))
    assert items(unweighted) == [["a", "b", "c"], ["a"]]
    weighted = timelines.without_repeats(timelines.group(make_ratings(rows, [0, 0, 1, 0, 1, 0, 0])))
    assert items(weighted) == [["b", "a", "c"], ["a"]]
    assert weighted.weight.tolist() == [0, 1, 0, 0]


TWO_USERS = [("u", item, 3, time) for time, item in enumerate("abcdef")] + [("v", item, 3, 4) for item in "xyz"]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("first", {"train": [(0, 3)], "eval": [(0, 3, 3), (6, 6, 6)], "test": [(0, 5, 5)]}),
        (
            "all",
            {
                "train": [(0, 3)],
                "eval": [(0, 3, 3), (0, 4, 4), (6, 6, 6), (6, 7, 7), (6, 8, 8)],
                "test": [(0, 5, 5)],
            },
        ),
    ],
)
def test_temporal_split_cuts_all_users_at_the_same_time(targets, expected):
    grouped = timelines.group(make_ratings(TWO_USERS))
    split_settings = ExampleGenSettings(split="temporal", temporal_targets=targets)
    assert rows_of(grouped, split_settings, cuts=(3, 5)) == expected


def test_pieces_are_bounded_unless_one_timeline_is_longer():
    lengths = np.array([3, 2, 9, 0, 1, 4, 1])
    rows = Rows(np.zeros_like(lengths), lengths, np.full_like(lengths, NO_TARGET))
    assert [piece.stop.tolist() for piece in rows.pieces(5)] == [[3, 2], [9], [0, 1, 4], [1]]


def test_temporal_cuts_leave_the_configured_shares_of_ratings():
    times = np.arange(100, dtype=np.int64)
    split_settings = ExampleGenSettings(split="temporal", eval_fraction=0.1, test_fraction=0.2)
    assert timelines.temporal_cuts(times, np.ones(100, np.int64), split_settings) == (70, 80)


def test_a_summary_of_times_counts_every_rating_and_preserves_the_cuts():
    times = np.random.default_rng(1).integers(0, 10**9, 100_000)
    split_settings = ExampleGenSettings(split="temporal")
    parts = [timelines.summarise_times(part) for part in np.split(times, 4)]
    summary, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert weights.sum() == len(times)
    assert len(summary) == 4 * 4096
    exact = timelines.temporal_cuts(times, np.ones(len(times), np.int64), split_settings)
    np.testing.assert_allclose(timelines.temporal_cuts(summary, weights, split_settings), exact, rtol=1e-3)


def test_popularity_buckets_are_thirds_of_events():
    # In order: 4 | 3 2 | 1 1 1 of 12 events; 3 starts at event 4 (a third), the first 1 at event 9 (past two thirds).
    assert timelines.popularity_buckets(np.array([1, 4, 2, 1, 3, 1])).tolist() == [2, 0, 1, 2, 1, 2]
