"""What holds for any rows and any cut of a file."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from data.dataset import Dataset
from data.formats import open_dataset
from data.settings import DataSettings
from tests.data.reading import read_all, rows_of

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1).filter(
    lambda text: text == text.strip() and text.lower() not in DataSettings().missing_words
)
TIMES = st.integers(10**9, 9 * 10**9)
OWN_ROWS = st.lists(
    st.tuples(TEXTS, TEXTS, st.floats(width=32, allow_nan=False, allow_infinity=False), TIMES), max_size=30
)
Row = tuple[str, str, float, int]


def open_file(name: str, content: bytes, folder: str) -> Dataset:
    (Path(folder) / name).write_bytes(content)
    return open_dataset(folder, folder)


@settings(max_examples=60, deadline=None)
@given(OWN_ROWS, st.integers(1, 500), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_own_rows_come_back_whatever_the_ids_and_the_cut(rows: list[Row], target: int, quoting: int) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerows([("user", "item", "rating", "timestamp"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        chunks = read_all(open_file("log.csv", text.getvalue().encode(), folder), target)
    assert rows_of(chunks) == [(user, item, rating, time * 10**9) for user, item, rating, time in rows]
    assert not any(chunk.bad_rows for chunk in chunks)


LINES = st.one_of(
    st.sampled_from(
        ["1::2::3::4", "5::6::0.5::7", "1::2::9::4", "1,2,3,4", "", "  ", "x::2::3::4", "1::2::3", "1::2:3::4"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=20),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(LINES, max_size=20), st.integers(1, 100))
def test_any_lines_give_the_same_rows_and_bad_rows_whatever_the_cut(lines: list[str], target: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_file("ratings.dat", "\n".join(lines).encode(), folder)
        whole, cut = read_all(dataset, 1 << 20), read_all(dataset, target)
    assert rows_of(cut) == rows_of(whole)
    assert [bad for chunk in cut for bad in chunk.bad_rows] == [bad for chunk in whole for bad in chunk.bad_rows]
    assert all(
        lines[bad.row - 1].rstrip("\r").removeprefix("\ufeff") == bad.text for chunk in whole for bad in chunk.bad_rows
    )
