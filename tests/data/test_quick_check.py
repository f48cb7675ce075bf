"""The check of data before anything slow starts."""

from __future__ import annotations

import gzip
import os
import time

import numpy as np
import pytest

from data.errors import DataError
from data.quick_check import HEAD_BYTES, MAX_MEMBERS, quick_check
from data.settings import DataSettings

HEADER = "user,item,timestamp\n"


def test_every_shape_passes_as_folder_and_as_zip(shape, shapes, write, write_zip) -> None:
    name = "ml-100k" if shape == "recbole" else "given"  # RecBole's files have the name of the dataset.
    assert quick_check(write(shapes[shape])).name == name
    assert quick_check(write_zip(shapes[shape], inside="inner/")).name == name


def test_a_zip_is_checked_without_unpacking_it(write_zip, tmp_path, monkeypatch) -> None:
    archive = write_zip({"log.csv": HEADER + "anna,x,5\n" * 3_000_000})
    monkeypatch.chdir(tmp_path)
    started = time.process_time()
    quick_check(archive)
    assert time.process_time() - started < 1.0
    assert os.listdir(tmp_path) == ["given.zip"]


def test_a_zip_with_large_compressed_members_passes(write_zip) -> None:
    random = np.random.default_rng(1)
    rows = "".join(f"u{user},i{item},{time}\n" for user, item, time in random.integers(1, 10**9, (20_000, 3)))
    files = {"a.csv": HEADER + "anna,x,5\n", "b.csv.gz": gzip.compress((HEADER + rows).encode())}
    dataset = quick_check(write_zip(files))
    assert dataset is not None and len(dataset.log.files) == 2


def test_the_error_for_a_file_in_a_zip_names_the_zip(write_zip) -> None:
    archive = write_zip({"ratings.csv": "user,thing,timestamp\n"})
    with pytest.raises(DataError) as raised:
        quick_check(archive)
    assert str(raised.value).startswith(f"{archive}/ratings.csv, line 1: no column for item")
    archive = write_zip({"inner/notes.txt": "x"})
    with pytest.raises(DataError) as raised:
        quick_check(archive)
    assert str(raised.value).startswith(f"{archive}: no interactions found among inner")


def test_a_zip_may_have_many_other_files(write_zip) -> None:
    images = {f"img/{number}.jpg": "x" for number in range(MAX_MEMBERS)}
    settings = DataSettings.model_validate({"items": {"path": "wares.tab"}})
    archive = write_zip({**images, "log.csv": HEADER + "ann,x,5\n", "wares.tab": "item,title\nx,X\n"})
    dataset = quick_check(archive, settings=settings)
    assert [file.name for file in dataset.files] == ["log.csv", "wares.tab"]
    with pytest.raises(DataError, match=r"log\.csv, line 3: timestamp 'soon'"):
        quick_check(write_zip({**images, "log.csv": HEADER + "ann,x,5\nann,x,soon\n"}))


def test_a_zip_with_many_logs_is_checked_later(write_zip) -> None:
    logs = {f"{number}.csv": HEADER + "ann,x,5\n" for number in range(MAX_MEMBERS)}
    settings = DataSettings.model_validate({"items": {"path": "wares.tab"}})
    assert quick_check(write_zip(logs)).name == "given"
    assert quick_check(write_zip({**logs, "wares.tab": "item,title\nx,X\n"}), settings=settings) is None


def test_bad_rows_at_the_start_are_counted(write) -> None:
    path = write({"log.csv": HEADER + "anna,x,soon\nbob,y\nann,x,5\n"}) / "log.csv"
    with pytest.raises(DataError) as raised:
        quick_check(path)
    assert str(raised.value) == (
        "log.csv, line 2: timestamp 'soon' is not a number: 'anna,x,soon' "
        "(2 bad rows in the first rows); fix it, or skip up to N with --max-bad-rows N"
    )
    assert quick_check(path, max_bad_rows=2).name == "log"


def test_a_row_at_the_end_of_the_checked_part_is_not_bad(write, write_zip) -> None:
    rows = HEADER + "anna,x,5\n" * (HEAD_BYTES // 9)
    assert rows[HEAD_BYTES - 1] != "\n"
    assert quick_check(write({"log.csv": rows})).name == "given"
    assert quick_check(write_zip({"log.csv": rows})).name == "given"


def test_a_last_row_without_a_line_end_is_checked(write) -> None:
    with pytest.raises(DataError, match="line 3: timestamp 'soon'"):
        quick_check(write({"log.csv": HEADER + "anna,x,5\nbob,y,soon"}))


@pytest.mark.parametrize(
    "files", [{"ratings.dat": ""}, {"log.csv": HEADER}, {"log.csv": HEADER.strip()}, {"log.csv": HEADER + "\n\n"}]
)
def test_data_without_ratings_is_an_error(files, write) -> None:
    with pytest.raises(DataError, match=r"(ratings\.dat|log\.csv): it contains no interactions"):
        quick_check(write(files))


def test_the_error_for_an_unreadable_file_names_it(write, monkeypatch) -> None:
    folder = write({"ratings.dat": "1::2::3::4\n"})

    def refused(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("data.files.open_stream", refused)
    with pytest.raises(DataError, match=r"ratings\.dat: cannot be read \(.*Permission denied"):
        quick_check(folder)


def test_a_text_file_with_the_name_of_a_zip_is_an_error(tmp_path) -> None:
    (tmp_path / "ml-1m.zip").write_text("<html>404</html>")
    with pytest.raises(DataError, match=r"ml-1m\.zip: not a zip file, or a truncated one; download it again"):
        quick_check(tmp_path / "ml-1m.zip")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "an empty folder"),
        ({"photo.jpg": "x"}, r"no interactions found among photo\.jpg"),
        ({"t.csv": "a,b\n1,2\n"}, "no column for user, item, timestamp"),
    ],
)
def test_a_folder_without_interactions_is_an_error(files, message: str, write, tmp_path) -> None:
    (tmp_path / "given").mkdir()
    with pytest.raises(DataError, match=message):
        quick_check(write(files))


def test_a_path_that_does_not_exist_is_an_error(tmp_path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        quick_check(tmp_path / "nowhere")


def test_bad_rows_may_be_allowed(write) -> None:
    folder = write({"ratings.dat": "1::2::3::4\n1::2::99::4\n"})
    with pytest.raises(DataError, match=r"ratings\.dat, line 2: rating '99' is outside"):
        quick_check(folder)
    quick_check(folder, max_bad_rows=1)
