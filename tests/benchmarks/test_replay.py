"""Tests that a log is cut by time into prefixes, each with the targets of the next period."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.logs import WEEK, Log, cuts, read_log, targets_of, write_prefix
from components import features
from data.errors import DataError
from data.formats import open_dataset

ROWS = [
    ("ann", "tea", 10),
    ("bob", "jam", 20),
    ("ann", "oil", 30),
    ("cid", "tea", 30),
    ("ann", "jam", 40),
    ("cid", "gum", 50),
]


def log_of(folder: Path, extra: str = "") -> Log:
    """Writes and reads ROWS as a CSV file, with `extra` at its end."""
    (folder / "shop").mkdir()
    text = "user,item,timestamp\n" + "".join(f"{user},{item},{time}\n" for user, item, time in ROWS)
    (folder / "shop" / "log.csv").write_text(text + extra, encoding="utf-8")
    return read_log(open_dataset(folder / "shop", folder))


def test_periods_have_equally_many_ratings_or_weeks():
    times = np.arange(100) * WEEK // 10
    assert cuts(times, 0.4, 3, None) == [int(times[40]), int(times[60]), int(times[80]), int(times[-1]) + 1]
    weekly = cuts(times, 0.4, None, 2)
    assert weekly == [4 * WEEK, 6 * WEEK, 8 * WEEK]


def test_a_prefix_has_the_earlier_interactions_in_the_same_format(tmp_path):
    log = log_of(tmp_path)
    folder = write_prefix(log, 30, tmp_path / "prefix")
    assert folder.name == log.dataset.name
    assert (folder / "log.csv").read_text(encoding="utf-8") == "user,item,timestamp\nann,tea,10\nbob,jam,20\n"


def test_the_history_of_a_target_has_all_earlier_interactions_of_its_user(tmp_path):
    targets = targets_of(log_of(tmp_path), 30, 50, first_only=False)
    examples = [tf.train.Example.FromString(example).features.feature for example in targets.examples]
    rows = [
        (user, item, list(example[features.ITEM_ID].bytes_list.value), new)
        for user, item, example, new in zip(
            targets.users.tolist(), targets.items.tolist(), examples, targets.new_user.tolist(), strict=True
        )
    ]
    assert rows == [
        (b"ann", b"oil", [b"tea"], False),
        (b"ann", b"jam", [b"tea", b"oil"], False),
        (b"cid", b"tea", [], True),
    ]
    assert [example[features.TARGET_ID].bytes_list.value[0] for example in examples] == targets.items.tolist()


def test_first_only_selects_the_first_target_of_each_user(tmp_path):
    targets = targets_of(log_of(tmp_path), 30, 60, first_only=True)
    assert targets.items.tolist() == [b"oil", b"tea"]


def test_the_error_for_an_invalid_row_names_its_line(tmp_path):
    with pytest.raises(DataError, match=r"log\.csv, line 8"):
        log_of(tmp_path, "ann,tea,soon\n")
