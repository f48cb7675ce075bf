"""Every shape of data, written at random and read back; every cut into ranges; every kind of bad row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.dataset import fingerprint
from data.errors import DataError
from data.formats import open_dataset
from data.items import Item, read_items
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
def test_every_shape_and_every_cut_gives_the_rows_in_order(tmp_path_factory, name, rows, target_bytes, newline, end):
    dataset = open_dataset(write(tmp_path_factory.mktemp("data"), name, rows, newline, end), "")
    chunks = read_all(dataset, target_bytes)
    assert rows_of(chunks) == [(str(u), str(i), r, t * 10**9) for u, i, r, t in rows]
    assert not any(chunk.bad_rows for chunk in chunks)
    positions = [int(position) for chunk in chunks for position in chunk.position]
    assert positions == sorted(set(positions))


BAD_ROWS = [
    ("1,2,3,4", "expected 4 fields with '::' between, found 1, found ','"),
    ("1::2::3", "expected 4 fields with '::' between, found 3"),
    ("1::2::3::4::5", "expected 4 fields with '::' between, found 5"),
    ("x::2::3::4", "user id 'x' is not a number"),
    ("1::y::3::4", "item id 'y' is not a number"),
    ("1::2::nan::4", "rating 'nan' is not a finite number"),
    ("1::2::9::4", "rating '9' is outside 0.5 to 5"),
    ("1::2::three::4", "rating 'three' is not a number"),
    ("1::2::3::-4", "timestamp '-4' is negative, or before 1970"),
    ("1::2::3::soon", "timestamp 'soon' is not a number"),
]


@pytest.mark.parametrize(("text", "reason"), BAD_ROWS)
def test_bad_rows_are_named_by_file_and_line(tmp_path, text, reason):
    good = "1::2::3::978300760\n"
    (tmp_path / "ratings.dat").write_text(good * 20 + text + "\n" + good * 3)
    dataset = open_dataset(tmp_path, "")
    chunks = read_all(dataset, 100)
    (bad,) = [bad for chunk in chunks for bad in chunk.bad_rows]
    assert bad.describe() == f"ratings.dat, line 21: {reason}: {text!r}"
    assert sum(len(chunk) for chunk in chunks) == 23


def test_own_data_takes_names_and_milliseconds(tmp_path):
    path = tmp_path / "shop.csv"
    path.write_text('user;item;time\nann;"tea, green";1700000000000\nbob;jam;1700000000123\nann;jam;1700000000124\n')
    assert rows_of(read_all(open_dataset(path, ""))) == [
        ("ann", "tea, green", 1.0, 1_700_000_000_000_000_000),
        ("bob", "jam", 1.0, 1_700_000_000_123_000_000),
        ("ann", "jam", 1.0, 1_700_000_000_124_000_000),
    ]


def test_items_of_every_shape(tmp_path):
    for name, file, text in [
        ("a", "movies.dat", "1::Caf\xe9 Noir (1995)::Drama|War\n".encode("latin-1")),
        (
            "b",
            "movies.csv",
            'movieId,title,genres\n1,"Café, Noir (1995)",Drama|War\n2,Odd,(no genres listed)\n'.encode(),
        ),
        ("c", "movies.csv", "movieId,title,genres\n1,Caf\xe9 Noir (1995),Drama|War\n".encode("latin-1")),
        (
            "d",
            "u.item",
            b"1|Toy Story (1995)|01-Jan-1995||url|" + b"|".join(b"01"[f == 5 :][:1] for f in range(19)) + b"\n",
        ),
    ]:
        folder = tmp_path / name
        folder.mkdir()
        ratings = {"movies.dat": "ratings.dat", "movies.csv": "ratings.csv", "u.item": "u.data"}[file]
        write(folder, ratings, [(1, 1, 3.0, 5)])
        (folder / file).write_bytes(text)
    expected = [Item("1", "Café Noir (1995)", ("Drama", "War"), 1995)]
    assert read_items(open_dataset(tmp_path / "a", "")) == expected
    assert read_items(open_dataset(tmp_path / "b", "")) == [
        Item("1", "Café, Noir (1995)", ("Drama", "War"), 1995),
        Item("2", "Odd", (), None),
    ]
    assert read_items(open_dataset(tmp_path / "c", "")) == expected
    assert read_items(open_dataset(tmp_path / "d", "")) == [Item("1", "Toy Story (1995)", ("Comedy",), 1995)]


def test_short_item_row_names_file_and_line(tmp_path):
    write(tmp_path, "ratings.dat", [(1, 1, 3.0, 5)])
    (tmp_path / "movies.dat").write_text("1::A (1990)::Drama\n2::B\n")
    with pytest.raises(DataError, match=r"movies\.dat, line 2: expected 3 fields"):
        read_items(open_dataset(tmp_path, ""))


def test_fingerprint_is_of_the_content(tmp_path):
    one, two, three = (tmp_path / name for name in "abc")
    for folder, rating in ((one, 3.0), (two, 3.0), (three, 4.0)):
        folder.mkdir()
        write(folder, "ratings.dat", [(1, 1, rating, 5)])
    prints = [fingerprint(open_dataset(folder, "")) for folder in (one, two, three)]
    assert prints[0] == prints[1] != prints[2]
    assert np.unique([len(text) for text in prints]).tolist() == [64]
