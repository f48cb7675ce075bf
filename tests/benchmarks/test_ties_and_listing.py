"""Tests copies with shuffled ties, and the lists that explain the order of a log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.listing import NextInList, by_id, by_ties, measure, tied, tied_neighbours
from benchmarks.logs import shuffled_copy
from benchmarks.ranking import rank_targets
from data.formats import open_dataset

SHAPES = {
    "ratings.dat": ("", "{user}::{item}::4::{time}", "movies.dat", "1::One (1999)::Drama\n"),
    "some.inter": (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n",
        "{user}\t{item}\t4\t{time}",
        "some.item",
        "item_id:token\tmovie_title:token_seq\n1\tOne\n",
    ),
    "log.csv": ("user,item,timestamp\n", '"{user}, the",{item},{time}', "items.csv", "item,title\n1,One\n"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_copy_differs_only_in_the_order_within_ties(name, tmp_path):
    header, row, items_name, items = SHAPES[name]
    rows = [(user, item, 1000 + item // 10) for item in range(1, 41) for user in (1, 2)]
    lines = [row.format(user=user, item=item, time=time) for user, item, time in rows]
    original = tmp_path / "original"
    original.mkdir()
    (original / name).write_text(header + "\n".join(lines), encoding="utf-8")  # No newline at the end.
    (original / items_name).write_text(items, encoding="utf-8")
    dataset = open_dataset(original, tmp_path)

    copies = [shuffled_copy(dataset, tmp_path / f"copy-{seed}", seed) for seed in (1, 1, 2)]
    texts = [(copy / name).read_text(encoding="utf-8") for copy in copies]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].startswith(header) and (copies[0] / items_name).read_text(encoding="utf-8") == items
    shuffled = texts[0].removeprefix(header).splitlines()
    assert sorted(shuffled) == sorted(lines) and shuffled != lines
    row_of = dict(zip(lines, rows, strict=True))
    assert [row_of[line][::2] for line in shuffled] == [row[::2] for row in rows], "user and time keep their positions"
    assert open_dataset(copies[0], tmp_path).log.columns == dataset.log.columns


def test_a_copy_of_a_log_without_ties_is_identical(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    text = "user,item,timestamp\n" + "".join(f"a,{item},{item}\n" for item in range(20))
    (folder / "log.csv").write_text(text, encoding="utf-8")
    copy: Path = shuffled_copy(open_dataset(folder, tmp_path), tmp_path / "copy", 3)
    assert (copy / "log.csv").read_text(encoding="utf-8") == text


def test_ties_are_within_a_timeline(make_timelines):
    timelines = make_timelines([[2, 3, 4], [], [5, 6]], times=[7, 7, 8, 8, 8])
    assert tied(timelines).tolist() == [False, True, False, False, True]
    before, after = tied_neighbours(timelines)
    assert list(zip(before.tolist(), after.tolist(), strict=True)) == [(2, 3), (5, 6)]


def test_ids_are_sorted_as_numbers_if_all_are_numbers():
    assert by_id(["10", "9", "100"]).tolist() == [0, 1, 3, 2, 4]
    assert by_id(["b10", "b9", "a"]).tolist() == [0, 1, 4, 2, 3]


def test_by_ties_learns_the_order_of_a_hidden_list():
    random = np.random.default_rng(0)
    hidden = random.permutation(np.arange(2, 42))
    starts = random.integers(0, 37, 3000)
    order = by_ties(hidden[starts], hidden[starts + random.integers(1, 4, 3000)], 42)
    assert order[:2].tolist() == [0, 1]
    places, expected = np.empty(42), np.empty(42)
    places[order], expected[np.concatenate([[0, 1], hidden])] = np.arange(42), np.arange(42)
    assert np.abs(places - expected).max() <= 2


def test_next_in_list_continues_at_the_start(make_timelines):
    rule = NextInList(np.arange(6))
    # 5 follows 4; 2 follows 5, after the indices that are not items; 4 follows 3, but is in the history, so 5 is next.
    timelines = make_timelines([[4], [5], [4, 3]], [5, 2, 5])
    assert rank_targets(rule, timelines).ranks.tolist() == [0, 0, 0]


def test_order_by_id_is_detected(make_timelines):
    pages = [[first, first + 1, first + 2] for first in range(2, 40)]
    train = make_timelines(pages, times=[time for time in range(len(pages)) for _ in range(3)])
    test = make_timelines([[item] for item in range(2, 40)], list(range(3, 41)))
    ids, learnt, successor = measure(train, test, [str(number) for number in range(1, 41)])
    assert ids.forward == 1.0 and ids.next_share == 1.0
    assert ids.recall_at_1.mean == learnt.recall_at_1.mean == successor.recall_at_1.mean == 1.0
    assert learnt.forward == 1.0 and successor.forward is None
