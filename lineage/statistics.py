"""Summarises the statistics that StatisticsGen left, without TFDV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import statistics_pb2 as pb

FILE = "FeatureStats.pb"
TOP_VALUES = 3


def summarise(uri: str) -> dict[str, Any]:
    """What an ExampleStatistics artifact says.

    Args:
        uri: its folder.

    Returns:
        By split: `examples`, and `features` with `name`, `type`, `values` (how many there are), `missing` (examples
        without any), `lengths` (least, median and most values of an example that has any), and for numbers `min`,
        `mean`, `max`, `zeros` and `histogram` (`[low, high, count]` each), for text `unique` and `top`
        (`[value, count]` each). Empty where the files are not on this machine.
    """
    found = {}
    for path in sorted(Path(uri).glob(f"Split-*/{FILE}")):
        try:
            datasets = pb.DatasetFeatureStatisticsList.FromString(path.read_bytes()).datasets
        except (OSError, DecodeError):
            continue
        for dataset in datasets[:1]:
            found[path.parent.name.removeprefix("Split-")] = {
                "examples": dataset.num_examples,
                "features": [_feature(feature) for feature in dataset.features],
            }
    return found


def _feature(feature: pb.FeatureNameStatistics) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": feature.name or ".".join(feature.path.step),
        "type": pb.FeatureNameStatistics.Type.Name(feature.type).lower(),
    }
    if feature.HasField("num_stats"):
        numbers = feature.num_stats
        told |= _common(numbers.common_stats)
        told |= {"min": numbers.min, "mean": numbers.mean, "max": numbers.max, "zeros": numbers.num_zeros}
        standard = [h for h in numbers.histograms if h.type == pb.Histogram.STANDARD][:1]
        told["histogram"] = [[b.low_value, b.high_value, b.sample_count] for h in standard for b in h.buckets]
    elif feature.HasField("string_stats"):
        text = feature.string_stats
        told |= _common(text.common_stats)
        told |= {"unique": text.unique, "top": [[v.value, v.frequency] for v in text.top_values[:TOP_VALUES]]}
    return told


def _common(common: pb.CommonStatistics) -> dict[str, Any]:
    # Quantiles: the buckets hold equally many examples.
    bounds = [bucket.high_value for bucket in common.num_values_histogram.buckets]
    median = bounds[(len(bounds) - 1) // 2] if bounds else common.avg_num_values
    return {
        "values": common.tot_num_values or common.num_non_missing,
        "missing": common.num_missing,
        "lengths": [common.min_num_values, median, common.max_num_values],
    }
