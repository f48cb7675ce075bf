"""Properties of the readers: every layout, any rows and any split of a file into units."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.dataset import Dataset
from data.formats import open_dataset
from data.settings import DataSettings
from tests.data.reading import read_all, rows_of

SHAPES = {
    "ratings.dat": ("", "::", "{u}::{i}::{r:g}::{t}"),
    "u.data": ("", "\t", "{u}\t{i}\t{r:g}\t{t}"),
    "ratings.csv": ("userId,movieId,rating,timestamp\n", ",", "{u},{i},{r},{t}"),
    "ml.inter": ("user_id:token\titem_id:token\trating:float\ttimestamp:float\n", "\t", "{u}\t{i}\t{r}\t{t}"),
    "own.csv": ("timestamp,item,user,rating\n", ",", "{t},{i},{u},{r}"),
}
ROWS = st.lists(
    st.tuples(
        st.integers(1, 10**6),
        st.integers(1, 2**63),
        st.sampled_from([0.5, 1.0, 3.5, 5.0]),
        st.integers(10**9, 4 * 10**9),
    ),
    max_size=40,
)


def write(
    folder: Path, name: str, rows: list[tuple[int, int, float, int]], newline: str = "\n", end: str = "\n"
) -> Path:
    header, _, row = SHAPES[name]
    text = header + "\n".join(row.format(u=u, i=i, r=r, t=t) for u, i, r, t in rows) + (end if rows else "")
    (folder / name).write_bytes(text.replace("\n", newline).encode())
    return folder


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS,
    target_bytes=st.integers(1, 200),
    newline=st.sampled_from(["\n", "\r\n"]),
    end=st.sampled_from(["", "\n"]),
)
def test_rows_of_every_shape_and_split_are_in_order(tmp_path_factory, name, rows, target_bytes, newline, end):
    dataset = open_dataset(write(tmp_path_factory.mktemp("data"), name, rows, newline, end), "")
    chunks = read_all(dataset, target_bytes)
    assert rows_of(chunks) == [(str(u), str(i), r, t * 10**9) for u, i, r, t in rows]
    assert not any(chunk.bad_rows for chunk in chunks)
    positions = [position for chunk in chunks for position in chunk.table["position"].to_pylist()]
    assert positions == sorted(set(positions))


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
def test_own_rows_with_any_ids_are_read_for_any_split(rows: list[Row], target: int, quoting: int) -> None:
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
def test_rows_and_bad_rows_do_not_depend_on_the_split(lines: list[str], target: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_file("ratings.dat", "\n".join(lines).encode(), folder)
        unsplit, split = read_all(dataset, 1 << 20), read_all(dataset, target)
    assert rows_of(split) == rows_of(unsplit)
    assert [bad for chunk in split for bad in chunk.bad_rows] == [bad for chunk in unsplit for bad in chunk.bad_rows]
    assert all(
        lines[bad.row - 1].rstrip("\r").removeprefix("\ufeff") == bad.text
        for chunk in unsplit
        for bad in chunk.bad_rows
    )


def test_own_data_may_have_names_and_milliseconds(tmp_path):
    path = tmp_path / "shop.csv"
    path.write_text('user;item;time\nann;"tea, green";1700000000000\nbob;jam;1700000000123\nann;jam;1700000000124\n')
    assert rows_of(read_all(open_dataset(path, ""))) == [
        ("ann", "tea, green", 1.0, 1_700_000_000_000_000_000),
        ("bob", "jam", 1.0, 1_700_000_000_123_000_000),
        ("ann", "jam", 1.0, 1_700_000_000_124_000_000),
    ]
