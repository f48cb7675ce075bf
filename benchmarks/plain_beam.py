"""What ExampleGen, StatisticsGen and Transform do, as one would first write it with TFX and Beam: an element a rating.

Kept to be compared with. As TFX's own CsvExampleGen does, `ingest` writes a `tf.train.Example` for every line;
statistics are of these; `transform` groups them by user, sorts and splits, makes the examples of timelines field by
field, and lets TFT do the rest. What it writes equals the pipeline's records, for the `leave_one_out` split of data in
MovieLens' CSV layout. The order of ties in time is that of the file only where the runner keeps it, as one process
does.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_data_validation as tfdv
import tensorflow_transform as tft
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder
from tfx_bsl.public import tfxio

from components import features
from components.transform import preprocessing

Rating = dict[str, Any]
RATINGS = "ratings"  # the one split of what is ingested, beside the catalogue
LEAST_RATINGS = 3  # of a user in a split
HISTORY = 200  # activities in a fixed-length history, as by default


def ingest(data: Path, folder: Path, beam_arguments: list[str]) -> None:
    """Ratings and films -> an example of each, in the folders `Split-ratings` and `Split-catalog`."""
    with beam.Pipeline(options=PipelineOptions(beam_arguments)) as pipeline:
        for name, file, example_of in ((RATINGS, "ratings.csv", rating), (features.CATALOG, "movies.csv", film)):
            _ = (
                pipeline
                | f"Read[{name}]" >> beam.io.ReadFromText(str(data / file), skip_header_lines=1)
                | f"Parse[{name}]" >> beam.Map(example_of)
                | f"Write[{name}]" >> write(folder, name)
            )


def rating(line: str) -> bytes:
    """The example of one line of `ratings.csv`."""
    user, item, value, timestamp = line.split(",")
    found = tf.train.Example()
    feature = found.features.feature
    feature[features.USER_ID].bytes_list.value.append(user.encode())
    feature[features.ITEM_ID].bytes_list.value.append(item.encode())
    feature[features.RATING].float_list.value.append(float(value))
    feature[features.TIMESTAMP].int64_list.value.append(int(timestamp))
    return found.SerializeToString()


def timelines(pipeline: beam.Pipeline, examples: Path) -> beam.PCollection:
    """What `ingest` wrote -> (split, raw example of `components/features.py`)."""
    grouped = (
        pipeline
        | "ReadRatings" >> beam.io.ReadFromTFRecord(str(examples / f"Split-{RATINGS}" / "*"))
        | "Parse" >> beam.Map(parse)
        | "KeyByUser" >> beam.Map(lambda one: (one["user"], one))
        | "GroupByUser" >> beam.GroupByKey()
        | "Sort" >> beam.Map(sort)
        | "LongEnough" >> beam.Filter(lambda timeline: len(timeline) >= LEAST_RATINGS)
    )
    counts = (
        grouped
        | "TrainEvents" >> beam.FlatMap(lambda timeline: [one["item"] for one in timeline[:-2]])
        | "CountItems" >> beam.combiners.Count.PerElement()
    )
    buckets = counts | "AllCounts" >> beam.combiners.ToList() | "Buckets" >> beam.Map(popularity_buckets)
    return grouped | "Split" >> beam.FlatMap(split, beam.pvalue.AsSingleton(buckets))


def only(examples: beam.PCollection, name: str) -> beam.PCollection:
    """The serialized examples of a split."""
    return (
        examples
        | f"Only[{name}]" >> beam.Filter(lambda example: example[0] == name)
        | f"Serialize[{name}]" >> beam.Map(lambda example: example[1].SerializeToString())
    )


def parse(example: bytes) -> Rating:
    """What `rating` wrote."""
    feature = tf.train.Example.FromString(example).features.feature
    return {
        "user": feature[features.USER_ID].bytes_list.value[0],
        "item": feature[features.ITEM_ID].bytes_list.value[0],
        "rating": feature[features.RATING].float_list.value[0],
        "timestamp": feature[features.TIMESTAMP].int64_list.value[0],
    }


def sort(group: tuple[bytes, Iterable[Rating]]) -> list[Rating]:
    """A user's ratings, oldest first, without exact repeats."""
    timeline: list[Rating] = []
    seen = set()
    for one in sorted(group[1], key=lambda one: one["timestamp"]):
        key = tuple(one.values())
        if key not in seen:
            seen.add(key)
            timeline.append(one)
    return timeline


