"""The profile of a run's data, read from the outputs of ExampleGen and StatisticsGen."""

from __future__ import annotations

import collections
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.utils import io_utils

from components import features

STATISTICS_FILE = "FeatureStats.pb"
QUANTILES = np.arange(0.05, 1, 0.1)  # the middles of ten equal parts


@dataclass(frozen=True)
class Profile:
    """A summary of a run's data.

    Attributes:
        fingerprint: SHA-256 of the data.
        interactions: number of interactions in all splits.
        users: number of users, including those with too few interactions to be used.
        items: number of interactions by item id, all positive.
        features: for each text column of the items file, the number of interactions by value; an item with several
            values counts for each of them. Empty without such columns.
        rating: mean and standard deviation of the train split's ratings; None if there are no ratings.
        lengths: float64 [10], the `QUANTILES` of the lengths of the train split's timelines.
    """

    fingerprint: str
    interactions: int
    users: int
    items: Mapping[str, int]
    features: Mapping[str, Mapping[str, int]]
    rating: tuple[float, float] | None
    lengths: np.ndarray


def read_profile(statistics_uri: str, catalog_uri: str) -> Profile:
    """Reads the profile of a run's data.

    The counts by item come from the catalogue, which has every item; TFDV only keeps the most frequent ones.

    Args:
        statistics_uri: folder of an ExampleStatistics artifact.
        catalog_uri: folder of an ItemCatalog artifact.

    Raises:
        OSError, tf.errors.NotFoundError: a folder is missing.
    """
    dataset = json.loads(io_utils.read_string_file(os.path.join(catalog_uri, "dataset.json")))
    lines = io_utils.read_string_file(os.path.join(catalog_uri, "items.jsonl")).split("\n")
    items: dict[str, int] = {}
    values: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for item in map(json.loads, filter(None, lines)):
        if item["ratings"]:
            items[item["id"]] = item["ratings"]
            for name, words in item.get("features", {}).items():
                values[name].update(dict.fromkeys(words, item["ratings"]))
    path = os.path.join(statistics_uri, f"Split-{features.TRAIN}", STATISTICS_FILE)
    (train,) = statistics_pb2.DatasetFeatureStatisticsList.FromString(io_utils.read_bytes_file(path)).datasets
    statistics = {".".join(feature.path.step) or feature.name: feature for feature in train.features}
    ratings = statistics[features.RATING].num_stats
    mean, deviation = ratings.mean, ratings.std_dev
    has_ratings = ratings.common_stats.num_non_missing and math.isfinite(mean) and math.isfinite(deviation)
    return Profile(
        dataset["fingerprint"],
        dataset["ratings"],
        dataset["users"],
        items,
        values,
        (mean, deviation) if has_ratings else None,
        _quantiles(statistics[features.ITEM_ID].string_stats.common_stats.num_values_histogram),
    )


def _quantiles(histogram: statistics_pb2.Histogram) -> np.ndarray:
    """Returns the `QUANTILES`, float64 [10]. The buckets are about deciles; values are interpolated within a bucket."""
    counts = np.array([0, *(bucket.sample_count for bucket in histogram.buckets)])
    edges = [histogram.buckets[0].low_value, *(bucket.high_value for bucket in histogram.buckets)]
    return np.interp(QUANTILES, counts.cumsum() / counts.sum(), edges)
