"""The Beam pipeline of ExampleGen.

Few and large elements travel: a byte range of the ratings file, the ratings of many users, the serialized examples of
many timelines.
"""

from __future__ import annotations

import collections
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import Artifact, artifact_utils

from components import features
from components.errors import StepError
from components.example_gen import timelines
from components.example_gen.records import ExampleWriter, ItemLookup, item_records
from components.example_gen.remote import bring_here
from components.example_gen.settings import ExampleGenSettings
from components.example_gen.sink import WriteExamples
from components.example_gen.timelines import Ratings
from data.formats import Dataset, fingerprint, open_dataset
from data.readers import ByteRange, Item, ratings_ranges, read_items, read_ratings

# Bytes of ratings that are grouped together: small enough for a worker's memory, large enough for columnar work.
PARTITION_BYTES = 16 << 20
BAD_ROWS_SHOWN = 5

# Names of the pieces of information that are counted while ratings travel.
RATINGS, DUPLICATES, USERS, SHORT_USERS = "ratings", "duplicates", "users", "short_users"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Writes the splits and the catalogue."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See the base class.

        Raises:
            DataError: the data cannot be read.
            StepError: a split is empty, or the data changed while it was read.
        """
        settings = ExampleGenSettings.model_validate_json(exec_properties["settings"])
        cache_dir = exec_properties["cache_dir"]
        dataset = open_dataset(bring_here(exec_properties["data"], cache_dir), cache_dir)
        before = _stamp(dataset)
        items = read_items(dataset)
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        catalog = artifact_utils.get_single_instance(output_dict["catalog"])
        fileio.makedirs(catalog.uri)

        with self._make_beam_pipeline() as pipeline:
            splits, item_counts, train_counts, facts = pipeline | BuildTimelines(dataset, settings)
            splits[features.CATALOG] = item_counts | "Items" >> beam.Map(
                catalog_records, items, beam.pvalue.AsSingleton(train_counts)
            )
            for split, records in splits.items():
                _ = records | f"Write[{split}]" >> WriteExamples(os.path.join(examples.uri, f"Split-{split}"))
            _ = item_counts | "WriteCatalog" >> beam.Map(write_catalog, items, catalog.uri)
            _ = facts | "WriteFacts" >> beam.Map(write_json, os.path.join(catalog.uri, "facts.json"))

        facts = json.loads(_read(os.path.join(catalog.uri, "facts.json")))
        data_fingerprint = check_unchanged(dataset, exec_properties["data_fingerprint"], before)
        summary = summarise(dataset, data_fingerprint, facts, catalog.uri)
        check(summary, settings)
        write_json(summary, os.path.join(catalog.uri, "dataset.json"))
        fileio.remove(os.path.join(catalog.uri, "facts.json"))

        examples.split_names = artifact_utils.encode_split_names([*features.SPLITS, features.CATALOG])
        examples.set_string_custom_property("data_fingerprint", summary["fingerprint"])
        catalog.data_name, catalog.data_fingerprint = summary["name"], summary["fingerprint"]
        catalog.ratings, catalog.users, catalog.items = (summary[key] for key in ("ratings", "users", "items"))


class BuildTimelines(beam.PTransform):
    """Ratings -> lists of serialized examples by split, counts by item, and facts about the data.

    Args:
        dataset: where the ratings are.
        settings: which split.
    """

    def __init__(self, dataset: Dataset, settings: ExampleGenSettings):
        super().__init__()
        self._dataset = dataset
        self._settings = settings

    def expand(
        self, pipeline: beam.Pipeline
    ) -> tuple[dict[str, beam.PCollection], beam.PCollection, beam.PCollection, beam.PCollection]:
        """Returns (records by split, one (ids, counts) of all ratings, one of the train split, one dict of facts)."""
        ranges = ratings_ranges(self._dataset)
        size = sum(part.stop - part.start for part in ranges)
        read = (
            pipeline
            | "Ranges" >> beam.Create(ranges, reshuffle=True)
            | "Read"
            >> beam.ParDo(
                ReadRatings(self._dataset, self._settings.max_bad_rows, 1 + size // PARTITION_BYTES)
            ).with_outputs("times", "bad_rows", main="ratings")
        )
        cuts = read.times | "Times" >> beam.combiners.ToList() | "Cuts" >> beam.Map(_cuts, self._settings)
        grouped = (
            read.ratings
            | "GroupByPartition" >> beam.GroupByKey()
            | "Timelines"
            >> beam.ParDo(SplitTimelines(self._settings), beam.pvalue.AsSingleton(cuts)).with_outputs(
                "train_counts", "all_counts", "facts", main="rows"
            )
        )
        train_counts = grouped.train_counts | "TrainCounts" >> beam.combiners.ToList() | "Sum" >> beam.Map(sum_counts)
        records = grouped.rows | "Serialize" >> beam.ParDo(
            Serialize(), beam.pvalue.AsSingleton(train_counts)
        ).with_outputs(*features.SPLITS)
        counts = grouped.all_counts | "AllCounts" >> beam.combiners.ToList() | "SumAll" >> beam.Map(sum_counts)
        bad_rows = read.bad_rows | "BadRows" >> beam.combiners.ToList()
        facts = (
            grouped.facts
            | "Facts" >> beam.combiners.ToList()
            | "SumFacts" >> beam.Map(_sum_facts, beam.pvalue.AsSingleton(bad_rows), self._settings.max_bad_rows)
        )
        return {split: records[split] for split in features.SPLITS}, counts, train_counts, facts


class ReadRatings(beam.DoFn):
    """A byte range -> (partition, ratings), every user's ratings in one partition."""

    def __init__(self, dataset: Dataset, max_bad_rows: int, partitions: int):
        self._dataset = dataset
        self._max_bad_rows = max_bad_rows
        self._partitions = partitions

    def process(self, byte_range: ByteRange) -> Iterator[Any]:
        """Reads one range; `times` and `bad_rows` are side outputs."""
        chunk = read_ratings(self._dataset, byte_range)
        described = [bad.describe(self._dataset.ratings) for bad in chunk.bad_rows]
        if len(described) > self._max_bad_rows:
            raise bad_rows_error(described, self._max_bad_rows)
        yield from (beam.pvalue.TaggedOutput("bad_rows", line) for line in described)
        ratings = Ratings(chunk.user, chunk.item, chunk.rating, chunk.timestamp, chunk.position)
        if not len(ratings):
            return
        yield beam.pvalue.TaggedOutput("times", timelines.summarise_times(ratings.timestamp))
        users, user = np.unique(ratings.user, return_inverse=True)
        partition = np.array([zlib.crc32(name) % self._partitions for name in users.tolist()])[user]
        for number in np.unique(partition).tolist():
            yield number, ratings.take(np.flatnonzero(partition == number))