def popularity_buckets(counts: list[tuple[bytes, int]]) -> dict[bytes, str]:
    """Which third of all train events each item belongs to."""
    total, before, found = sum(count for _, count in counts), 0, {}
    for item, count in sorted(counts, key=lambda pair: (-pair[1], pair[0])):
        found[item] = features.POPULARITY_BUCKETS[min(3 * before // total, 2)]
        before += count
    return found


def split(timeline: list[Rating], buckets: dict[bytes, str]) -> Iterator[tuple[str, tf.train.Example]]:
    """The examples of a user, with the split of each."""
    yield features.TRAIN, example(timeline[:-2], None, buckets)
    yield features.EVAL, example(timeline[:-2], timeline[-2], buckets)
    yield features.TEST, example(timeline[:-1], timeline[-1], buckets)


def example(timeline: list[Rating], target: Rating | None, buckets: dict[bytes, str]) -> tf.train.Example:
    """One timeline, and what came next."""
    found = tf.train.Example()
    feature = found.features.feature
    feature[features.USER_ID].bytes_list.value.append(timeline[0]["user"])
    for one in timeline:
        feature[features.ITEM_ID].bytes_list.value.append(one["item"])
        feature[features.RATING].float_list.value.append(one["rating"])
        feature[features.TIMESTAMP].int64_list.value.append(one["timestamp"])
    if target is not None:
        bucket = buckets.get(target["item"], "cold")
        feature[features.TARGET_ID].bytes_list.value.append(target["item"])
        feature[features.TARGET_RATING].float_list.value.append(target["rating"])
        feature[features.TARGET_TIMESTAMP].int64_list.value.append(target["timestamp"])
        feature[features.HISTORY_BUCKET].bytes_list.value.append(features.history_bucket(len(timeline)).encode())
        feature[features.POPULARITY_BUCKET].bytes_list.value.append(bucket.encode())
    return found


def film(line: str) -> bytes:
    """The example of one line of `movies.csv`."""
    item, title, genres = next(csv.reader([line]))
    found = tf.train.Example()
    feature = found.features.feature
    feature[features.CATALOG_ITEM_ID].bytes_list.value.append(item.encode())
    for name, value in [*(("genres", genre) for genre in genres.split("|")), ("year", title[-5:-1])]:
        feature[features.CATALOG_TOKENS].bytes_list.value.append(features.token(name, value).encode())
    feature[features.CATALOG_VECTOR].float_list.SetInParent()
    return found.SerializeToString()


def write(folder: Path, name: str) -> beam.PTransform:
    """Writes serialized examples of a split."""
    return beam.io.WriteToTFRecord(str(folder / f"Split-{name}" / "examples"), file_name_suffix=".gz")


def statistics(examples: Path, folder: Path, beam_arguments: list[str]) -> None:
    """Statistics of the ratings."""
    ratings = tfxio.TFExampleRecord(str(examples / f"Split-{RATINGS}" / "*"), telemetry_descriptors=["plain"])
    with beam.Pipeline(options=PipelineOptions(beam_arguments)) as pipeline:
        _ = (
            pipeline
            | "Read" >> ratings.BeamSource()
            | "Statistics" >> tfdv.GenerateStatistics()
            | "Write" >> tfdv.WriteStatisticsToBinaryFile(str(folder / f"{RATINGS}.pb"))
        )


def transform(examples: Path, folder: Path, schema_file: Path, beam_arguments: list[str]) -> None:
    """Vocabularies over all train events and the catalogue, and the transformed examples of the pipeline's splits."""
    schema = text_format.Parse(schema_file.read_text(encoding="utf-8"), schema_pb2.Schema())
    source = tfxio.TFExampleBeamRecord(physical_format="inmem", schema=schema, telemetry_descriptors=["plain"])
    adapter = source.TensorAdapterConfig()
    with (
        beam.Pipeline(options=PipelineOptions(beam_arguments)) as pipeline,
        tft_beam.Context(temp_dir=str(folder / "temporary")),
    ):
        found = timelines(pipeline, examples)
        catalog = pipeline | "ReadCatalog" >> beam.io.ReadFromTFRecord(
            str(examples / f"Split-{features.CATALOG}" / "*")
        )
        raw = {features.TRAIN: only(found, features.TRAIN), features.EVAL: only(found, features.EVAL)}
        raw[features.CATALOG] = catalog
        splits = {name: records | f"Batch[{name}]" >> source.BeamSource() for name, records in raw.items()}
        analysed = [splits[features.TRAIN], splits[features.CATALOG]] | beam.Flatten()
        function = (analysed, adapter) | tft_beam.AnalyzeDataset(preprocessing_fn)
        _ = function | tft_beam.WriteTransformFn(str(folder))
        _ = dataset_metadata.DatasetMetadata(schema) | tft_beam.WriteMetadata(str(folder / "metadata"), pipeline)
        for name, records in splits.items():
            transformed, metadata = ((records, adapter), function) | f"Transform[{name}]" >> tft_beam.TransformDataset(
                output_record_batches=True
            )
            coder = RecordBatchToExamplesEncoder(metadata.schema)
            _ = (
                transformed
                | f"Encode[{name}]" >> beam.FlatMap(lambda batch, coder=coder: coder.encode(batch[0]))
                | f"Write[{name}]" >> write(folder, name)
            )


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """The pipeline's own features, with a vocabulary over every train event."""
    items = tft.vocabulary(inputs[features.ITEM_ID], vocab_filename=features.ITEM_VOCABULARY)
    return preprocessing.transformed(inputs, items, HISTORY)
