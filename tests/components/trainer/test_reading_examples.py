"""Transformed examples of any length are read from disk as timelines and as the catalogue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components import features
from components.trainer import input_pipeline
from components.trainer.input_pipeline import read_catalog, read_timelines, without_unknown

HISTORY = 3
INTEGERS = (features.TIMELINE, features.TIMELINE_TIME, features.ITEM_TOKENS)
FLOATS = (features.TIMELINE_RATING, features.TIMELINE_WEIGHT, features.ITEM_VECTOR)
FIXED = {features.HISTORY: HISTORY, features.HISTORY_TIME: HISTORY, features.TARGET: 1, features.ITEM: 1}


class FakeTransformOutput:
    """Has the specification of the features of transformed examples."""

    def transformed_feature_spec(self) -> dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]:
        return {
            **{name: tf.io.FixedLenFeature([length], tf.int64) for name, length in FIXED.items()},
            features.HISTORY_RATING: tf.io.FixedLenFeature([HISTORY], tf.float32),
            **{name: tf.io.VarLenFeature(tf.int64) for name in INTEGERS},
            **{name: tf.io.VarLenFeature(tf.float32) for name in FLOATS},
        }


def write(path: Path, rows: list[dict[str, list[int] | list[float]]]) -> None:
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for row in rows:
            feature = {
                name: tf.train.Feature(float_list=tf.train.FloatList(value=values))
                if name in (*FLOATS, features.HISTORY_RATING)
                else tf.train.Feature(int64_list=tf.train.Int64List(value=values))
                for name, values in row.items()
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def history(values: list) -> list:
    return (values[-HISTORY:] + [0] * HISTORY)[:HISTORY]


def row(items: list[int], target: int = 0, first_time: int = 100) -> dict[str, list]:
    """Returns a timeline whose items determine its ratings and times."""
    ratings, times = [item / 2 for item in items], [first_time + item for item in items]
    return {
        **{features.TIMELINE: items, features.TIMELINE_RATING: ratings, features.TIMELINE_TIME: times},
        **{features.HISTORY: history(items), features.HISTORY_RATING: history(ratings)},
        **{features.HISTORY_TIME: history(times), features.TARGET: [target]},
        **{features.ITEM: [features.PADDING], features.ITEM_TOKENS: []},
    }


def item(index: int, tokens: list[int], vector: list[float] | None = None) -> dict[str, list]:
    """Returns an item of the catalogue."""
    return {**row([]), features.ITEM: [index], features.ITEM_TOKENS: tokens, features.ITEM_VECTOR: vector or []}


@pytest.fixture(params=[1, 2, 256], autouse=True)
def batch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_pipeline, "READ_BATCH", request.param)


def test_timelines_of_the_train_split_are_read(tmp_path):
    write(tmp_path / "a.gz", [row([2, 3, 4, 5]), row([6])])
    write(tmp_path / "b.gz", [row([3, 2])])
    data = read_timelines([str(tmp_path / "*.gz")], FakeTransformOutput())
    assert data.items.tolist() == [2, 3, 4, 5, 6, 3, 2] and data.weights is None
    assert data.activities["ratings"].tolist() == [1, 1.5, 2, 2.5, 3, 1.5, 1]
    assert data.activities["times"].tolist() == [102, 103, 104, 105, 106, 103, 102]
    assert data.starts.tolist() == [0, 4, 5, 7]
    histories = data.histories(slice(None), HISTORY)
    assert histories["items"].tolist() == [[3, 4, 5], [6, 0, 0], [3, 2, 0]]
    assert histories["ratings"].tolist() == [[1.5, 2, 2.5], [3, 0, 0], [1.5, 1, 0]]
    assert histories["times"].tolist() == [[103, 104, 105], [106, 0, 0], [103, 102, 0]]
    for activities in (data.activities, histories):
        dtypes = {name: values.dtype for name, values in activities.items()}
        assert dtypes == {"items": np.int32, "ratings": np.float32, "times": np.int32}


def test_weights_are_read_with_their_activities(tmp_path):
    rows = [{**row([2, features.UNKNOWN, 4]), features.TIMELINE_WEIGHT: [0, 0.5, 1]}, row([])]
    write(tmp_path / "a.gz", rows)
    data = read_timelines([str(tmp_path / "a.gz")], FakeTransformOutput())
    assert data.weights.tolist() == [0, 0.5, 1]
    assert without_unknown(data).weights.tolist() == data.of_users(np.array([1, 0])).weights.tolist()[::2] == [0, 1]


def test_new_users_of_the_eval_split_have_empty_timelines(tmp_path):
    write(tmp_path / "a.gz", [row([], 5), row([2, 3], 4), row([], 1)])
    data = read_timelines([str(tmp_path / "*.gz")], FakeTransformOutput())
    assert len(data) == 3
    assert data.starts.tolist() == [0, 0, 2, 2]
    assert data.targets.tolist() == [5, 4, 1]


def test_gaps_between_times_after_2038_are_kept(tmp_path):
    write(tmp_path / "a.gz", [row([2, 3], first_time=2**31 - 3)])
    times = read_timelines([str(tmp_path / "a.gz")], FakeTransformOutput()).activities["times"]
    assert times.tolist() == [2**31 - 1, -(2**31)]
    assert (times[1:] - times[:-1]).tolist() == [1]


def test_an_empty_split_has_no_timelines(tmp_path):
    write(tmp_path / "a.gz", [])
    data = read_timelines([str(tmp_path / "a.gz")], FakeTransformOutput())
    assert len(data) == 0 and data.starts.tolist() == [0]
    histories = data.histories(slice(None), HISTORY)
    assert histories["items"].shape == histories["ratings"].shape == (0, HISTORY)


def test_the_catalogue_leaves_out_unknown_items_and_tokens(tmp_path):
    rows = [item(2, [3, 4]), item(features.UNKNOWN, [3]), item(5, []), item(3, [4, features.UNKNOWN])]
    write(tmp_path / "a.gz", rows)
    write(tmp_path / "b.gz", [item(4, [2])])
    pairs, vectors = read_catalog([str(tmp_path / "*.gz")], FakeTransformOutput(), 6)
    assert vectors.shape == (6, 0)
    assert pairs.tolist() == [[2, 3], [2, 4], [3, 4], [4, 2]]
    assert pairs.dtype == np.int32


def test_a_catalogue_without_tokens_has_no_pairs(tmp_path):
    write(tmp_path / "a.gz", [item(2, []), item(3, [])])
    assert read_catalog([str(tmp_path / "a.gz")], FakeTransformOutput(), 4)[0].shape == (0, 2)


def test_vectors_of_items_are_read_by_index(tmp_path):
    rows = [item(3, [], [1.0, 2.0]), item(features.UNKNOWN, [], [5.0, 6.0]), item(2, [], [3.0, 4.0])]
    write(tmp_path / "a.gz", rows)
    _, vectors = read_catalog([str(tmp_path / "a.gz")], FakeTransformOutput(), 5)
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[0, 0], [0, 0], [3, 4], [1, 2], [0, 0]]