class SplitTimelines(beam.DoFn):
    """The ratings of a partition -> the rows of its users."""

    def __init__(self, settings: ExampleGenSettings):
        self._settings = settings

    def process(self, element: tuple[int, Iterable[Ratings]], cuts: tuple[int, int] | None) -> Iterator[Any]:
        """Emits (ratings, rows); counts and facts are side outputs."""
        grouped = timelines.group(Ratings.concatenate(list(element[1])))
        rows = timelines.by_split(timelines.split_rows(grouped, self._settings, cuts))
        ratings = grouped.ratings
        trained = np.zeros(len(ratings), bool)
        if features.TRAIN in rows:
            train = rows[features.TRAIN]
            for start, stop in zip(train.start.tolist(), train.stop.tolist(), strict=True):
                trained[start:stop] = True
        yield ratings, rows
        yield beam.pvalue.TaggedOutput("train_counts", np.unique(ratings.item[trained], return_counts=True))
        yield beam.pvalue.TaggedOutput("all_counts", np.unique(ratings.item, return_counts=True))
        lengths = np.diff(grouped.starts)
        facts = {
            RATINGS: len(ratings),
            DUPLICATES: grouped.duplicates,
            USERS: len(lengths),
            SHORT_USERS: int((lengths < self._settings.min_ratings).sum()),
            **{split: len(of_split) for split, of_split in rows.items()},
        }
        yield beam.pvalue.TaggedOutput("facts", facts)


class Serialize(beam.DoFn):
    """Rows -> lists of serialized examples, one output a split."""

    def process(
        self, element: tuple[Ratings, dict[str, timelines.Rows]], train_counts: tuple[np.ndarray, np.ndarray]
    ) -> Iterator[Any]:
        """Serializes the rows of one partition."""
        ratings, rows = element
        ids, counts = train_counts
        cold = features.POPULARITY_BUCKETS.index("cold")
        write = ExampleWriter(ItemLookup(ids, timelines.popularity_buckets(counts), cold))
        for split, of_split in rows.items():
            yield from (beam.pvalue.TaggedOutput(split, block) for block in write(ratings, of_split))


