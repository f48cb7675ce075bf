"""Transformed examples on disk become timelines in memory, whatever their lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components import features
from components.trainer import input_pipeline
from components.trainer.input_pipeline import read_timelines

HISTORY, GENRES_PER_ITEM = 3, 2


class FakeTransformOutput:
    """Knows the features of transformed examples."""

    def transformed_feature_spec(self) -> dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]:
        ragged = (features.TIMELINE, features.TIMELINE_GENRES, features.TIMELINE_YEAR)
        return {
            features.HISTORY: tf.io.FixedLenFeature([HISTORY], tf.int64),
            features.TARGET: tf.io.FixedLenFeature([1], tf.int64),
            **{name: tf.io.VarLenFeature(tf.int64) for name in ragged},
        }


def write(path: Path, rows: list[dict[str, list[int]]]) -> None:
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for row in rows:
            feature = {name: tf.train.Feature(int64_list=tf.train.Int64List(value=row[name])) for name in row}
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def row(items: list[int], target: int, with_features: bool) -> dict[str, list[int]]:
    return {
        features.TIMELINE: items,
        features.HISTORY: (items[-HISTORY:] + [0] * HISTORY)[:HISTORY],
        features.TARGET: [target],
        features.TIMELINE_GENRES: [value for item in items for value in (item + 10, 0)] if with_features else [],
        features.TIMELINE_YEAR: [item + 20 for item in items] if with_features else [],
    }


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_train_split(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(input_pipeline, "READ_BATCH", batch)
    write(tmp_path / "a.gz", [row([2, 3, 4, 5], 0, True), row([6], 0, True)])
    write(tmp_path / "b.gz", [row([3, 2], 0, True)])
    data = read_timelines([str(tmp_path / "*.gz")], FakeTransformOutput())
    assert data.items.tolist() == [2, 3, 4, 5, 6, 3, 2]
    assert data.starts.tolist() == [0, 4, 5, 7]
    assert data.histories.tolist() == [[3, 4, 5], [6, 0, 0], [3, 2, 0]]
    assert data.genres.tolist() == [[item + 10, 0] for item in data.items]
    assert data.years.tolist() == [item + 20 for item in data.items]
    assert data.items.dtype == data.histories.dtype == np.int32


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_eval_split_with_users_who_are_new(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(input_pipeline, "READ_BATCH", batch)
    write(tmp_path / "a.gz", [row([], 5, False), row([2, 3], 4, False), row([], 1, False)])
    data = read_timelines([str(tmp_path / "*.gz")], FakeTransformOutput())
    assert len(data) == 3
    assert data.starts.tolist() == [0, 0, 2, 2]
    assert data.targets.tolist() == [5, 4, 1]
    assert data.genres.shape == (0, 1)
