"""Transform on a few examples, as TFX runs it: it analyzes the catalog split and transforms every split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils
from tfx_bsl.public import tfxio

from components import features
from components.trainer.training_data import NO_WORDS
from components.transform import preprocessing
from components.transform.preprocessing import preprocessing_fn
from components.transform.settings import TransformSettings

SCHEMA = Path(__file__).parents[3] / "data" / "schema.pbtxt"
HISTORY = 3
LATER = 2**32 + 7  # seconds: after 2038


def timeline(items: str, ratings: list[float], times: list[int], target: str = "") -> dict[str, list]:
    columns = {features.USER_ID: ["u"], features.ITEM_ID: list(items)}
    columns |= {features.RATING: ratings, features.TIMESTAMP: times}
    return columns | ({features.TARGET_ID: [target]} if target else {})


# In the train split, `a` has three ratings, `b` and `c` two, `d` one; `x` and `y` are only in the catalogue, and `z` is
# nowhere.
TRAIN = [timeline("abc", [1, 2, 3], [10, 20, 30]), timeline("abcad", [5, 4, 3, 2, 1], [1, 2, 3, 4, LATER])]
EVAL = [timeline("db", [3, 4], [7, 8], "c"), timeline("", [], [], "z"), timeline("zx", [1, 2], [5, 6], "x")]
EVENTS = {"a": 3, "b": 2, "c": 2, "d": 1}
CATALOG = [
    {
        features.CATALOG_ITEM_ID: [item],
        features.CATALOG_TOKENS: tokens,
        features.CATALOG_VECTOR: [0.5, 1.5] if item == "a" else [],
        features.CATALOG_TRAIN_EVENTS: [EVENTS.get(item, 0)],
        features.CATALOG_EVENTS: [EVENTS.get(item, 0) + (7 if item == "x" else 0)],
    }
    for item, tokens in {
        **{"a": ["genres=War", "genres=Drama"], "b": ["genres=Drama"], "c": []},
        **{"d": ["year=1994"], "x": ["genres=Drama", "brand=Alp"], "y": ["genres=War"]},
    }.items()
]


def serialize(columns: dict[str, list]) -> bytes:
    feature = {}
    for name, values in columns.items():
        if values and isinstance(values[0], str):
            feature[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))
        elif name in (features.RATING, features.CATALOG_VECTOR, features.WEIGHT, features.ACTIVITY_NUMBERS):
            feature[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        elif values:
            feature[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def analyse(
    folder: Path,
    examples: list[dict],
    item_features: tuple[str, ...] = ("genres", "year"),
    refit: bool = False,
    columns: tuple[str, ...] = (),
    **settings: object,
) -> SimpleNamespace:
    """Returns the vocabularies, and a function that transforms examples."""
    schema = text_format.Parse(SCHEMA.read_text(encoding="utf-8"), schema_pb2.Schema())
    source = tfxio.TFExampleBeamRecord(physical_format="inmem", schema=schema)
    settings = TransformSettings(history_length=HISTORY, **settings).model_dump()

    def preprocess(inputs: dict) -> dict:
        config = {"item_features": item_features, "activity_columns": list(columns)}
        return preprocessing_fn(inputs, {"settings": settings, "refit": refit, **config})

    with beam.Pipeline("FnApiRunner") as pipeline, tft_beam.Context(temp_dir=str(folder / "temporary")):
        records = pipeline | beam.Create([serialize(example) for example in examples]) | source.BeamSource()
        function = (records, source.TensorAdapterConfig()) | tft_beam.AnalyzeDataset(preprocess)
        _ = function | tft_beam.WriteTransformFn(str(folder / "transform"))
        metadata = dataset_metadata.DatasetMetadata(schema)
        _ = metadata | tft_beam.WriteMetadata(str(folder / "transform" / "metadata"), pipeline)
    output = tft.TFTransformOutput(str(folder / "transform"))
    layer = output.transform_features_layer()
    specification = schema_utils.schema_as_feature_spec(schema).feature_spec

    def transform(examples: list[dict]) -> dict[str, list]:
        parsed = tf.io.parse_example([serialize(example) for example in examples], specification)
        return {
            name: tf.RaggedTensor.from_sparse(value).to_list() if isinstance(value, tf.SparseTensor) else value.numpy()
            for name, value in layer(parsed).items()
        }

    vocabularies = {
        name: [word.decode() for word in output.vocabulary_by_name(name)]
        for name in (features.ITEM_VOCABULARY, features.TOKEN_VOCABULARY, *map(features.word_vocabulary, columns))
    }
    return SimpleNamespace(
        items=vocabularies[features.ITEM_VOCABULARY],
        tokens=vocabularies[features.TOKEN_VOCABULARY],
        words={name: vocabularies[features.word_vocabulary(name)] for name in columns},
        transform=transform,
        spec=output.transformed_feature_spec(),
    )


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    return analyse(tmp_path_factory.mktemp("rated"), CATALOG)


@pytest.fixture(scope="module")
def index(rated: SimpleNamespace) -> Callable[[str], int]:
    """Returns a function from a rated item to its index."""
    return lambda item: rated.items.index(item) + features.FIRST_INDEX


def test_the_vocabulary_has_the_items_with_train_events_most_frequent_first(rated):
    assert sorted(rated.items) == ["a", "b", "c", "d"]
    assert rated.items[0] == "a" and rated.items[3] == "d"


def test_the_vocabulary_has_the_tokens_of_the_catalogue_most_frequent_first(rated):
    assert sorted(rated.tokens) == ["brand=Alp", "genres=Drama", "genres=War", "year=1994"]
    assert rated.tokens[:2] == ["genres=Drama", "genres=War"]


def test_timelines_have_indices_ratings_and_times(rated, index):
    transformed = rated.transform(TRAIN)
    assert transformed[features.TIMELINE] == [[index(item) for item in items] for items in ("abc", "abcad")]
    assert transformed[features.TIMELINE_RATING] == [[1, 2, 3], [5, 4, 3, 2, 1]]
    assert transformed[features.TIMELINE_TIME] == [[10, 20, 30], [1, 2, 3, 4, LATER]]
    assert transformed[features.TARGET].tolist() == transformed[features.ITEM].tolist() == [[features.PADDING]] * 2
    assert transformed[features.ITEM_TOKENS] == [[], []]


def test_histories_are_the_last_activities_then_padding(rated, index):
    transformed = rated.transform(TRAIN + EVAL[:2])
    expected = [[index(item) for item in items] for items in ("abc", "cad", "db")]
    assert transformed[features.HISTORY].tolist() == [expected[0], expected[1], [*expected[2], 0], [0, 0, 0]]
    assert transformed[features.HISTORY_RATING].tolist() == [[1, 2, 3], [3, 2, 1], [3, 4, 0], [0, 0, 0]]
    assert transformed[features.HISTORY_TIME].tolist() == [[10, 20, 30], [3, 4, LATER], [7, 8, 0], [0, 0, 0]]
    assert [transformed[name].dtype for name in (features.HISTORY, features.HISTORY_RATING, features.HISTORY_TIME)] == [
        np.int64,
        np.float32,
        np.int64,
    ]


def test_items_outside_the_vocabulary_are_unknown(rated, index):
    transformed = rated.transform(EVAL)
    assert transformed[features.TARGET].tolist() == [[index("c")], [features.UNKNOWN], [features.UNKNOWN]]
    assert transformed[features.TIMELINE] == [[index("d"), index("b")], [], [features.UNKNOWN] * 2]


def test_catalogue_items_have_an_index_and_tokens(rated, index):
    transformed = rated.transform(CATALOG)
    expected = [*(index(item) for item in "abcd"), features.UNKNOWN, features.UNKNOWN]
    assert transformed[features.ITEM].ravel().tolist() == expected
    tokens = [
        [rated.tokens[number - features.FIRST_INDEX] for number in row] for row in transformed[features.ITEM_TOKENS]
    ]
    assert tokens == [row[features.CATALOG_TOKENS] for row in CATALOG]
    assert (
        transformed[features.TIMELINE]
        == transformed[features.TIMELINE_RATING]
        == transformed[features.TIMELINE_TIME]
        == [[]] * 6
    )
    assert not any(
        transformed[name].any() for name in (features.HISTORY, features.HISTORY_RATING, features.HISTORY_TIME)
    )


def test_transforming_splits_together_or_separately_is_the_same(rated):
    together = rated.transform(TRAIN + EVAL + CATALOG)
    separate = [rated.transform(rows) for rows in (TRAIN, EVAL, CATALOG)]
    for name, values in together.items():
        assert [list(row) for row in values] == [list(row) for part in separate for row in part[name]]


def test_the_specification_describes_the_transformed_features(rated):
    integers = [features.TIMELINE, features.TIMELINE_TIME, features.ITEM_TOKENS]
    assert {name: type(spec) for name, spec in rated.spec.items() if isinstance(spec, tf.io.VarLenFeature)} == {
        name: tf.io.VarLenFeature
        for name in [*integers, features.TIMELINE_RATING, features.TIMELINE_WEIGHT, features.ITEM_VECTOR]
    }
    assert {name: spec.shape for name, spec in rated.spec.items() if isinstance(spec, tf.io.FixedLenFeature)} == {
        **{name: [HISTORY] for name in (features.HISTORY, features.HISTORY_RATING, features.HISTORY_TIME)},
        **{name: [1] for name in (features.TARGET, features.ITEM)},
    }


def test_with_catalog_all_unrated_items_with_item_features_have_the_last_indices(tmp_path):
    """Other items with fewer events than `min_item_count` share the index of unknown items."""
    analysed = analyse(tmp_path, CATALOG, ("brand",), catalog="all", min_item_count=2)
    assert analysed.items[0] == "a" and set(analysed.items[1:3]) == set("bc")
    assert analysed.items[3:] == ["x"], "d has one event and no brand, and y has only genres"
    transformed = analysed.transform(EVAL + CATALOG)
    assert transformed[features.TARGET].ravel().tolist()[:3] == [
        analysed.items.index("c") + features.FIRST_INDEX,
        features.UNKNOWN,
        analysed.items.index("x") + features.FIRST_INDEX,
    ]
    assert sorted(transformed[features.ITEM].ravel().tolist()) == [
        0,
        0,
        0,
        features.UNKNOWN,
        features.UNKNOWN,
        2,
        3,
        4,
        5,
    ]
    assert transformed[features.TIMELINE][0] == [features.UNKNOWN, analysed.items.index("b") + features.FIRST_INDEX]


def test_a_refit_counts_all_events_and_includes_every_item_and_the_most_frequent_words(tmp_path, monkeypatch):
    monkeypatch.setattr(preprocessing, "MAX_WORDS", 3)
    analysed = analyse(tmp_path, CATALOG + WORDS, refit=True, columns=COLUMNS[:1])
    assert analysed.items[:2] == ["x", "a"] and set(analysed.items) == set("abcdxy")
    assert analysed.items[-1] == "y"
    assert analysed.words["event"] == ["buy", "view", "late"]


def test_a_refit_without_item_features_includes_every_item_with_events(tmp_path):
    bare = [{**row, features.CATALOG_TOKENS: []} for row in CATALOG]
    analysed = analyse(tmp_path, bare, (), refit=True)
    assert set(analysed.items) == set("abcdx")
    assert not any("=" in token for token in analysed.tokens)
    assert analysed.transform(bare)[features.ITEM_TOKENS] == [[]] * len(bare)


def test_weights_are_not_changed(rated):
    weighted = {**TRAIN[0], features.WEIGHT: [0.5, 0.25, 1.0]}
    assert rated.transform([weighted, TRAIN[1]])[features.TIMELINE_WEIGHT] == [[0.5, 0.25, 1.0], []]


def test_long_ids_and_a_user_with_100_000_ratings_are_transformed(tmp_path):
    ids = [str(2**63), str(2**63 + 1), "9" * 200, "film \N{SNOWMAN} " * 20]
    heavy = {**timeline("", [3.5] * 100_000, list(range(100_000))), features.ITEM_ID: ids * 25_000}
    events = {
        **{features.CATALOG_TRAIN_EVENTS: [25_000], features.CATALOG_EVENTS: [25_000]},
        features.CATALOG_TOKENS: [],
    }
    catalog = [*CATALOG, *({features.CATALOG_ITEM_ID: [item], **events} for item in ids)]
    analysed = analyse(tmp_path, [heavy, *TRAIN, *catalog])
    assert set(analysed.items[:4]) == set(ids) and set(analysed.items[4:]) >= set("abcd")
    transformed = analysed.transform([heavy, TRAIN[0]])
    indices = [analysed.items.index(item) + features.FIRST_INDEX for item in ids]
    assert transformed[features.TIMELINE][0] == indices * 25_000
    assert transformed[features.HISTORY].tolist()[0] == indices[-HISTORY:]
    assert len(transformed[features.TIMELINE][1]) == 3


def word(column: int, text: str, train_events: int, events: int) -> dict[str, list]:
    """Returns an example of the split `words`."""
    counts = {features.WORD_TRAIN_EVENTS: [train_events], features.WORD_EVENTS: [events]}
    return {features.WORD: [text], features.WORD_COLUMN: [column], **counts}


WORDS = [
    *(word(0, "buy", 2, 9), word(0, "view", 5, 5), word(0, "late", 0, 2), word(0, "rare", 0, 1)),
    word(2, "view", 1, 1),
]
COLUMNS = ("event", "price", "device")
NAN = float("nan")


def with_columns(timeline: dict[str, list], words: list[str], numbers: list[float]) -> dict[str, list]:
    """Adds three columns of the log to a timeline; the second has numbers."""
    packed = [value for first, third in zip(words[::2], words[1::2], strict=True) for value in (first, "", third)]
    return {
        **timeline,
        features.ACTIVITY_WORDS: packed,
        features.ACTIVITY_NUMBERS: [value for number in numbers for value in (NAN, number, NAN)],
    }


@pytest.fixture(scope="module")
def rows() -> list[dict[str, list]]:
    return [
        with_columns(TRAIN[0], ["buy", "view", "view", "", "late", "other"], [1.5, NAN, -2]),
        with_columns(TRAIN[1], ["view", "view"] * 5, [1, 2, 3, 4, 5]),
        with_columns(timeline("", [], []), [], []),
    ]


def test_columns_of_words_and_numbers_are_transformed(tmp_path, rated, rows):
    analysed = analyse(tmp_path, CATALOG + WORDS, columns=COLUMNS)
    assert analysed.items == rated.items, "the words do not change the items"
    assert analysed.words["event"] == ["view", "buy"] and analysed.words["device"] == ["view"]
    assert analysed.words["price"] == [NO_WORDS]
    transformed = analysed.transform(rows)
    assert transformed["timeline_word_event"] == [[3, 2, 1], [2] * 5, []]
    assert transformed["timeline_word_device"] == [[2, 0, 1], [2] * 5, []]
    assert transformed["timeline_word_price"] == [[0] * 3, [0] * 5, []]
    assert transformed["history_word_event"].tolist() == [[3, 2, 1], [2] * 3, [0] * 3]
    np.testing.assert_array_equal(transformed["history_number_price"], [[1.5, NAN, -2], [3, 4, 5], [0] * 3])
    np.testing.assert_array_equal(transformed["history_number_event"], [[NAN] * 3, [NAN] * 3, [0] * 3])
    np.testing.assert_array_equal(np.concatenate(transformed["timeline_number_price"]), [1.5, NAN, -2, 1, 2, 3, 4, 5])
