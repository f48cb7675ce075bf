"""Any log: columns with any name, many files, compressed files, Parquet, JSON Lines, and object stores."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.dataset import fingerprint
from data.errors import DataError
from data.files import file_system, list_files
from data.formats import open_dataset
from data.items import read_items
from data.quick_check import quick_check
from data.settings import DataSettings
from tests.data.reading import read_all, rows_of
from tests.object_store import BUCKET, played_s3

Row = tuple[str, str, float, int]
START = 1_700_000_000
ROWS: list[Row] = [
    (f"u{number % 7}", f"i{number % 11}", float(number % 5), START + number * 3600) for number in range(600)
]
HEADER = "user_id,item_id,rating,timestamp\n"
EXPECTED = [(user, item, rating, time * 10**9) for user, item, rating, time in ROWS]


def csv_of(rows: list[Row]) -> str:
    return HEADER + "".join(f"{user},{item},{rating},{time}\n" for user, item, rating, time in rows)


def table_of(rows: list[Row]) -> pa.Table:
    users, items, ratings, times = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items, "rating": ratings, "timestamp": times})


def one_csv(folder: Path) -> Path:
    (folder / "log.csv").write_text(csv_of(ROWS))
    return folder / "log.csv"


def gzip_csv(folder: Path) -> Path:
    (folder / "log.csv.gz").write_bytes(gzip.compress(csv_of(ROWS).encode()))
    return folder / "log.csv.gz"


def zstd_csv(folder: Path) -> Path:
    with pa.output_stream(folder / "log.csv.zst", compression="zstd") as stream:
        stream.write(csv_of(ROWS).encode())
    return folder / "log.csv.zst"


def daily_csv(folder: Path) -> Path:
    """Writes 300 files in folders by day; every second file has its columns in another order."""
    for number in range(300):
        rows = ROWS[2 * number : 2 * number + 2]
        text = csv_of(rows)
        if number % 2:
            text = "timestamp,rating,user_id,item_id\n"
            text += "".join(f"{time},{rating},{user},{item}\n" for user, item, rating, time in rows)
        path = folder / "log" / f"day={number:03}" / "part.csv"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (folder / "log" / "_SUCCESS").touch()
    (folder / "log" / ".hidden.csv").write_text("x")
    return folder / "log"


def parquet_parts(folder: Path) -> Path:
    """Writes 50 parts of 12 rows, in row groups of 5."""
    (folder / "log").mkdir()
    for number in range(50):
        table = table_of(ROWS[12 * number : 12 * number + 12])
        pq.write_table(table, folder / "log" / f"part-{number:02}.parquet", row_group_size=5)
    return folder / "log"


def parquet_with_types(folder: Path) -> Path:
    """Writes item ids as categories, and timestamps with a zone."""
    table = table_of(ROWS)
    times = pa.array([time * 1000 for _, _, _, time in ROWS], pa.timestamp("ms", "America/New_York"))
    table = table.set_column(3, "timestamp", times).set_column(1, "item_id", table["item_id"].dictionary_encode())
    pq.write_table(table, folder / "log.parquet")
    return folder / "log.parquet"


def json_lines(folder: Path) -> Path:
    lines = [
        json.dumps({"user_id": u, "item_id": i, "rating": r, "timestamp": t, "x": {"y": [1]}}) for u, i, r, t in ROWS
    ]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "log.jsonl"


FORMS = [one_csv, gzip_csv, zstd_csv, daily_csv, parquet_parts, parquet_with_types, json_lines]


@pytest.mark.parametrize("write_log", FORMS)
def test_every_form_gives_the_same_rows(write_log: Callable[[Path], Path], tmp_path: Path) -> None:
    path = write_log(tmp_path)
    dataset = open_dataset(path, "")
    assert dataset.name == "log"
    chunks = read_all(dataset, 1000)
    assert rows_of(chunks) == EXPECTED and not any(chunk.bad_rows for chunk in chunks)
    positions = [position for chunk in chunks for position in chunk.table["position"].to_pylist()]
    assert positions == sorted(set(positions))
    assert quick_check(path) == dataset


@pytest.mark.parametrize("write_log", [daily_csv, parquet_parts])
def test_a_pattern_matches_the_files_of_a_log(write_log: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = write_log(tmp_path)
    pattern = f"{folder}/day=*/*.csv" if write_log is daily_csv else f"{folder}/*.parquet"
    dataset = open_dataset(pattern, "")
    assert (dataset.name, rows_of(read_all(dataset))) == ("log", EXPECTED)
    assert len(list_files(f"{folder}/**/part*[!x]*")) == len(dataset.log.files)


def test_bad_rows_of_every_form_have_their_position(tmp_path: Path) -> None:
    text = csv_of(ROWS[:3]) + "u,i,3,soon\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "b.jsonl").write_text(
        '{"user":"u","item":"i","ts":1700000000}\n{"user":"u","item":null,"ts":5}\n[1]\nx\n'
    )
    table = table_of([*ROWS[:7], ("u", "", 3.0, START)])
    pq.write_table(table, tmp_path / "c.parquet", row_group_size=3)
    described = [
        [bad.describe() for chunk in read_all(open_dataset(tmp_path / name, "")) for bad in chunk.bad_rows]
        for name in ("a.csv.gz", "b.jsonl", "c.parquet")
    ]
    assert described == [
        ["a.csv.gz, line 5: timestamp 'soon' is not a number: 'u,i,3,soon'"],
        [
            'b.jsonl, line 2: no item id: \'{"user":"u","item":null,"ts":5}\'',
            "b.jsonl, line 3: not a JSON object: '[1]'",
            "b.jsonl, line 4: not JSON: Expecting value: line 1 column 1 (char 0): 'x'",
        ],
        ["c.parquet, row 8: no item id: 'u,,3.0,1700000000'"],
    ]


def test_a_part_without_a_column_is_named(tmp_path: Path) -> None:
    folder = daily_csv(tmp_path)
    (folder / "day=290" / "part.csv").write_text("user_id,rating,timestamp\nu,1,5\n")
    with pytest.raises(DataError, match=r"day=290/part\.csv: no column 'item_id', which part\.csv has; the columns"):
        read_all(open_dataset(folder, ""))


@pytest.mark.parametrize(
    "header",
    [
        "visitorid,itemid,timestamp",
        "session_id,product_id,event_time",
        "reviewerID,asin,unixReviewTime",
        "User,Item,Date",
        "user_id,product_id,timestamp,product,user,time",
        "user,item,ts,session_id,product_id,sku",
    ],
)
def test_common_column_names_are_recognised(header: str, tmp_path: Path) -> None:
    others = ",other" * (header.count(",") - 2)
    (tmp_path / "log.csv").write_text(f"{header}\nann,tea,{START}{others}\n")
    assert rows_of(read_all(open_dataset(tmp_path / "log.csv", ""))) == [("ann", "tea", 1.0, START * 10**9)]


def write_json(path: Path, column: str, values: list[object]) -> None:
    """Writes a row for each value of a column."""
    row: dict[str, object] = {"user": "u", "item": "i", "timestamp": START}
    path.write_text("".join(json.dumps(row | {column: value}) + "\n" for value in values))


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        (["2024-03-01", "2024-03-02"], ["2024-03-01", "2024-03-02"]),
        ([2**64 - 1, 2**64 - 2, 5], ["18446744073709551615", "18446744073709551614", "5"]),
        ([2**53 + 1, 1.5], ["9007199254740993", "1.5"]),
        ([0.0, 1e15, 1.5], ["0", "1000000000000000", "1.5"]),
        ([0.0, 1e15, 1.5, "bob"], ["0", "1000000000000000", "1.5", "bob"]),
    ],
)
@pytest.mark.parametrize("column", ["user", "item"])
def test_ids_of_json_have_the_same_text_in_every_block(
    column: str, values: list[object], ids: list[str], tmp_path: Path
) -> None:
    write_json(tmp_path / "log.jsonl", column, values)
    (chunk,) = read_all(open_dataset(tmp_path, ""))
    assert chunk.table[column].to_pylist() == ids and not chunk.bad_rows


def test_words_of_json_that_look_like_dates_stay_words(tmp_path: Path) -> None:
    write_json(tmp_path / "log.jsonl", "event", [None, "2024-03-01"])
    (chunk,) = read_all(open_dataset(tmp_path, ""))
    assert chunk.table["event"].to_pylist() == ["", "2024-03-01"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("column", "value", "type_"),
    [
        ("user", {"id": 7}, "struct<id: int64>"),
        ("item", ["i"], "list<"),
        ("event", ["view"], "list<"),
        ("rating", {"stars": 3}, "struct<stars: int64>"),
        ("timestamp", {"$date": "2024-03-01"}, "struct<"),
    ],
)
def test_a_column_of_lists_or_objects_is_an_error(
    column: str, value: object, type_: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"log.{suffix}"
    if suffix == "jsonl":
        write_json(path, column, [value] * 2)
    else:
        pq.write_table(pa.table({"user": ["u"], "item": ["i"], "timestamp": [START]} | {column: [value]}), path)
    with pytest.raises(DataError) as raised:
        quick_check(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: the column {column!r}, read as {column}, holds {type_}")
    assert message.endswith(f"convert it to text, or name another column in data.columns.{column}")


def test_a_list_among_ids_of_json_is_a_bad_row(tmp_path: Path) -> None:
    write_json(tmp_path / "log.jsonl", "item", ["i", ["i", "j"]])
    (chunk,) = read_all(open_dataset(tmp_path, ""))
    assert [bad.reason for bad in chunk.bad_rows] == ["the value of 'item' is a list, neither text nor a number"]


def test_ids_of_parquet_may_be_bytes_that_are_utf_8(tmp_path: Path) -> None:
    columns = {"item": ["i"], "timestamp": [START]}
    pq.write_table(pa.table({"user": ["é".encode()], **columns}), tmp_path / "a.parquet")
    dataset = open_dataset(tmp_path, "")
    assert read_all(dataset)[0].table["user"].to_pylist() == ["é"]
    pq.write_table(pa.table({"user": [b"\xff"], **columns}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: the column 'user', read as user, holds binary"):
        read_all(open_dataset(tmp_path, ""))


def declared(**sections: object) -> DataSettings:
    return DataSettings.model_validate(sections)


def test_declared_columns_override_recognised_columns(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"user,shopper,thing,when\nx,ann,tea,{START}\n")
    with pytest.raises(DataError, match=r"no column for item, timestamp .*as in --set data\.columns\.item=NAME"):
        open_dataset(path, "")
    settings = declared(columns={"user": "Shopper", "item": "thing", "timestamp": "when"})
    assert rows_of(read_all(open_dataset(path, "", settings))) == [("ann", "tea", 1.0, START * 10**9)]
    with pytest.raises(
        DataError, match=r"no column 'buyer', which data\.columns\.user names; the columns are user, shopper"
    ):
        open_dataset(path, "", declared(columns={"user": "buyer"}))


def test_a_file_without_a_header_has_columns_by_number(tmp_path: Path) -> None:
    path = tmp_path / "yoochoose-clicks.dat"
    path.write_text("1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,0\n")
    settings = declared(header=False, columns={"user": 1, "timestamp": 2, "item": 3})
    dataset = open_dataset(path, "", settings)
    assert rows_of(read_all(dataset)) == [
        ("1", "214536502", 1.0, 1_396_867_869_277_000_000),
        ("1", "214536500", 1.0, 1_396_868_049_868_000_000),
    ]
    with pytest.raises(DataError, match=r"no column '5', which data\.columns\.item names; the columns are 1, 2, 3, 4"):
        open_dataset(path, "", declared(header=False, columns={"user": 1, "timestamp": 2, "item": 5}))


def test_movietweetings_is_read_with_its_own_rating_scale(tmp_path: Path) -> None:
    lines = [f"{user}::01{item:05}::{(user + item) % 11}::{START + item}" for user in range(1, 9) for item in range(20)]
    (tmp_path / "ratings.dat").write_text("\n".join(lines) + "\n")
    (tmp_path / "movies.dat").write_text("0100001::Gravity (2013)::Drama\n")
    dataset = open_dataset(tmp_path, "")
    (chunk,) = read_all(dataset)
    assert not dataset.log.movielens and len(chunk) == 160 and not chunk.bad_rows
    assert max(chunk.table["rating"].to_pylist()) == 10
    assert "has ratings outside MovieLens's 0.5 to 5" in dataset.notes[0]
    assert [item.id for item in read_items(dataset)] == ["0100001"]


def test_retailrocket_and_recbole_layouts_are_read(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
    )
    assert rows_of(read_all(open_dataset(tmp_path / "events.csv", ""))) == [
        ("257597", "355908", 1.0, 1_433_221_332_117_000_000)
    ]
    (tmp_path / "yelp.inter").write_text("session_id:token\titem_id:token\ttimestamp:float\ns1\tb1\t1433221332.25\n")
    assert rows_of(read_all(open_dataset(tmp_path / "yelp.inter", ""))) == [
        ("s1", "b1", 1.0, 1_433_221_332_250_000_000)
    ]


def test_words_for_missing_values_can_be_declared(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"user,item,time\n{{}},tea,{START}\nNA,tea,{START}\n")
    (chunk,) = read_all(open_dataset(path, "", declared(missing=["{}"])))
    assert chunk.table["user"].to_pylist() == ["NA"]
    assert [bad.reason for bad in chunk.bad_rows] == ["user id '{}' stands for a missing value"]


def with_items(folder: Path) -> Path:
    (folder / "items.csv").write_text("item_id,title\ni1,Tea\n")
    return one_csv(folder)


def test_a_symbolic_link_has_its_own_name_and_the_items_beside_it(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "here").mkdir()
    with_items(tmp_path / "here").rename(tmp_path / "store" / "blob-1")
    link = tmp_path / "here" / "log.csv"
    link.symlink_to(tmp_path / "store" / "blob-1")
    dataset = open_dataset(link, "")
    assert (dataset.name, [item.title for item in read_items(dataset)]) == ("log", ["Tea"])
    assert rows_of(read_all(dataset)) == EXPECTED


def test_the_items_file_can_be_declared(tmp_path: Path) -> None:
    path = one_csv(tmp_path)
    (tmp_path / "wares.tsv").write_text("sku\tlabel\ni1\tTea\n")
    items = {"path": "wares.tsv", "columns": {"item": "sku", "title": "label"}}
    assert [item.title for item in read_items(open_dataset(path, "", declared(items=items)))] == ["Tea"]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with played_s3():
        yield f"s3://{BUCKET}"


def upload(path: Path, uri: str) -> None:
    system, inner = file_system(uri)
    with system.open_output_stream(inner, compression=None) as stream:
        stream.write(path.read_bytes())


@pytest.mark.parametrize("write_log", [with_items, parquet_parts, gzip_csv])
def test_data_in_an_object_store_is_the_same_as_on_disk(
    write_log: Callable[[Path], Path], tmp_path: Path, bucket: str
) -> None:
    local = write_log(tmp_path)
    folder = f"{bucket}/{write_log.__name__}"
    for file in list_files(str(tmp_path)):
        upload(Path(file.path), folder + file.path.removeprefix(str(tmp_path)))
    dataset = open_dataset(f"{folder}/{local.name}", "")
    assert dataset.name == "log" and rows_of(read_all(dataset, 1000)) == EXPECTED
    assert read_items(dataset) == read_items(open_dataset(local, ""))

    before = fingerprint(dataset)
    assert fingerprint(open_dataset(f"{folder}/{local.name}", "")) == before
    last = list_files(str(local))[-1]
    changed = gzip.compress(csv_of(ROWS[1:]).encode()) if last.compression else Path(last.path).read_bytes() + b"\n"
    Path(last.path).write_bytes(changed)
    upload(Path(last.path), dataset.log.files[-1].path)
    assert fingerprint(open_dataset(f"{folder}/{local.name}", "")) != before


def test_a_zip_in_an_object_store_is_read(tmp_path: Path, bucket: str, write_zip) -> None:
    upload(write_zip({"log.csv": csv_of(ROWS)}), f"{bucket}/zips/shop.zip")
    dataset = open_dataset(f"{bucket}/zips/shop.zip", tmp_path / "cache")
    assert (dataset.name, rows_of(read_all(dataset))) == ("shop", EXPECTED)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("s3://bucket/nothing/log.csv", "s3://bucket/nothing/log.csv: no such file or folder"),
        ("ftp://host/log.csv", "ftp://host/log.csv: cannot be reached"),
        ("nowhere/*.csv", "nowhere/*.csv: no such file or folder"),
    ],
)
def test_the_error_for_a_missing_path_names_it(path: str, message: str, bucket: str) -> None:
    with pytest.raises(DataError) as raised:
        open_dataset(path, "")
    assert str(raised.value).startswith(message) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.parquet", b"PAR1 but not really", "not a Parquet file, or a damaged one"),
        ("log.csv", "user,item,time\n".encode("utf-16"), "text in UTF-16; save it as UTF-8"),
        (
            "log.csv",
            b"user,item,ts,item\n1,2,3,4\n",
            "line 1: several columns have the name 'item'; rename all but one",
        ),
        ("log.csv", b"BZh91AY", "a compressed file; decompress it, or use a name that ends in .gz or .zst"),
        ("log.jsonl", b"user,item\n", "line 1: not a JSON object"),
        ("log.csv.gz", b"user,item,time\n", "cannot be read"),
    ],
)
def test_damaged_files_are_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        quick_check(tmp_path / name)
    assert str(raised.value).startswith(str(tmp_path / name)) and message in str(raised.value)


def test_a_truncated_compressed_file_is_an_error(tmp_path: Path) -> None:
    path = gzip_csv(tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"log\.csv\.gz: cannot be read"):
        read_all(open_dataset(path, ""))
