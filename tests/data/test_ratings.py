"""Ratings: what counts as good, what as bad, and what a person is told."""

from __future__ import annotations

import numpy as np
import pytest

from data.formats import Dataset, open_dataset
from data.readers import ByteRange, RatingsChunk, ratings_ranges, read_ratings

OWN_HEADER = "user,item,rating,timestamp\n"


def read(dataset: Dataset, target_bytes: int = 8 << 20) -> RatingsChunk:
    """All chunks of a dataset, which must fit into one range."""
    (part,) = ratings_ranges(dataset, target_bytes)
    return read_ratings(dataset, part)


@pytest.fixture
def ml_1m(write, tmp_path):
    return lambda content: open_dataset(write({"ratings.dat": content}), tmp_path)


@pytest.fixture
def own(write, tmp_path):
    return lambda content: open_dataset(write({"log.csv": content}) / "log.csv", tmp_path)


def test_columns_and_types(ml_1m) -> None:
    chunk = read(ml_1m("1::1193::5::978300760\n22::661::0.5::0\n"))
    assert chunk.user.tolist() == [b"1", b"22"] and chunk.user.dtype.kind == "S"
    assert chunk.item.tolist() == [b"1193", b"661"]
    assert chunk.rating.tolist() == [5.0, 0.5] and chunk.rating.dtype == np.float32
    assert chunk.timestamp.tolist() == [978300760, 0] and chunk.timestamp.dtype == np.int64
    assert chunk.position[0] < chunk.position[1] and chunk.position.dtype == np.int64
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
def test_harmless_differences_between_files(content: bytes, ml_1m) -> None:
    chunk = read(ml_1m(content))
    assert (chunk.user.tolist(), chunk.item.tolist()) == ([b"1", b"5"], [b"2", b"6"])
    assert (chunk.rating.tolist(), chunk.timestamp.tolist()) == ([3.0, 1.0], [4, 8])
    assert chunk.bad_rows == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1::2::0::978", "ratings.dat, line 2: rating '0' is outside 0.5 to 5: '1::2::0::978'"),
        ("1::2::::978", "ratings.dat, line 2: rating '' is not a number: '1::2::::978'"),
        ("1::-2::3::978", "ratings.dat, line 2: item id '-2' is not a number: '1::-2::3::978'"),
        (
            "1::2::3::1709324100000000",
            "ratings.dat, line 2: timestamp '1709324100000000' is out of range for seconds or milliseconds: "
            "'1::2::3::1709324100000000'",
        ),
        (
            "1::2::3::4\r5::6::1::8",
            "ratings.dat, line 2: a carriage return inside the line: '1::2::3::4\\r5::6::1::8'",
        ),
    ],
)
def test_a_bad_row_is_left_out_and_described(line: str, message: str, ml_1m) -> None:
    dataset = ml_1m(f"7::8::5::1\n{line}\n9::8::5::2\n")
    chunk = read(dataset)
    assert chunk.user.tolist() == [b"7", b"9"]
    assert [bad.describe(dataset.ratings) for bad in chunk.bad_rows] == [message]


def test_a_bad_row_in_a_later_range_has_its_line_in_the_file(own) -> None:
    dataset = own(OWN_HEADER + "a,b,1,1\n" * 4 + "a,b,x,1\n")
    found = [bad for part in ratings_ranges(dataset, 8) for bad in read_ratings(dataset, part).bad_rows]
    assert [(bad.line, bad.text) for bad in found] == [(6, "a,b,x,1")]


def test_a_long_bad_row_is_cut_in_its_description(ml_1m) -> None:
    dataset = ml_1m("x" * 10_000 + "\n")
    assert len(read(dataset).bad_rows[0].describe(dataset.ratings)) < 200


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("978300760", 978300760),
        ("978300760.9", 978300760),
        ("978300760000", 978300760),
        ("99999999999", 99999999999),  # still seconds
        ("100000000000", 100000000),  # milliseconds from here on
        ("1970-01-02", 86400),
        ("1970-01-01T01:00:00Z", 3600),
        ("1970-01-01 01:00:00+01:00", 0),
    ],
)
def test_timestamps_of_own_data(text: str, seconds: int, own) -> None:
    chunk = read(own(f"{OWN_HEADER}a,b,1,{text}\n"))
    assert chunk.bad_rows == ()
    assert chunk.timestamp.tolist() == [seconds]


def test_own_ids_are_any_text(own) -> None:
    ids = ["anna", "18446744073709551616", "007", "Zoë", "a b", "x::y"]
    chunk = read(own(OWN_HEADER + "".join(f"{id_},{id_},-7.5,1\n" for id_ in ids)))
    assert [user.decode() for user in chunk.user.tolist()] == ids
    assert chunk.item.tolist() == chunk.user.tolist()
    assert set(chunk.rating.tolist()) == {-7.5}


