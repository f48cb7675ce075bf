"""Summarises the statistics of StatisticsGen, without TFDV."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import statistics_pb2 as pb

FILE = "FeatureStats.pb"
TOP_VALUES = 3


def summarise(uri: str) -> dict[str, Any]:
    """Returns a summary of an ExampleStatistics artifact.

    Args:
        uri: its folder.

    Returns:
        By split: `examples`, and `features` with `name`, `type`, `values` (their number), `missing` (examples without
        a value), `lengths` (minimum, median and maximum number of values in an example that has any), and for numbers
        `min`, `mean`, `max`, `zeros` and `histogram` (`[low, high, count]` each), for text `unique` and `top`
        (`[value, count]` each). Empty if the files cannot be read from this machine.
    """
    summaries = {}
    for split, content in _contents(uri):
        try:
            datasets = pb.DatasetFeatureStatisticsList.FromString(content).datasets
        except DecodeError:
            continue
        for dataset in datasets[:1]:
            summaries[split] = {
                "examples": dataset.num_examples,
                "features": [_feature(feature) for feature in dataset.features],
            }
    return summaries


def _contents(uri: str) -> Iterator[tuple[str, bytes]]:
    """Yields each split and the content of its file."""
    if "://" not in uri:
        for path in sorted(Path(uri).glob(f"Split-*/{FILE}")):
            with contextlib.suppress(OSError):
                yield path.parent.name.removeprefix("Split-"), path.read_bytes()
        return
    from tfx.dsl.io import fileio  # Only here: it takes seconds.

    try:
        names = sorted(fileio.listdir(uri)) if fileio.exists(uri) else []
    except Exception:  # Every store has errors of its own.
        return
    for name in names:
        if name.startswith("Split-") and fileio.exists(f"{uri}/{name.rstrip('/')}/{FILE}"):
            with fileio.open(f"{uri}/{name.rstrip('/')}/{FILE}", "rb") as stream:
                yield name.rstrip("/").removeprefix("Split-"), stream.read()


def _feature(feature: pb.FeatureNameStatistics) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "name": feature.name or ".".join(feature.path.step),
        "type": pb.FeatureNameStatistics.Type.Name(feature.type).lower(),
    }
    if feature.HasField("num_stats"):
        numbers = feature.num_stats
        summary |= _common(numbers.common_stats)
        summary |= {"min": numbers.min, "mean": numbers.mean, "max": numbers.max, "zeros": numbers.num_zeros}
        standard = [h for h in numbers.histograms if h.type == pb.Histogram.STANDARD][:1]
        summary["histogram"] = [[b.low_value, b.high_value, b.sample_count] for h in standard for b in h.buckets]
    elif feature.HasField("string_stats"):
        text = feature.string_stats
        summary |= _common(text.common_stats)
        summary |= {"unique": text.unique, "top": [[v.value, v.frequency] for v in text.top_values[:TOP_VALUES]]}
    return summary


def _common(common: pb.CommonStatistics) -> dict[str, Any]:
    # Quantiles: the buckets hold equally many examples.
    bounds = [bucket.high_value for bucket in common.num_values_histogram.buckets]
    median = bounds[(len(bounds) - 1) // 2] if bounds else common.avg_num_values
    return {
        "values": common.tot_num_values or common.num_non_missing,
        "missing": common.num_missing,
        "lengths": [common.min_num_values, median, common.max_num_values],
    }
