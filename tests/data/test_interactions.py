"""The conversion of rows to interactions: good rows, bad rows and their reasons."""

from __future__ import annotations

import pyarrow as pa
import pytest

from data.dataset import Dataset
from data.formats import open_dataset
from data.readers import Interactions, units_of
from data.text import line_text
from tests.data.reading import read_all, rows_of

OWN_HEADER = "user,item,rating,timestamp\n"


SECOND = 10**9


def read(dataset: Dataset) -> Interactions:
    """Returns the only chunk of a log."""
    (chunk,) = read_all(dataset)
    return chunk


@pytest.fixture
def ml_1m(write, tmp_path):
    return lambda content: open_dataset(write({"ratings.dat": content}), tmp_path)


@pytest.fixture
def own(write, tmp_path):
    return lambda content: open_dataset(write({"log.csv": content}) / "log.csv", tmp_path)


def test_columns_have_their_types(ml_1m) -> None:
    chunk = read(ml_1m("1::1193::5::978300760\n22::661::0.5::0\n"))
    assert rows_of([chunk]) == [("1", "1193", 5.0, 978300760 * SECOND), ("22", "661", 0.5, 0)]
    types = [chunk.table[name].type for name in ("rating", "timestamp", "position")]
    assert types == [pa.float32(), pa.int64(), pa.int64()]
    first, second = chunk.table["position"].to_pylist()
    assert first < second
    assert chunk.bad_rows == ()


@pytest.mark.parametrize(
    "content",
    [
        b"1::2::3::4\n5::6::1::8",
        b"1::2::3::4\r\n5::6::1::8\r\n",
        b"\xef\xbb\xbf1::2::3::4\n5::6::1::8\n",
        b"\n1::2::3::4\n\n  \n5::6::1::8\n\n",
    ],
    ids=["no last newline", "CRLF", "byte order mark", "blank lines"],
)
def test_harmless_differences_between_files_are_ignored(content: bytes, ml_1m) -> None:
    chunk = read(ml_1m(content))
    assert rows_of([chunk]) == [("1", "2", 3.0, 4 * SECOND), ("5", "6", 1.0, 8 * SECOND)]
    assert chunk.bad_rows == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2,3,4", "expected 4 fields separated by '::', found 1; the line contains ','"),
        ("1::2::3", "expected 4 fields separated by '::', found 3"),
        ("1::2::3::4::5", "expected 4 fields separated by '::', found 5"),
        ("x::2::3::4", "user id 'x' is not a number"),
        ("1::y::3::4", "item id 'y' is not a number"),
        ("1::2::nan::4", "rating 'nan' is not a finite number"),
        ("1::2::9::4", "rating '9' is outside 0.5 to 5"),
        ("1::2::three::4", "rating 'three' is not a number"),
        ("1::2::3::-4", "timestamp '-4' is negative, or before 1970"),
        ("1::2::3::soon", "timestamp 'soon' is not a number"),
        ("1::2::0::978", "rating '0' is outside 0.5 to 5"),
        ("1::2::::978", "rating '' is not a number"),
        ("1::-2::3::978", "item id '-2' is not a number"),
        ("1::2::3::1709324100000000", "timestamp '1709324100000000' is out of range for seconds"),
        ("1::2::3::4\r5::6::1::8", "a carriage return inside the line"),
    ],
)
def test_a_bad_row_is_excluded_and_described(line: str, reason: str, ml_1m) -> None:
    dataset = ml_1m(f"7::8::5::1\n{line}\n9::8::5::2\n")
    chunk = read(dataset)
    assert chunk.table["user"].to_pylist() == ["7", "9"]
    assert [bad.describe() for bad in chunk.bad_rows] == [f"ratings.dat, line 2: {reason}: {line!r}"]


def test_a_bad_row_in_a_later_range_has_its_line_number(own) -> None:
    dataset = own(OWN_HEADER + "a,b,1,1\n" * 4 + "a,b,x,1\n")
    bad_rows = [bad for chunk in read_all(dataset, 8) for bad in chunk.bad_rows]
    assert [(bad.row, bad.text) for bad in bad_rows] == [(6, "a,b,x,1")]


def test_a_long_bad_row_is_cut_in_its_description(ml_1m) -> None:
    dataset = ml_1m("x" * 10_000 + "\n")
    assert len(read(dataset).bad_rows[0].describe()) < 200


def test_ids_of_own_data_can_be_any_text(own) -> None:
    ids = ["anna", "18446744073709551616", "007", "Zoë", "a b", "x::y"]
    chunk = read(own(OWN_HEADER + "".join(f"{id_},{id_},-7.5,1\n" for id_ in ids)))
    assert chunk.table["user"].to_pylist() == chunk.table["item"].to_pylist() == ids
    assert set(chunk.table["rating"].to_pylist()) == {-7.5}


