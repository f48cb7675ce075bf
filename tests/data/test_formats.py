"""The recognition of every layout, and fingerprints."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from data.dataset import fingerprint
from data.errors import DataError
from data.formats import open_dataset
from data.items import read_items
from data.settings import DataSettings
from tests.data.reading import read_all, rows_of


def rows(dataset) -> list[tuple[str, str, int]]:
    chunks = read_all(dataset)
    assert not any(chunk.bad_rows for chunk in chunks)
    return [(user, item, time // 10**9) for user, item, _, time in rows_of(chunks)]


EXPECTED = [("1", "10", 978300760), ("1", "20", 978300761), ("2", "10", 978300762)]


def test_every_shape_gives_the_same_ratings_and_items(shape, shapes, write, tmp_path) -> None:
    dataset = open_dataset(write(shapes[shape]), tmp_path)
    assert rows(dataset) == EXPECTED
    toy_story, les_miserables = read_items(dataset)
    with_year = " ({})" if dataset.log.movielens else ""  # Other titles stay as they are.
    assert (toy_story.id, toy_story.title, toy_story.year) == ("10", "Toy Story" + with_year.format(1995), 1995)
    assert toy_story.genres == ("Animation", "Comedy")
    assert (les_miserables.title, les_miserables.genres) == ("Misérables, Les" + with_year.format(1935), ("Drama",))


def test_a_folder_one_level_down_and_a_zip_are_the_same_data(shape, shapes, write, write_zip, tmp_path) -> None:
    plain = open_dataset(write(shapes[shape]), tmp_path)
    nested = open_dataset(write(shapes[shape], "outer/inner").parent, tmp_path)
    zipped = open_dataset(write_zip(shapes[shape], inside="inner/"), tmp_path / "cache")
    assert rows(nested) == rows(zipped) == EXPECTED
    assert fingerprint(plain) == fingerprint(nested) == fingerprint(zipped)


def test_fingerprint_changes_with_either_file(shapes, write, tmp_path) -> None:
    folder = write(shapes["ml-1m"])
    before = fingerprint(open_dataset(folder, tmp_path))
    with (folder / "ratings.dat").open("a") as stream:
        stream.write("3::10::1::978300763\n")
    changed_ratings = fingerprint(open_dataset(folder, tmp_path))
    (folder / "movies.dat").write_text("10::Toy Story (1995)::Comedy\n")
    assert len({before, changed_ratings, fingerprint(open_dataset(folder, tmp_path))}) == 3


def test_datasets_and_errors_survive_pickling(shapes, write, tmp_path) -> None:
    dataset = open_dataset(write(shapes["own"]), tmp_path)
    assert pickle.loads(pickle.dumps(dataset)) == dataset
    assert str(pickle.loads(pickle.dumps(DataError("x.csv, line 3: bad")))) == "x.csv, line 3: bad"


@pytest.mark.parametrize(
    "header", ["userId,movieId,ts", "USER,ITEM,TIME", "time;movie;user", '"user"\t"item_id"\t"ts"']
)
def test_column_names_of_own_tables_are_recognised(header: str, tmp_path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(header + "\n")
    assert set(open_dataset(path, tmp_path).log.columns) == {"user", "item", "timestamp"}


def test_only_a_file_with_the_movielens_header_is_movielens(shapes, write, tmp_path) -> None:
    assert open_dataset(write(shapes["ml-latest"], "a"), tmp_path).log.movielens
    assert not open_dataset(write({"ratings.csv": "user,item,timestamp\nanna,x,5\n"}, "b"), tmp_path).log.movielens
    assert not open_dataset(
        write({"lastfm.inter": "user_id:token\titem_id:token\ttimestamp:float\n"}, "c"), ""
    ).log.movielens


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"notes.txt": "x"}, "no interactions found among notes.txt; it should contain ratings.dat"),
        (
            {"a.csv": "user,item,ts\n", "b.jsonl": '{"user":1,"item":2,"ts":3}\n'},
            "logs of several kinds among a.csv, b.jsonl",
        ),
        ({"log.csv": "user,thing,ts\n"}, "log.csv, line 1: no column for item in the header 'user,thing,ts'"),
        ({"log.csv": ""}, "log.csv: an empty file; its first line should name the columns"),
    ],
)
def test_the_error_for_an_unknown_shape_is_one_line(files, message: str, write, tmp_path) -> None:
    with pytest.raises(DataError) as raised:
        open_dataset(write(files), tmp_path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


HEADER = "user,item,timestamp\n"
ROWS = {"a": "1,10,978300760\n1,20,978300761\n", "b": "2,10,978300762\n"}
ISO_ROWS = "1,10,2000-12-31T22:12:40Z\n1,20,2000-12-31T22:12:41Z\n2,10,2000-12-31T22:12:42Z\n"
ITEMS = "item,title\n10,Toy Story\n20,Les Misérables\n"


@pytest.mark.parametrize(
    ("files", "pattern"),
    [
        ({"day=1/ratings.csv": HEADER + ROWS["a"], "day=2/ratings.csv": HEADER + ROWS["b"]}, ""),
        ({"day=1/ratings.csv": HEADER + ROWS["a"], "day=2/ratings.csv": HEADER + ROWS["b"]}, "day=*/*.csv"),
        ({"x.train.inter": HEADER + ROWS["a"], "x.valid.inter": HEADER + ROWS["b"]}, ""),
        ({"a.csv": HEADER, "b.csv": HEADER + ISO_ROWS}, ""),
        (
            {"day=1/ratings.csv": HEADER + ROWS["a"] + ROWS["b"], "day=2/ratings.csv": HEADER, "day=3/ratings.csv": ""},
            "",
        ),
        ({"log.csv": f"\r\n  \n{HEADER}{ROWS['a']}{ROWS['b']}"}, "log.csv"),
    ],
    ids=[
        "folders by day",
        "a pattern",
        "parts of RecBole",
        "a first file without rows",
        "last files without rows",
        "blank lines",
    ],
)
def test_all_files_of_a_log_are_read(files, pattern: str, write, tmp_path) -> None:
    assert rows(open_dataset(write(files) / pattern, tmp_path)) == EXPECTED


@pytest.mark.parametrize(
    "files",
    [
        {
            "shop [2024]/a.csv": HEADER + ROWS["a"],
            "shop [2024]/b.csv": HEADER + ROWS["b"],
            "shop [2024]/items.csv": ITEMS,
        },
        {"shop/day=1/a.csv": HEADER + ROWS["a"] + ROWS["b"], "shop/items.csv": ITEMS},
        {"shop/log/a.csv": HEADER + ROWS["a"], "shop/log/b.csv": HEADER + ROWS["b"], "shop/log/items.csv": ITEMS},
    ],
    ids=["brackets in the name", "one file in a subfolder", "beside the log in a subfolder"],
)
def test_the_items_file_is_in_the_folder_or_beside_the_log(files, write, tmp_path) -> None:
    (folder,) = write(files).iterdir()
    dataset = open_dataset(folder, tmp_path)
    assert rows(dataset) == EXPECTED and [item.title for item in read_items(dataset)] == ["Toy Story", "Les Misérables"]
    declared = DataSettings.model_validate({"items": {"path": "./items.csv"}})
    assert open_dataset(folder, tmp_path, declared).items == dataset.items and dataset.notes == ()


def test_files_that_are_not_read_are_named(write, tmp_path) -> None:
    files = {
        "a.csv": HEADER + ROWS["a"],
        "b.csv": "usr,item,timestamp\n",
        "c.csv.bz2": b"BZh9",
        "items.parquet": b"PAR1",
    }
    (note,) = open_dataset(write(files), tmp_path).notes
    assert note == "not read, because they are neither the log nor its items: b.csv, c.csv.bz2, items.parquet"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.csv.gz", b"x" * 100, "b.csv.gz: cannot be read"),
        ("b.parquet", b"x" * 100, "b.parquet: not a Parquet file, or a damaged one"),
    ],
)
def test_a_damaged_file_of_a_folder_is_an_error(name: str, content: bytes, message: str, write, tmp_path) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(write({"a.csv": HEADER + ROWS["a"], name: content}), tmp_path)


def test_quotes_of_a_tsv_are_removed_if_its_header_has_them(write, tmp_path) -> None:
    log = '"user"\t"item"\t"timestamp"\n"1"\t"10"\t978300760\n"1"\t"20"\t978300761\n"2"\t"10"\t978300762\n'
    items = '"item"\t"title"\n"10"\t"Toy Story"\n'
    dataset = open_dataset(write({"log.tsv": log, "items.tsv": items}), tmp_path)
    assert rows(dataset) == EXPECTED and [item.title for item in read_items(dataset)] == ["Toy Story"]


def test_quotes_of_a_tsv_without_quotes_in_its_header_are_text(write, tmp_path) -> None:
    log = '1\t10\t978300760\t6" pipe\n1\t20\t978300761\t"unclosed\n2\t10\t978300762\t"\n'
    declared = DataSettings.model_validate({"header": False, "columns": {"user": 1, "item": 2, "timestamp": 3}})
    assert rows(open_dataset(write({"log.tsv": log}), tmp_path, declared)) == EXPECTED
    assert rows(open_dataset(write({"log.tsv": f'user\titem\ttimestamp\tsize"\n{log}'}), tmp_path)) == EXPECTED


def test_the_items_file_beside_a_log_comes_before_that_of_the_folder(write, tmp_path) -> None:
    files = {"items.csv": "item,title\n10,Other\n", "shop/log.csv": HEADER + ROWS["a"], "shop/items.csv": ITEMS}
    assert read_items(open_dataset(write(files), tmp_path))[0].title == "Toy Story"


def test_a_log_with_the_header_of_movielens_and_text_ids_is_another_log(write, tmp_path) -> None:
    content = "userId,movieId,rating,timestamp\n" + "".join(f"u{row},i{row},1,97830076{row}\n" for row in range(5))
    dataset = open_dataset(write({"ratings.csv": content}), tmp_path)
    assert dataset.notes == ("ratings.csv has ids that are not numbers: it is read as a log of another kind",)
    assert rows(dataset) == [(f"u{row}", f"i{row}", 978300760 + row) for row in range(5)]


def test_the_shadow_files_of_macos_are_skipped(shape, shapes, write, tmp_path) -> None:
    shadow = {f"._{name}": b"\x00\x05\x16\x07" for name in shapes[shape]}
    assert rows(open_dataset(write(shapes[shape] | shadow), tmp_path)) == EXPECTED


def test_recognition_imports_neither_tensorflow_nor_tfx() -> None:
    command = (
        "import data.quick_check, sys; print([m for m in ('tensorflow', 'tfx', 'apache_beam') if m in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
