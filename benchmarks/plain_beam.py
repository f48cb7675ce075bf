"""What ExampleGen, StatisticsGen and Transform do, as one would first write it in Beam: an element for every rating.

Kept to be compared with: each line becomes a dict, dicts are grouped by user, each user's are sorted and turned into
`tf.train.Example`s field by field; statistics and vocabularies are taken of what was written, by the libraries' own
transforms. Its records equal the pipeline's, for the `leave_one_out` split of data in MovieLens' CSV layout. The order
of ties in time is that of the file only where the runner keeps it, as one process does.
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
LEAST_RATINGS = 3  # of a user in a split
HISTORY = 200  # activities in a fixed-length history, as by default


def ingest(data: Path, folder: Path, beam_arguments: list[str]) -> None:
    """Ratings and films -> raw examples of `components/features.py`, a folder a split."""
    with beam.Pipeline(options=PipelineOptions(beam_arguments)) as pipeline:
        timelines = (
            pipeline
            | "ReadRatings" >> beam.io.ReadFromText(str(data / "ratings.csv"), skip_header_lines=1)
            | "Parse" >> beam.Map(parse)
            | "KeyByUser" >> beam.Map(lambda rating: (rating["user"], rating))
            | "GroupByUser" >> beam.GroupByKey()
            | "Sort" >> beam.Map(sort)
            | "LongEnough" >> beam.Filter(lambda timeline: len(timeline) >= LEAST_RATINGS)
        )
        counts = (
            timelines
            | "TrainEvents" >> beam.FlatMap(lambda timeline: [rating["item"] for rating in timeline[:-2]])
            | "CountItems" >> beam.combiners.Count.PerElement()
        )
        buckets = counts | "AllCounts" >> beam.combiners.ToList() | "Buckets" >> beam.Map(popularity_buckets)
        examples = timelines | "Split" >> beam.FlatMap(split, beam.pvalue.AsSingleton(buckets))
        for name in features.SPLITS:
            _ = (
                examples
                | f"Only[{name}]" >> beam.Filter(lambda example, name=name: example[0] == name)
                | f"Serialize[{name}]" >> beam.Map(lambda example: example[1].SerializeToString())
                | f"Write[{name}]" >> write(folder, name)
            )
        _ = (
            pipeline
            | "ReadFilms" >> beam.io.ReadFromText(str(data / "movies.csv"), skip_header_lines=1)
            | "Film" >> beam.Map(film)
            | "Write[catalog]" >> write(folder, features.CATALOG)
        )


def parse(line: str) -> Rating:
    """One line of `ratings.csv`."""
    user, item, rating, timestamp = line.split(",")
    return {"user": user, "item": item, "rating": float(rating), "timestamp": int(timestamp)}


def sort(group: tuple[str, Iterable[Rating]]) -> list[Rating]:
    """A user's ratings, oldest first, without exact repeats."""
    timeline: list[Rating] = []
    seen = set()
    for rating in sorted(group[1], key=lambda rating: rating["timestamp"]):
        key = tuple(rating.values())
        if key not in seen:
            seen.add(key)
            timeline.append(rating)
    return timeline


def popularity_buckets(counts: list[tuple[str, int]]) -> dict[str, str]:
    """Which third of all train events each item belongs to."""
    total, before, found = sum(count for _, count in counts), 0, {}
    for item, count in sorted(counts, key=lambda pair: (-pair[1], pair[0])):
        found[item] = features.POPULARITY_BUCKETS[min(3 * before // total, 2)]
        before += count
    return found


def split(timeline: list[Rating], buckets: dict[str, str]) -> Iterator[tuple[str, tf.train.Example]]:
    """The examples of a user, with the split of each."""
    yield features.TRAIN, example(timeline[:-2], None, buckets)
    yield features.EVAL, example(timeline[:-2], timeline[-2], buckets)
    yield features.TEST, example(timeline[:-1], timeline[-1], buckets)


def example(timeline: list[Rating], target: Rating | None, buckets: dict[str, str]) -> tf.train.Example:
    """One timeline, and what came next."""
    found = tf.train.Example()
    feature = found.features.feature
    feature[features.USER_ID].bytes_list.value.append(timeline[0]["user"].encode())
    for rating in timeline:
        feature[features.ITEM_ID].bytes_list.value.append(rating["item"].encode())
        feature[features.RATING].float_list.value.append(rating["rating"])
        feature[features.TIMESTAMP].int64_list.value.append(rating["timestamp"])
    if target is not None:
        bucket = buckets.get(target["item"], "cold")
        feature[features.TARGET_ID].bytes_list.value.append(target["item"].encode())
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
    return found.SerializeToString()


def write(folder: Path, name: str) -> beam.PTransform:
    """Writes serialized examples of a split."""
    return beam.io.WriteToTFRecord(str(folder / f"Split-{name}" / "examples"), file_name_suffix=".gz")


def statistics(examples: Path, folder: Path, beam_arguments: list[str]) -> None:
    """Statistics of every split of timelines."""
    with beam.Pipeline(options=PipelineOptions(beam_arguments)) as pipeline:
        for name in features.SPLITS:
            _ = (
                pipeline
                | f"Read[{name}]" >> source(examples, name).BeamSource()
                | f"Statistics[{name}]" >> tfdv.GenerateStatistics()
                | f"Write[{name}]" >> tfdv.WriteStatisticsToBinaryFile(str(folder / f"{name}.pb"))
            )


def transform(examples: Path, folder: Path, schema_file: Path, beam_arguments: list[str]) -> None:
    """Vocabularies over all train events and the catalogue, and the transformed examples of the pipeline's splits."""
    schema = text_format.Parse(schema_file.read_text(encoding="utf-8"), schema_pb2.Schema())
    with (
        beam.Pipeline(options=PipelineOptions(beam_arguments)) as pipeline,
        tft_beam.Context(temp_dir=str(folder / "temporary")),
    ):
        splits = {
            name: pipeline | f"Read[{name}]" >> source(examples, name, schema).BeamSource()
            for name in (features.TRAIN, features.EVAL, features.CATALOG)
        }
        adapter = source(examples, features.TRAIN, schema).TensorAdapterConfig()
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


def source(examples: Path, name: str, schema: schema_pb2.Schema | None = None) -> tfxio.TFExampleRecord:
    """The records of a split."""
    return tfxio.TFExampleRecord(str(examples / f"Split-{name}" / "*"), schema=schema, telemetry_descriptors=["plain"])
