"""Columns of a log that are features of activities: words or numbers, in every form of a log."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.dataset import ACTIVITY, Dataset
from data.describe import describe, section
from data.errors import DataError
from data.formats import open_dataset
from data.quick_check import quick_check
from data.settings import DataSettings
from tests.data.reading import read_all

NAN = float("nan")
COLUMNS = {
    "user": ["u1", "u1", "u2", "u2"],
    "item": ["i1", "i2", "i1", "i3"],
    "timestamp": [1_700_000_000, 1_700_000_060, 1_700_000_120, 1_700_000_180],
    "event_type": ["view", "buy", "view", "view"],
    "Device": ["phone", "", "tablet ", "n/a"],
    "price": ["9.5", "", "100000", "NaN"],
    "hour": [7, 8, 23, 0],
}


def csv(folder: Path) -> Path:
    rows = [",".join(COLUMNS), *(",".join(map(str, row)) for row in zip(*COLUMNS.values(), strict=True))]
    (folder / "log.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "log.csv"


def compressed(folder: Path) -> Path:
    content = csv(folder).read_bytes()
    (folder / "log.csv").unlink()
    (folder / "log.csv.gz").write_bytes(gzip.compress(content))
    return folder / "log.csv.gz"


def json_lines(folder: Path) -> Path:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
    for row in rows:
        row["price"] = float(row["price"]) if row["price"] not in ("", "NaN") else None
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / "log.jsonl"


def parquet(folder: Path) -> Path:
    prices = pa.array([9.5, None, 100_000, NAN], pa.float64())
    devices = pa.array(["phone", None, "tablet", None]).dictionary_encode()
    pq.write_table(pa.table({**COLUMNS, "price": prices, "Device": devices}), folder / "log.parquet")
    return folder / "log.parquet"


def recbole(folder: Path) -> Path:
    types = {"user": "token", "item": "token", "timestamp": "float", "price": "float", "hour": "float"}
    header = "\t".join(f"{name}:{types.get(name, 'token')}" for name in COLUMNS)
    header = header.replace("user:", "user_id:").replace("item:", "item_id:")
    rows = [header, *("\t".join(map(str, row)) for row in zip(*COLUMNS.values(), strict=True))]
    (folder / "shop.inter").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "shop.inter"


def read(path: Path, names: list[str], **declared: Any) -> tuple[Dataset, dict[str, list[Any]]]:
    dataset = open_dataset(path, path.parent, DataSettings(**declared).with_activity(names))
    chunks = read_all(dataset)
    columns = {name: [v for chunk in chunks for v in chunk.table[ACTIVITY + name].to_pylist()] for name in names}
    return dataset, {
        name: [None if isinstance(value, float) and math.isnan(value) else value for value in values]
        for name, values in columns.items()
    }


@pytest.mark.parametrize("form", [csv, compressed, json_lines, parquet, recbole])
def test_every_form_has_the_same_words_and_numbers(form: Any, tmp_path: Path) -> None:
    dataset, columns = read(form(tmp_path), ["event_type", "device", "price", "hour"])
    assert dataset.log.activity == {"event_type": "words", "device": "words", "price": "numbers", "hour": "numbers"}
    assert columns == {
        "event_type": ["view", "buy", "view", "view"],
        "device": ["phone", "", "tablet", ""],
        "price": [9.5, None, 100_000, None],
        "hour": [7, 8, 23, 0],
    }


def test_the_column_event_type_is_available_as_event(tmp_path: Path) -> None:
    assert read(csv(tmp_path), ["event"])[1] == {"event": ["view", "buy", "view", "view"]}


def test_numbers_can_be_declared_as_words(tmp_path: Path) -> None:
    dataset, columns = read(csv(tmp_path), ["hour"], activity={"hour": "words", "price": "words"})
    assert columns == {"hour": ["7", "8", "23", "0"]} and dataset.log.activity == {"hour": "words"}


def test_a_log_without_a_header_has_columns_by_number(tmp_path: Path) -> None:
    path = csv(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").partition("\n")[2], encoding="utf-8")
    declared = {"header": False, "columns": {"user": 1, "item": 2, "timestamp": 3}}
    assert read(path, ["5", "7"], **declared)[1] == {"5": ["phone", "", "tablet", ""], "7": [7, 8, 23, 0]}


def test_a_value_that_is_not_a_number_is_a_bad_row(tmp_path: Path) -> None:
    path = csv(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + "u3,i1,1700000240,view,phone,cheap,9\n", encoding="utf-8")
    settings = DataSettings(activity={"price": "numbers"}).with_activity(["price"])
    (chunk,) = read_all(open_dataset(path, tmp_path, settings))
    assert len(chunk) == len(chunk.table[ACTIVITY + "price"]) == 4
    assert chunk.bad_rows[0].describe() == (
        "log.csv, line 6: price 'cheap' is not a number: 'u3,i1,1700000240,view,phone,cheap,9'"
    )
    path.write_text(path.read_text(encoding="utf-8").replace("cheap", "1e50"), encoding="utf-8")
    (chunk,) = read_all(open_dataset(path, tmp_path, settings))
    assert "price '1e50' is not a finite number" in chunk.bad_rows[0].describe()


def test_a_column_that_the_log_lacks_is_an_error(tmp_path: Path) -> None:
    settings = DataSettings().with_activity(["browser"])
    with pytest.raises(DataError, match=r"log.csv, line 1: no column 'browser', which trainer.activity_features"):
        quick_check(csv(tmp_path), settings=settings)


def test_a_published_layout_has_only_its_own_columns(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::2::3::978300000\n", encoding="latin-1")
    with pytest.raises(DataError, match=r"no column 'device', .* the columns are user, item, rating, timestamp"):
        open_dataset(tmp_path, tmp_path, DataSettings().with_activity(["device"]))


def test_a_column_of_lists_is_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({**COLUMNS, "tags": [["a"], [], ["b"], None]}), tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"column 'tags', .* holds list.*another column in trainer\.activity_features"):
        open_dataset(tmp_path, tmp_path, DataSettings().with_activity(["tags"]))


def test_describe_counts_activity_values_and_declares_their_kinds(tmp_path: Path) -> None:
    dataset, _ = read(csv(tmp_path), ["device", "price"])
    lines = {line.partition("  ")[0]: line.partition("  ")[2].strip() for line in describe(dataset).splitlines()}
    assert lines["device"] == "2 words: tablet 25.0%, phone 25.0%; missing in 50.0%"
    assert lines["price"] == "numbers, 9.5 to 100000; missing in 50.0%"
    declared = section(dataset)
    assert declared["activity"] == {"device": "words", "price": "numbers"}
    DataSettings(**declared)
    assert set(declared["columns"]) == {"user", "item", "timestamp", "event"}