@pytest.mark.parametrize("other", ["", "bad row\n"], ids=["by columns", "by lines"])
def test_both_ways_of_reading_agree_on_an_id(other: str, own) -> None:
    chunk = read(own((OWN_HEADER + other).encode() + b' anna ,"x, ""y""",1,1\ncaf\xe9,\xc2\xa0z,1,1\n'))
    assert [id_.decode() for id_ in chunk.user.tolist()] == ["anna", "café"]
    # A line that is no UTF-8 is Windows-1252 as a whole.
    assert [id_.decode() for id_ in chunk.item.tolist()] == ['x, "y"', "Â\u00a0z".strip()]


def test_no_rating_column_counts_as_one(own) -> None:
    assert read(own("user,item,timestamp\na,b,1\nc,d,2\n")).rating.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",b,1,1", "no user id"),
        ("a, ,1,1", "no item id"),
        ("a,b,inf,1", "rating 'inf' is not a finite number"),
        ("a,b,1e39,1", "rating '1e39' is not a finite number"),
        ("a,b,,1", "rating '' is not a number"),
        ("a,b,1,", "timestamp '' is neither a number nor an ISO 8601 time"),
        ("a,b,1,nan", "timestamp 'nan' is out of range for seconds or milliseconds"),
        ("a,b,1,1969-12-31", "timestamp '1969-12-31' is negative"),
        ("a;b;1;1", "expected 4 fields with ',' between, found 1, found ';'"),
    ],
)
def test_bad_rows_of_own_data(line: str, reason: str, own) -> None:
    chunk = read(own(f"{OWN_HEADER}a,b,1,1\n{line}\n"))
    assert [(bad.line, bad.text, bad.reason) for bad in chunk.bad_rows] == [(3, line, reason)]
    assert len(chunk.user) == 1


def test_a_field_larger_than_csv_allows_is_a_bad_row(own) -> None:
    dataset = own(OWN_HEADER + "x" * 140_000 + ",b,1,soon\n")
    assert [bad.reason for bad in read(dataset).bad_rows] == ["field larger than field limit (131072)"]


def test_files_without_ratings(ml_1m, own) -> None:
    assert ratings_ranges(ml_1m("")) == []
    assert ratings_ranges(own(OWN_HEADER)) == ratings_ranges(own(OWN_HEADER.strip())) == []
    chunk = read(ml_1m("\n\n"))
    assert len(chunk.user) == len(chunk.item) == len(chunk.rating) == len(chunk.timestamp) == len(chunk.position) == 0
    assert chunk.bad_rows == ()


def test_ranges_cover_the_file_behind_the_header(own) -> None:
    dataset = own(OWN_HEADER + "a,b,1,1\n" * 3)
    assert ratings_ranges(dataset, 10) == [ByteRange(27, 37), ByteRange(37, 47), ByteRange(47, 51)]


def test_an_unquoted_table_reads_quotes_as_they_are(write, tmp_path) -> None:
    folder = write({"shop.inter": 'user_id:token\titem_id:token\ttimestamp:float\n"a"\tb"\t5\n'})
    chunk = read(open_dataset(folder, tmp_path))
    assert (chunk.user.tolist(), chunk.item.tolist()) == ([b'"a"'], [b'b"'])


def rows_of(count: int) -> list[str]:
    return [f"u{row},i{row},3,{978300000 + row}" for row in range(count)]


def test_unbalanced_quotes_are_bad_rows_and_lose_no_row_between_them(own) -> None:
    rows = rows_of(1510)
    rows[1000], rows[1040] = 'u1000,"i1000,3,978301000', 'u1040,"i1040,3,978301040'
    chunk = read(own(OWN_HEADER + "\n".join(rows) + "\n"))
    assert len(chunk.user) == 1508
    assert [bad.line for bad in chunk.bad_rows] == [1002, 1042]


def test_an_id_holds_no_line_break(own) -> None:
    chunk = read(own(OWN_HEADER + "\n".join([*rows_of(30), 'a,"two\nlines",3,978300760']) + "\n"))
    assert len(chunk.user) == 30
    assert [bad.line for bad in chunk.bad_rows] == [32, 33]


@pytest.mark.parametrize("word", ["NA", "nan", "None", "NULL", "(null)", "-", "n/a"])
@pytest.mark.parametrize("column", ["user", "item"])
def test_words_for_a_missing_value_are_no_ids(word: str, column: str, own) -> None:
    bad = f"{word},i,3,978300760" if column == "user" else f"u,{word},3,978300760"
    chunk = read(own(OWN_HEADER + "\n".join([*rows_of(3), bad]) + "\n"))
    assert len(chunk.user) == 3
    (row,) = chunk.bad_rows
    assert (row.line, row.reason) == (5, f"{column} id {word!r} stands for a missing value")


def test_an_id_of_any_length_takes_no_memory_from_the_others(own) -> None:
    chunk = read(own(OWN_HEADER + "\n".join([*rows_of(3), "x" * 100_000 + ",i,3,978300760"]) + "\n"))
    (row,) = chunk.bad_rows
    assert row.line == 5 and row.reason.endswith("is longer than 1,000 bytes") and len(row.reason) < 200
    assert chunk.user.nbytes < 100