def sum_counts(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Sum (ids, counts) of several partitions: ids bytes [I] sorted, counts int64 [I]."""
    if not parts:
        return np.empty(0, "S1"), np.empty(0, np.int64)
    ids, position = np.unique(np.concatenate([ids for ids, _ in parts]), return_inverse=True)
    counts = np.bincount(position, np.concatenate([counts for _, counts in parts]), len(ids))
    return ids, counts.astype(np.int64)


def bad_rows_error(described: list[str], limit: int) -> StepError:
    """The error for more bad rows than are allowed."""
    shown = "; ".join(described[:BAD_ROWS_SHOWN])
    more = f"; and {len(described) - BAD_ROWS_SHOWN:,} more" if len(described) > BAD_ROWS_SHOWN else ""
    found = f"{len(described):,} bad row{'s' if len(described) > 1 else ''}"
    return StepError(f"{shown}{more} ({found}, {limit:,} allowed; --max-bad-rows N skips up to N)")


def all_items(counts: tuple[np.ndarray, np.ndarray], items: list[Item]) -> list[Item]:
    """The known items, then those that were rated but are not known."""
    known = {item.id for item in items}
    rated = [id_.decode() for id_ in counts[0].tolist()]
    return items + [Item(id_, f"Item {id_}") for id_ in rated if id_ not in known]


def catalog_records(
    counts: tuple[np.ndarray, np.ndarray], items: list[Item], train_counts: tuple[np.ndarray, np.ndarray]
) -> list[bytes]:
    """The raw examples of all items; `counts` are of all ratings."""
    everything = all_items(counts, items)
    events = ItemLookup(*train_counts, 0)(np.array([item.id.encode() for item in everything], "S"))
    return item_records(
        [(item.id, item.features, count) for item, count in zip(everything, events.tolist(), strict=True)]
    )


def write_catalog(counts: tuple[np.ndarray, np.ndarray], items: list[Item], uri: str) -> None:
    """Write `items.jsonl`, one line an item, and how many were rated."""
    everything = all_items(counts, items)
    ids, numbers = counts
    rated = dict(zip((id_.decode() for id_ in ids.tolist()), numbers.tolist(), strict=True))
    lines = [
        {
            "id": item.id,
            "title": item.title,
            "genres": list(item.genres),
            "year": item.year,
            "ratings": rated.get(item.id, 0),
        }
        for item in everything
    ]
    _write(os.path.join(uri, "items.jsonl"), "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    write_json(
        {"items": len(counts[0]), "unknown_items": len(everything) - len(items)}, os.path.join(uri, "counts.json")
    )


def summarise(dataset: Dataset, data_fingerprint: str, facts: dict[str, Any], uri: str) -> dict[str, Any]:
    """What `dataset.json` says of the data."""
    counts_path = os.path.join(uri, "counts.json")
    counts = json.loads(_read(counts_path))
    fileio.remove(counts_path)
    return {
        "name": dataset.name,
        "fingerprint": data_fingerprint,
        "ratings": facts[RATINGS],
        "users": facts[USERS],
        **counts,
        "duplicates": facts[DUPLICATES],
        "short_users": facts[SHORT_USERS],
        "bad_rows": facts["bad_rows"],
        "split": {split: facts.get(split, 0) for split in features.SPLITS},
    }


def check(summary: dict[str, Any], settings: ExampleGenSettings) -> None:
    """Raise if there is nothing to train or to test on."""
    if summary["users"] == summary["short_users"]:
        raise StepError(
            f"{summary['name']}: none of {summary['users']:,} users has {settings.min_ratings} ratings or more: "
            "a history, an item to choose on and one to test on are needed"
        )
    for split, rows in summary["split"].items():
        if not rows:
            raise StepError(
                f"{summary['name']}: the {split} split is empty with example_gen.split {settings.split!r}: "
                "check the timestamps, or change eval_fraction and test_fraction"
            )


def check_unchanged(dataset: Dataset, expected: str, before: list[tuple[int, int]]) -> str:
    """The fingerprint of the data that was read: what is cached and told under it must be made of it.

    Args:
        dataset: that was read.
        expected: its fingerprint as the run started; empty where it was not known.
        before: its stamp before it was read.

    Raises:
        StepError: the data changed in the meantime.
    """
    found = fingerprint(dataset)
    if _stamp(dataset) != before or found != (expected or found):
        raise StepError(
            f"{dataset.ratings.path}: this file, or the items beside it, changed while the run read it; run again when "
            "nobody writes there, or on a copy"
        )
    return found


def _stamp(dataset: Dataset) -> list[tuple[int, int]]:
    """Size and time of the last change of the files of a dataset."""
    found = [table.path.stat() for table in (dataset.ratings, dataset.items) if table is not None]
    return [(one.st_size, one.st_mtime_ns) for one in found]


def write_json(value: Any, path: str) -> None:
    """Write a value as JSON."""
    _write(path, json.dumps(value, indent=1))


def _cuts(parts: list[tuple[np.ndarray, np.ndarray]], settings: ExampleGenSettings) -> tuple[int, int] | None:
    if settings.split != "temporal" or not parts:
        return None
    times, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return timelines.temporal_cuts(times, weights, settings)


def _sum_facts(parts: list[dict[str, int]], bad_rows: list[str], max_bad_rows: int) -> dict[str, Any]:
    if len(bad_rows) > max_bad_rows:
        raise bad_rows_error(sorted(bad_rows), max_bad_rows)
    total: collections.Counter[str] = collections.Counter()
    for part in parts:
        total.update(part)
    return {**{RATINGS: 0, DUPLICATES: 0, USERS: 0, SHORT_USERS: 0}, **total, "bad_rows": sorted(bad_rows)}


def _read(path: str) -> str:
    with fileio.open(path) as stream:
        return stream.read()


def _write(path: str, text: str) -> None:
    with fileio.open(path, "w") as stream:
        stream.write(text)
