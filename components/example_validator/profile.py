"""Profile of the data of a run, read from the outputs of ExampleGen and StatisticsGen."""

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
SHARES = np.arange(0.05, 1, 0.1)  # the middles of ten equal parts


@dataclass(frozen=True)
class Profile:
    """The data of a run.

    Attributes:
        fingerprint: SHA-256 of the data.
        interactions: how many there are, of all splits.
        users: how many, including those that are left out for too few interactions.
        items: interactions by item id, all positive.
        features: interactions by value of each column of words of the items file; an item with several values counts
            for each. Empty where nothing is known of the items.
        rating: mean and standard deviation of the train split's ratings; None where there are no numbers.
        lengths: float64 [10], the lengths of the train split's timelines at the `SHARES` of them, shortest first.
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

    The numbers by item are those of the catalogue, which has every item: TFDV's own keep the most frequent values.

    Args:
        statistics_uri: folder of an ExampleStatistics artifact.
        catalog_uri: folder of an ItemCatalog artifact.

    Raises:
        OSError, tf.errors.NotFoundError: they are gone.
    """
    about = json.loads(io_utils.read_string_file(os.path.join(catalog_uri, "dataset.json")))
    lines = io_utils.read_string_file(os.path.join(catalog_uri, "items.jsonl")).split("\n")
    items: dict[str, int] = {}
    by_value: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for item in map(json.loads, filter(None, lines)):
        if item["ratings"]:
            items[item["id"]] = item["ratings"]
            for name, words in item.get("features", {}).items():
                by_value[name].update(dict.fromkeys(words, item["ratings"]))
    path = os.path.join(statistics_uri, f"Split-{features.TRAIN}", STATISTICS_FILE)
    (train,) = statistics_pb2.DatasetFeatureStatisticsList.FromString(io_utils.read_bytes_file(path)).datasets
    of_feature = {".".join(feature.path.step) or feature.name: feature for feature in train.features}
    numbers = of_feature[features.RATING].num_stats
    known = numbers.common_stats.num_non_missing and math.isfinite(numbers.mean) and math.isfinite(numbers.std_dev)
    return Profile(
        about["fingerprint"],
        about["ratings"],
        about["users"],
        items,
        by_value,
        (numbers.mean, numbers.std_dev) if known else None,
        _quantiles(of_feature[features.ITEM_ID].string_stats.common_stats.num_values_histogram),
    )


def _quantiles(histogram: statistics_pb2.Histogram) -> np.ndarray:
    """The values at the `SHARES`, float64 [10]: the buckets are about deciles, and even within."""
    counts = np.array([0, *(bucket.sample_count for bucket in histogram.buckets)])
    edges = [histogram.buckets[0].low_value, *(bucket.high_value for bucket in histogram.buckets)]
    return np.interp(SHARES, counts.cumsum() / counts.sum(), edges)
