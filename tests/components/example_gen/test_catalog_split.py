"""The entire ExampleGen on a few lines of data: the catalog split, timelines and words."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components import features
from components.example_gen.catalog import catalog_records
from data.items import Item
from tests.components.example_gen.conftest import columns_of

# Ann and Bob rate four items each; `gum` is missing from the items file, and nobody rates `ink`.
LOG = (
    "user,item,rating,timestamp\n"
    "ann,tea,4,100\nann,jam,2.5,200\nann,gum,5,300\nann,oil,1,400\n"
    "bob,jam,3,150\nbob,oil,2,250\nbob,tea,5,350\nbob,gum,4,450\nbob,gum,4,450\n"
)
ITEMS = (
    "item,title,genres,year,brand,shelf\n"
    'tea,"Tea, green",Drink|Hot,1994,Ceylon,3\njam,Jam,Food,,Alp|Home,\noil,Oil,Food,2001,,7\nink,Ink,,1980,Alp,\n'
)
TOKENS = {
    "tea": ["brand=Ceylon", "genres=Drink", "genres=Hot", "shelf=3", "year=1994"],
    "jam": ["brand=Alp", "brand=Home", "genres=Food"],
    "oil": ["genres=Food", "shelf=7", "year=2001"],
    "ink": ["brand=Alp", "year=1980"],
    "gum": [],
}


@pytest.fixture(scope="module")
def shop(generate: Callable) -> tuple[dict[str, list[dict]], Path]:
    return generate({"log.csv": LOG, "items.csv": ITEMS})


def test_catalogue_has_every_item_once_with_its_tokens(shop):
    splits, _ = shop
    assert list(splits) == ["train", "eval", "test", "catalog"]
    tokens = {
        row[features.CATALOG_ITEM_ID][0].decode(): [token.decode() for token in row[features.CATALOG_TOKENS]]
        for row in splits[features.CATALOG]
    }
    assert tokens == TOKENS
    assert len(splits[features.CATALOG]) == len(TOKENS)
    names = {features.CATALOG_ITEM_ID, features.CATALOG_TOKENS, features.CATALOG_VECTOR}
    names |= {features.CATALOG_TRAIN_EVENTS, features.CATALOG_EVENTS}
    assert all(set(row) == names for row in splits[features.CATALOG])


def test_catalogue_has_the_train_events_of_each_item(shop):
    splits, _ = shop
    events = {row[features.CATALOG_ITEM_ID][0]: row[features.CATALOG_TRAIN_EVENTS] for row in splits[features.CATALOG]}
    assert events == {b"tea": [1], b"jam": [2], b"oil": [1], b"gum": [0], b"ink": [0]}


def test_timelines_have_ids_ratings_and_times_but_no_item_features(shop):
    splits, _ = shop
    activity_features = {features.USER_ID, features.ITEM_ID, features.RATING, features.TIMESTAMP}
    target_features = {
        *(features.TARGET_ID, features.TARGET_RATING, features.TARGET_TIMESTAMP),
        *(features.HISTORY_BUCKET, features.POPULARITY_BUCKET),
    }
    for split in features.SPLITS:
        expected = activity_features if split == features.TRAIN else activity_features | target_features
        assert all(set(row) == expected for row in splits[split])
    (ann,) = (row for row in splits[features.TEST] if row[features.USER_ID] == [b"ann"])
    assert ann[features.ITEM_ID] == [b"tea", b"jam", b"gum"]
    assert ann[features.RATING] == [4, 2.5, 5]
    assert ann[features.TIMESTAMP] == [100, 200, 300]
    assert [ann[name] for name in (features.TARGET_ID, features.TARGET_RATING, features.TARGET_TIMESTAMP)] == [
        [b"oil"],
        [1],
        [400],
    ]
    assert ann[features.HISTORY_BUCKET] == [b"2-4"]


def test_pushed_catalogue_names_the_same_items(shop):
    _, folder = shop
    lines = [json.loads(line) for line in (folder / "items.jsonl").read_text(encoding="utf-8").split("\n") if line]
    assert [line["id"] for line in lines] == ["tea", "jam", "oil", "ink", "gum"]
    tea_features = {"genres": ["Drink", "Hot"], "brand": ["Ceylon"], "shelf": ["3"]}
    tea = {"id": "tea", "title": "Tea, green", "genres": ["Drink", "Hot"], "year": 1994, "features": tea_features}
    gum = {"id": "gum", "title": "Item gum", "genres": [], "year": None, "features": {}}
    assert lines[0] == {**tea, "ratings": 2} and lines[-1] == {**gum, "ratings": 2}
    assert [line["ratings"] for line in lines] == [2, 2, 2, 0, 2]
    summary = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    assert (summary["items"], summary["unknown_items"], summary["ratings"], summary["duplicates"]) == (4, 1, 8, 1)
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json", "items.jsonl"]


def test_tokens_of_an_item_are_sorted_by_feature():
    item = Item("Ö 1", "Title", ("War", "Drama"), 1994, {"brand": ()})
    ids = pa.array(["Ö 1"], pa.string())
    (record,) = catalog_records((ids, np.array([9])), [item], np.empty((1, 0), np.float32), (ids, np.array([7])))
    assert columns_of(record) == {
        features.CATALOG_ITEM_ID: ["Ö 1".encode()],
        features.CATALOG_TOKENS: [b"genres=War", b"genres=Drama", b"year=1994"],
        features.CATALOG_VECTOR: [],
        features.CATALOG_TRAIN_EVENTS: [7],
        features.CATALOG_EVENTS: [9],
    }


def test_a_user_with_100_000_ratings_and_an_item_of_every_user_are_complete(generate):
    heavy_rows = [f"heavy,{number % 7_000},{1 + number % 5},{number // 3}" for number in range(100_000)]
    other_rows = [
        f"u{user},{item},3,{time}" for user in range(200) for time, item in enumerate(("7", user, user + 1, "7"))
    ]
    splits, _ = generate({"log.csv": "\n".join(["user,item,rating,timestamp", *heavy_rows, *other_rows]) + "\n"})
    for split, length in ((features.TRAIN, 99_998), (features.EVAL, 99_998), (features.TEST, 99_999)):
        assert len(splits[split]) == 201
        (row,) = (row for row in splits[split] if row[features.USER_ID] == [b"heavy"])
        assert row[features.ITEM_ID] == [b"%d" % (number % 7_000) for number in range(length)]
        assert row[features.TIMESTAMP] == [number // 3 for number in range(length)]
    events = {row[features.CATALOG_ITEM_ID][0]: row[features.CATALOG_TRAIN_EVENTS] for row in splits[features.CATALOG]}
    assert events[b"7"] == [216] and events[b"8"] == [16] and events[b"6999"] == [14]
    assert sum(count for (count,) in events.values()) == 99_998 + 2 * 200


@pytest.mark.parametrize("value", ["Comedy", "a=b", "", "Häppy end"])
def test_a_token_names_its_feature_for_any_value(value):
    assert features.token("genres", value) == f"genres={value}"
    assert features.feature_of(features.token("genres", value)) == "genres"


def test_a_note_shows_ids_whose_format_differs_between_the_files(generate, caplog) -> None:
    log = "user,item,timestamp\n" + "".join(f"ann,{item}.0,{item}\n" for item in range(10, 20))
    with caplog.at_level("WARNING", "recommender.progress"):
        _, catalog = generate({"log.csv": log, "items.csv": "item,title\n10,Tea\n0011,Jam\n"})
    note = (
        "10 of the 10 items of the log have no row in items.csv: compare '10.0' in the log and '10' in the items file"
    )
    assert note in caplog.text
    assert note in json.loads((catalog / "dataset.json").read_text())["notes"]


KINDS = (
    "user,item,timestamp,event,price\n"
    "ann,tea,100,view,1\nann,jam,200,buy,\nann,gum,300,,3\nann,oil,400,view,4\n"
    "bob,jam,150,view,5.5\nbob,oil,250,return,6\nbob,tea,350,view,7\nbob,gum,450,buy,8\n"
)


def test_columns_of_the_log_become_words_and_numbers_of_activities(generate):
    splits, _ = generate({"log.csv": KINDS}, activity=["price", "event"])
    assert list(splits) == [*features.SPLITS, features.CATALOG, features.WORDS]
    timelines = {row[features.USER_ID][0]: row for row in splits[features.TRAIN]}
    assert timelines[b"ann"][features.ACTIVITY_WORDS] == [b"", b"view", b"", b"buy"]
    assert timelines[b"bob"][features.ACTIVITY_WORDS] == [b"", b"view", b"", b"return"]
    numbers = [None if math.isnan(value) else value for value in timelines[b"ann"][features.ACTIVITY_NUMBERS]]
    assert numbers == [1, None, None, None]
    counts = [features.WORD, features.WORD_COLUMN, features.WORD_TRAIN_EVENTS, features.WORD_EVENTS]
    rows = [tuple(row[name][0] for name in counts) for row in splits[features.WORDS]]
    assert sorted(rows) == [(b"buy", 1, 1, 2), (b"return", 1, 1, 1), (b"view", 1, 2, 4)]
    assert all(len(row) == len(counts) for row in splits[features.WORDS])


def test_the_split_words_has_only_the_kinds_of_interactions_in_use(generate):
    splits, _ = generate({"log.csv": KINDS}, activity=["event"], events={"view": 1.0, "buy": 1.0})
    assert {row[features.WORD][0] for row in splits[features.WORDS]} == {b"view", b"buy"}


def test_without_an_items_file_the_catalogue_has_only_the_rated_items(generate):
    splits, _ = generate({"log.csv": KINDS})
    tokens = {row[features.CATALOG_ITEM_ID][0]: row[features.CATALOG_TOKENS] for row in splits[features.CATALOG]}
    assert tokens == {b"tea": [], b"jam": [], b"oil": [], b"gum": []}
    assert features.WORDS not in splits
    assert not {features.ACTIVITY_WORDS, features.ACTIVITY_NUMBERS} & set(splits[features.TRAIN][0])


def test_a_column_with_only_numbers_has_no_words(generate):
    splits, _ = generate({"log.csv": KINDS}, activity=["price"])
    assert splits[features.WORDS] == [] and splits[features.TRAIN][0][features.ACTIVITY_WORDS] == [b"", b""]
