"""The executor of ExampleGen, and its Beam pipeline.

The elements of the Beam pipeline are few and large: a byte range of the log, the ratings of many users, the serialized
examples of many timelines.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
import operator
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils
from tfx.utils.typing_utils import ArtifactMultiDict

from components import features
from components.example_gen import timelines
from components.example_gen.blocks import Block, Blocks
from components.example_gen.catalog import catalog_records, write_catalog
from components.example_gen.checks import KIND, bad_rows_error, check, check_events, check_kinds, check_unchanged
from components.example_gen.item_counts import Counts, count_items, sum_counts
from components.example_gen.item_features import learnable
from components.example_gen.records import count_words, timeline_records, word_records
from components.example_gen.settings import ExampleGenSettings
from components.example_gen.sink import write_examples
from components.example_gen.timelines import Ratings
from data.dataset import EVENT, Dataset, Log
from data.files import is_uri
from data.formats import open_dataset
from data.items import read_items
from data.readers import Unit, read_unit, units_of
from data.settings import DataSettings

# Size of a partition of users: small enough for a worker's memory, large enough for columnar processing.
PARTITION_BYTES = 16 << 20
COMPRESSION_RATIO = 4  # about how much larger compressed files are in memory

LOCAL_RUNNER = "--runner=FnApiRunner"

progress = logging.getLogger("recommender.progress")

# The facts of `dataset.json` that the stages count.
FACTS = (
    "ratings",
    "users",
    "duplicates",
    "short_users",
    "repeats",
    "repeated_targets",
    "dropped_repeats",
    "other_events",
)


class Executor(base_beam_executor.BaseBeamExecutor):
    """Writes the splits and the catalogue."""

    def Do(
        self, input_dict: ArtifactMultiDict, output_dict: ArtifactMultiDict, exec_properties: dict[str, Any]
    ) -> None:
        """See the base class.

        Raises:
            DataError: the data cannot be read.
            StepError: a split is empty, or the data changed while it was read.
        """
        settings = ExampleGenSettings.model_validate_json(exec_properties["settings"])
        timeline_splits = [*features.SPLITS, *([features.ALL] if exec_properties.get("with_all") else [])]
        reading = DataSettings.model_validate_json(exec_properties["reading"])
        dataset = open_dataset(exec_properties["data"], exec_properties["cache_dir"], reading)
        check_events(dataset, settings)
        if is_uri(exec_properties["data"]) and not is_uri(dataset.log.files[0].path):
            # A zip is unpacked to the local disk, which remote workers cannot read. The last `--runner` takes effect.
            self._beam_pipeline_args.append(LOCAL_RUNNER)
        items, vectors, described, notes = learnable(read_items(dataset))
        for note in (*dataset.notes, *notes):
            progress.warning("%s", note)
        dataset = dataclasses.replace(dataset, notes=(*dataset.notes, *notes))
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        catalog = artifact_utils.get_single_instance(output_dict["catalog"])
        fileio.makedirs(catalog.uri)
        facts_path = os.path.join(catalog.uri, "facts.json")

        with tempfile.TemporaryDirectory(prefix="blocks-") as folder, self._make_beam_pipeline() as pipeline:
            blocks = Blocks(folder if _is_local(self._beam_pipeline_args or []) else "")
            splits, item_counts, train_counts, words, facts = build_timelines(
                pipeline, dataset, settings, blocks, timeline_splits, bool(exec_properties.get("drop_repeats"))
            )
            splits[features.CATALOG] = item_counts | "Items" >> beam.Map(
                catalog_records, items, vectors, beam.pvalue.AsSingleton(train_counts)
            )
            if words is not None:
                splits[features.WORDS] = words
            for split, records in splits.items():
                _ = records | f"Write[{split}]" >> write_examples(os.path.join(examples.uri, f"Split-{split}"))
            catalog_facts = item_counts | "WriteCatalog" >> beam.Map(write_catalog, items, described, catalog.uri)
            _ = (
                facts
                | "AddCatalogFacts" >> beam.Map(operator.or_, beam.pvalue.AsSingleton(catalog_facts))
                | "WriteFacts" >> beam.Map(write_json, facts_path)
            )

        facts = json.loads(io_utils.read_string_file(facts_path))
        expected = exec_properties["data_fingerprint"]
        data_fingerprint, fingerprint_source = check_unchanged(dataset, expected)
        check_kinds(dataset, settings, facts)
        summary = summarise(dataset, data_fingerprint, fingerprint_source, facts)
        check(summary, settings)
        write_json(summary, os.path.join(catalog.uri, "dataset.json"))
        fileio.remove(facts_path)

        examples.split_names = artifact_utils.encode_split_names(list(splits))
        examples.set_string_custom_property("data_fingerprint", summary["fingerprint"])
        examples.set_string_custom_property("data_fingerprint_of", summary["fingerprint_of"])
        for key in ("name", "fingerprint", "fingerprint_of"):
            catalog.set_string_custom_property(f"data_{key}", summary[key])
        for key in ("ratings", "users", "items"):
            catalog.set_int_custom_property(key, summary[key])


def _is_local(beam_arguments: list[str]) -> bool:
    """Returns whether Beam runs in this process, with all elements in memory."""
    runners = [argument.partition("=")[2] for argument in beam_arguments if argument.startswith("--runner=")]
    return not runners or runners[-1] in ("FnApiRunner", "DirectRunner")


def build_timelines(
    pipeline: beam.Pipeline,
    dataset: Dataset,
    settings: ExampleGenSettings,
    blocks: Blocks,
    splits: Sequence[str],
    drop_repeats: bool,
) -> tuple[
    dict[str, beam.PCollection[Any]],
    beam.PCollection[Any],
    beam.PCollection[Any],
    beam.PCollection[Any] | None,
    beam.PCollection[Any],
]:
    """Adds the stages that read interactions and serialize timelines to a pipeline.

    Args:
        pipeline: the pipeline.
        dataset: the data to read.
        settings: settings of ExampleGen.
        blocks: storage for interactions between the stages.
        splits: names of the splits of timelines.
        drop_repeats: whether each item occurs only once in a timeline.

    Returns:
        Lists of records by split; one element (ids, counts) for all ratings, and one for the train split; records
        of the words of activities, None if the log has no such columns; and one dict of facts.
    """
    log = dataset.log
    read = (
        pipeline
        | "Files" >> beam.Create(range(len(log.files)), reshuffle=True)
        | "Units" >> beam.FlatMap(lambda number: units_of(log, number))
        | "Spread" >> beam.Reshuffle()
        | "Read"
        >> beam.FlatMap(_read_interactions, log, settings, _partitions(log), blocks).with_outputs(
            "times", "bad_rows", "facts", main="interactions"
        )
    )
    cuts = read.times | "Times" >> beam.combiners.ToList() | "Cuts" >> beam.Map(_cuts, settings)
    grouped = (
        read.interactions
        | "GroupByPartition" >> beam.GroupByKey()
        | "Timelines"
        >> beam.FlatMap(
            _split_timelines, settings, blocks, features.ALL in splits, drop_repeats, beam.pvalue.AsSingleton(cuts)
        ).with_outputs("train_counts", "all_counts", "train_words", "all_words", "facts", main="rows")
    )
    # Beam sums the counts of a few partitions at a time: together, they would fill the memory.
    train_counts = grouped.train_counts | "TrainCounts" >> beam.CombineGlobally(sum_counts)
    records = grouped.rows | "Serialize" >> beam.FlatMap(
        _serialize, blocks, bool(settings.events or settings.targets), beam.pvalue.AsSingleton(train_counts)
    ).with_outputs(*splits)
    counts = grouped.all_counts | "AllCounts" >> beam.CombineGlobally(sum_counts)
    bad_rows = read.bad_rows | "BadRows" >> beam.combiners.ToList()
    facts = (
        (grouped.facts, read.facts)
        | "AllFacts" >> beam.Flatten()
        | "Facts" >> beam.combiners.ToList()
        | "SumFacts" >> beam.Map(_sum_facts, beam.pvalue.AsSingleton(bad_rows), settings.max_bad_rows)
    )
    words = None
    if log.activity:
        all_words, train_words = (
            pcollection | name >> beam.CombineGlobally(sum_counts)
            for name, pcollection in (("AllWords", grouped.all_words), ("TrainWords", grouped.train_words))
        )
        words = all_words | "Words" >> beam.Map(word_records, beam.pvalue.AsSingleton(train_words))
    return {split: records[split] for split in splits}, counts, train_counts, words, facts


def _partitions(log: Log) -> int:
    """Returns the number of partitions of users, each of about `PARTITION_BYTES`."""
    size = 0
    for file in log.files:
        is_compressed = file.compression or log.kind == "parquet"
        size += file.size * (COMPRESSION_RATIO if is_compressed else 1)
    return int(1 + size // PARTITION_BYTES)


def _read_interactions(
    unit: Unit, log: Log, settings: ExampleGenSettings, partitions: int, blocks: Blocks
) -> Iterator[Any]:
    """Yields (partition, block of interactions) of a unit of a file; each user belongs to one partition.

    `times`, `bad_rows` and `facts` are additional outputs.
    """
    bad_rows, limit = 0, settings.max_bad_rows
    by_rows = log.clock.kind == "rows"
    for chunk in read_unit(log, unit):
        bad_rows += len(chunk.bad_rows)
        if bad_rows > limit:
            raise bad_rows_error([bad.describe() for bad in chunk.bad_rows], limit)
        yield from (beam.pvalue.TaggedOutput("bad_rows", bad.describe()) for bad in chunk.bad_rows)
        table = timelines.as_table(chunk, settings, by_rows)
        if settings.events or settings.targets:
            kinds = collections.Counter(f"{KIND}{kind}" for kind in chunk.table[EVENT].to_pylist())
            yield beam.pvalue.TaggedOutput("facts", {**kinds, "other_events": len(chunk) - len(table)})
        if not len(table):
            continue
        yield beam.pvalue.TaggedOutput("times", timelines.summarise_times(table["timestamp"].to_numpy()))
        users = table["user"].combine_chunks().dictionary_encode()
        hashes = [zlib.crc32(user.encode()) % partitions for user in users.dictionary.to_pylist()]
        partition = np.array(hashes, np.int64)[users.indices.to_numpy()]
        order = np.argsort(partition, kind="stable")
        numbers, starts = np.unique(partition[order], return_index=True)
        table = table.take(pa.array(order))
        sizes = np.diff(np.append(starts, len(order)))
        tables = [table.slice(start, size) for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)]
        yield from zip(numbers.tolist(), blocks.put(tables), strict=True)


def _split_timelines(
    partition: tuple[int, Iterable[bytes | Block]],
    settings: ExampleGenSettings,
    blocks: Blocks,
    with_all: bool,
    drop_repeats: bool,
    cuts: tuple[int, int] | None,
) -> Iterator[Any]:
    """Groups the interactions of a partition into timelines, and yields (block, rows by split).

    Counts and facts are additional outputs.
    """
    table = pa.concat_tables([blocks.get(block) for block in partition[1]])
    grouped = timelines.group(Ratings.from_table(table))
    ratings = timelines.without_repeats(grouped) if drop_repeats else grouped
    rows = timelines.split_rows(ratings, settings, cuts, with_all)
    train = rows[features.TRAIN]
    trained = np.zeros(len(ratings), bool)
    for start, stop in zip(train.start.tolist(), train.stop.tolist(), strict=True):
        trained[start:stop] = True
    yield blocks.put([ratings.to_table()])[0], rows
    yield beam.pvalue.TaggedOutput("train_counts", count_items(ratings.items, ratings.item[trained]))
    yield beam.pvalue.TaggedOutput("all_counts", count_items(ratings.items, ratings.item))
    if ratings.activity.num_columns:
        yield beam.pvalue.TaggedOutput("train_words", count_words(ratings, trained))
        yield beam.pvalue.TaggedOutput("all_words", count_words(ratings, slice(None)))
    lengths, repeated = np.diff(timelines.bounds_of(ratings)), timelines.repeats(ratings)
    facts = {
        "ratings": len(ratings),
        "duplicates": len(table) - len(grouped),
        "users": len(lengths),
        "short_users": int((lengths < settings.min_interactions).sum()),
        "repeats": int(repeated.sum()),
        "dropped_repeats": len(grouped) - len(ratings),
        "repeated_targets": int(repeated[rows[features.TEST].target].sum()),
        **{split: len(split_rows) for split, split_rows in rows.items()},
    }
    yield beam.pvalue.TaggedOutput("facts", facts)


def _serialize(
    partition: tuple[bytes | Block, dict[str, timelines.Rows]], blocks: Blocks, weighted: bool, train_counts: Counts
) -> Iterator[Any]:
    """Yields lists of serialized examples of a partition; each split is an output."""
    block, rows = partition
    ids, counts = train_counts
    ratings = Ratings.from_table(blocks.get(block))
    popularity = (ids, timelines.popularity_buckets(counts))
    for split, split_rows in rows.items():
        for records in timeline_records(ratings, split_rows, popularity, weighted):
            yield beam.pvalue.TaggedOutput(split, records)


def summarise(
    dataset: Dataset, data_fingerprint: str, fingerprint_source: str, facts: dict[str, Any]
) -> dict[str, Any]:
    """Returns the content of `dataset.json`."""
    notes, similar_ids = list(dataset.notes), facts["similar_ids"]
    if dataset.items and 2 * facts["unknown_items"] > facts["items"]:
        notes.append(
            f"{facts['unknown_items']:,} of the {facts['items']:,} items of the log have no row in "
            f"{dataset.items.file.name}" + (f": compare {similar_ids} in the items file" if similar_ids else "")
        )
        progress.warning("%s", notes[-1])
    return {
        "name": dataset.name,
        "fingerprint": data_fingerprint,
        "fingerprint_of": fingerprint_source,
        "files": len(dataset.log.files),
        "notes": notes,
        **{name: facts[name] for name in (*FACTS, "items", "unknown_items", "bad_rows")},
        "split": {split: facts[split] for split in features.SPLITS},
    }


def write_json(value: Any, path: str) -> None:
    """Writes a value as JSON."""
    io_utils.write_string_file(path, json.dumps(value, indent=1))


def _cuts(parts: list[tuple[np.ndarray, np.ndarray]], settings: ExampleGenSettings) -> tuple[int, int] | None:
    if settings.split == "leave_one_out" or not parts:
        return None
    times, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return timelines.temporal_cuts(times, weights, settings)


def _sum_facts(parts: list[dict[str, int]], bad_rows: list[str], max_bad_rows: int) -> dict[str, Any]:
    if len(bad_rows) > max_bad_rows:
        raise bad_rows_error(sorted(bad_rows), max_bad_rows)
    total: collections.Counter[str] = collections.Counter()
    for part in parts:
        total.update(part)
    return {**dict.fromkeys((*FACTS, *features.SPLITS), 0), **total, "bad_rows": sorted(bad_rows)}
