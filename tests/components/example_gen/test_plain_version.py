"""ExampleGen writes the same examples as a version in plain Python, for the split `leave_one_out`."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from benchmarks.generate import main as generate
from components import features
from components.artifacts import ItemCatalog
from components.example_gen.executor import Executor
from components.example_gen.settings import ExampleGenSettings
from data.settings import DataSettings
from pipeline.beam_runners import LOCAL_ARGUMENTS

Rating = tuple[bytes, bytes, float, int]  # user, item, rating, time
LEAST_RATINGS = 3  # the minimum of a user in a split
# The plain version has no counts in the catalogue; other tests check them.
IGNORED = {features.CATALOG_TRAIN_EVENTS, features.CATALOG_EVENTS}


def plain_examples(data: Path) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """Yields a split and the values of an example."""
    timelines: dict[bytes, list[Rating]] = {}
    for user, item, rating, time in rows(data / "ratings.csv"):
        timelines.setdefault(user.encode(), []).append((user.encode(), item.encode(), float(rating), int(time)))
    kept = [
        # Without exact repeats, oldest first; ties stay in the order of the file.
        sorted(dict.fromkeys(timeline), key=lambda rating: rating[3])
        for timeline in timelines.values()
    ]
    kept = [timeline for timeline in kept if len(timeline) >= LEAST_RATINGS]
    buckets = popularity_buckets(Counter(rating[1] for timeline in kept for rating in timeline[:-2]))
    for timeline in kept:
        yield features.TRAIN, values(timeline[:-2], None, buckets)
        yield features.EVAL, values(timeline[:-2], timeline[-2], buckets)
        yield features.TEST, values(timeline[:-1], timeline[-1], buckets)
    for item, title, genres in rows(data / "movies.csv"):
        facts = [*(("genres", genre) for genre in genres.split("|")), ("year", title[-5:-1])]
        yield (
            features.CATALOG,
            {
                features.CATALOG_ITEM_ID: [item.encode()],
                features.CATALOG_TOKENS: [features.token(*fact).encode() for fact in facts],
                features.CATALOG_VECTOR: [],
            },
        )


def rows(file: Path) -> Iterator[list[str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        yield from list(csv.reader(stream))[1:]


def popularity_buckets(counts: Counter[bytes]) -> dict[bytes, str]:
    """Returns the third of all train interactions that each item belongs to."""
    total, before, buckets = counts.total(), 0, {}
    for item, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        buckets[item] = features.POPULARITY_BUCKETS[min(3 * before // total, 2)]
        before += count
    return buckets


def values(timeline: list[Rating], target: Rating | None, buckets: dict[bytes, str]) -> dict[str, list[Any]]:
    users, items, ratings, times = zip(*timeline, strict=True)
    example = {
        features.USER_ID: [users[0]],
        features.ITEM_ID: [*items],
        features.RATING: [*ratings],
        features.TIMESTAMP: [*times],
    }
    if target is None:
        return example
    return example | {
        features.TARGET_ID: [target[1]],
        features.TARGET_RATING: [target[2]],
        features.TARGET_TIMESTAMP: [target[3]],
        features.HISTORY_BUCKET: [features.history_bucket(len(timeline)).encode()],
        features.POPULARITY_BUCKET: [buckets.get(target[1], "cold").encode()],
    }


def written_examples(split: Path) -> Iterator[dict[str, list[Any]]]:
    files = tf.data.TFRecordDataset([str(file) for file in split.iterdir()], compression_type="GZIP")
    for record in files.as_numpy_iterator():
        example = tf.train.Example.FromString(record).features.feature
        yield {
            name: list(getattr(feature, feature.WhichOneof("kind")).value)
            for name, feature in example.items()
            if name not in IGNORED
        }


def canonical(examples: list[dict[str, list[Any]]]) -> list[str]:
    return sorted(repr(sorted(example.items())) for example in examples)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "data"
    assert generate(["--ratings=3000", "--users=60", "--items=200", f"--output={folder}"]) == 0
    return folder


def test_the_examples_are_those_of_the_plain_version(data: Path, tmp_path: Path) -> None:
    examples, catalog = standard_artifacts.Examples(), ItemCatalog()
    examples.uri, catalog.uri = str(tmp_path / "examples"), str(tmp_path / "catalog")
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=list(LOCAL_ARGUMENTS), tmp_dir=str(tmp_path / "temporary"), unique_id="1"
    )
    properties = {"data": str(data), "data_fingerprint": "", "cache_dir": ""}
    properties["settings"] = ExampleGenSettings().model_dump_json()
    properties["reading"] = DataSettings().model_dump_json()
    Executor(context).Do({}, {"examples": [examples], "catalog": [catalog]}, properties)

    expected: dict[str, list[dict[str, list[Any]]]] = {}
    for split, example in plain_examples(data):
        expected.setdefault(split, []).append(example)
    assert {split: len(rows) for split, rows in expected.items()} == {
        **dict.fromkeys(features.SPLITS, 60),
        features.CATALOG: 200,
    }
    for split, expected_examples in expected.items():
        written = list(written_examples(tmp_path / "examples" / f"Split-{split}"))
        assert canonical(written) == canonical(expected_examples), split