@pytest.mark.parametrize("other", ["", "bad row\n"], ids=["by columns", "by lines"])
def test_both_ways_of_reading_agree_on_an_id(other: str, own) -> None:
    chunk = read(own((OWN_HEADER + other).encode() + b' anna ,"x, ""y""",1,1\ncaf\xe9,\xc2\xa0z,1,1\n'))
    assert chunk.table["user"].to_pylist() == ["anna", "café"]
    # A line that is not UTF-8 is read entirely as Windows-1252.
    assert chunk.table["item"].to_pylist() == ['x, "y"', "Â\u00a0z".strip()]


def test_the_rating_is_one_without_a_rating_column(own) -> None:
    assert read(own("user,item,timestamp\na,b,1\nc,d,2\n")).table["rating"].to_pylist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",b,1,1", "no user id"),
        ("a, ,1,1", "no item id"),
        ("a,b,inf,1", "rating 'inf' is not a finite number"),
        ("a,b,1e39,1", "rating '1e39' is not a finite number"),
        ("a,b,,1", "rating '' is not a number"),
        ("a,b,1,", "timestamp '' is not a number"),
        ("a,b,1,nan", "timestamp 'nan' is not a number"),
        ("a,b,1,1969-12-31", "timestamp '1969-12-31' is not a number"),
        ("a;b;1;1", "expected 4 fields separated by ',', found 1; the line contains ';'"),
    ],
)
def test_bad_rows_of_own_data_are_described(line: str, reason: str, own) -> None:
    chunk = read(own(f"{OWN_HEADER}a,b,1,1\n{line}\n"))
    assert [(bad.row, bad.text, bad.reason) for bad in chunk.bad_rows] == [(3, line, reason)]
    assert len(chunk) == 1


def test_files_without_ratings_have_no_interactions(ml_1m, own) -> None:
    assert read_all(ml_1m("")) == read_all(own(OWN_HEADER)) == read_all(own(OWN_HEADER.strip())) == []
    chunk = read(ml_1m("\n\n"))
    assert {len(column) for column in chunk.table.columns} == {0}
    assert chunk.bad_rows == ()


def test_ranges_cover_the_file_after_the_header(own) -> None:
    dataset = own(OWN_HEADER + "a,b,1,1\n" * 3)
    assert [(unit.start, unit.stop) for unit in units_of(dataset.log, 0, 10)] == [(27, 37), (37, 47), (47, 51)]


def test_quotes_in_an_unquoted_table_are_part_of_the_value(write, tmp_path) -> None:
    folder = write({"shop.inter": 'user_id:token\titem_id:token\ttimestamp:float\n"a"\tb"\t5\n'})
    chunk = read(open_dataset(folder, tmp_path))
    assert (chunk.table["user"].to_pylist(), chunk.table["item"].to_pylist()) == (['"a"'], ['b"'])


def lines_of(count: int) -> list[str]:
    return [f"u{row},i{row},3,{978300000 + row}" for row in range(count)]


def test_rows_between_unbalanced_quotes_are_kept(own) -> None:
    rows = lines_of(1510)
    rows[1000], rows[1040] = 'u1000,"i1000,3,978301000', 'u1040,"i1040,3,978301040'
    chunk = read(own(OWN_HEADER + "\n".join(rows) + "\n"))
    assert len(chunk) == 1508
    assert [bad.row for bad in chunk.bad_rows] == [1002, 1042]


def test_an_id_with_a_line_break_is_a_bad_row(own) -> None:
    chunk = read(own(OWN_HEADER + "\n".join([*lines_of(30), 'a,"two\nlines",3,978300760']) + "\n"))
    assert len(chunk) == 30
    assert [bad.row for bad in chunk.bad_rows] == [32, 33]


@pytest.mark.parametrize("word", ["NA", "nan", "None", "NULL", "(null)", "-", "n/a"])
@pytest.mark.parametrize("column", ["user", "item"])
def test_words_for_a_missing_value_are_not_ids(word: str, column: str, own) -> None:
    bad = f"{word},i,3,978300760" if column == "user" else f"u,{word},3,978300760"
    chunk = read(own(OWN_HEADER + "\n".join([*lines_of(3), bad]) + "\n"))
    assert len(chunk) == 3
    (row,) = chunk.bad_rows
    assert (row.row, row.reason) == (5, f"{column} id {word!r} stands for a missing value")


def test_a_very_long_id_is_a_bad_row_and_uses_little_memory(own) -> None:
    chunk = read(own(OWN_HEADER + "\n".join([*lines_of(3), "x" * 100_000 + ",i,3,978300760"]) + "\n"))
    (row,) = chunk.bad_rows
    assert row.row == 5 and row.reason.endswith("is longer than 1,000 bytes") and len(row.reason) < 200
    assert chunk.table["user"].get_total_buffer_size() < 200_000


def test_a_byte_order_mark_is_removed_in_every_encoding() -> None:
    assert line_text("\ufeffuser,café\r".encode()) == line_text(b"\xef\xbb\xbfuser,caf\xe9\r") == "user,café"
