"""Data as the pipeline itself makes it: its own steps up to Transform, and their results in memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components import features
from components.trainer.input_pipeline import Timelines, read_timelines, without_unknown
from components.trainer.run import decide_repeats
from data.dataset import fingerprint
from data.files import is_uri
from data.formats import open_dataset
from pipeline import local_execution, steps
from pipeline.config import PipelineConfig
from pipeline.local_execution import Observer, StepResult
from pipeline.local_pipeline import create_local_pipeline

ENCODE_BATCH = 256


@dataclass(frozen=True)
class Prepared:
    """The splits of a dataset as indices, and the raw examples of the test split.

    Attributes:
        train: timelines to learn from.
        holdout: timelines and targets of the eval split, to choose on.
        test: timelines and targets of the test split, in the order of `raw_test`.
        raw_test: serialized raw examples.
        users: bytes [U], who each test example is about.
        target_ids: bytes [U], what came next.
        item_ids: ids of the items that have an index, in order; the most frequent of the train split first.
        transform_graph: folder of what Transform left.
        raw: folder of each raw split.
        transformed: folder of each transformed split.
        recommends_seen: whether items that a user had before are recommended.
    """

    train: Timelines
    holdout: Timelines
    test: Timelines
    raw_test: list[bytes]
    users: np.ndarray
    target_ids: np.ndarray
    item_ids: list[str]
    transform_graph: Path
    raw: dict[str, Path]
    transformed: dict[str, Path]
    recommends_seen: bool = False

    @property
    def size(self) -> int:
        """Number of item indices V, PADDING and UNKNOWN included."""
        return len(self.item_ids) + features.FIRST_INDEX

    @property
    def fingerprint(self) -> str:
        """SHA-256, hexadecimal, of the sorted lines `user<TAB>target` of the test split: who is tested on what."""
        return pairs_fingerprint(self.users, self.target_ids)


def pairs_fingerprint(users: np.ndarray, targets: np.ndarray) -> str:
    """SHA-256, hexadecimal, of the sorted lines `user<TAB>target`; both bytes [U]."""
    lines = sorted(b"%s\t%s\n" % pair for pair in zip(users.tolist(), targets.tolist(), strict=True))
    return hashlib.sha256(b"".join(lines)).hexdigest()


def run_steps(
    data: Path | str, config: PipelineConfig, output: Path, cache_dir: Path, observer: Observer, last: str
) -> dict[str, StepResult]:
    """Runs the local pipeline up to a step; results of earlier runs in the same folder come from TFX's cache.

    Args:
        data: path or URI of a log of interactions.
        config: what to compute.
        output: folder of artifacts and metadata, as `local_runner.py --output` takes it.
        cache_dir: folder for unpacked archives.
        observer: told of every step.
        last: name of the last step.

    Raises:
        DataError: the data cannot be read.
        StepFailed: a step raised an error.
    """
    output = output.resolve()
    data = data if is_uri(str(data)) else Path(data).absolute()
    # Other data in the same folder is another experiment, not next week.
    unstopped = config.validation.model_copy(update={"stop": False})
    pipeline = create_local_pipeline(
        config.model_copy(update={"validation": unstopped}),
        data,
        fingerprint(open_dataset(data, cache_dir, config.reading)),
        output / config.name,
        output / "serving_models",
        cache_dir,
        enable_cache=True,
    )
    results = local_execution.run(pipeline, observer, to_nodes=[last])
    return {result.name: result for result in results}


def prepare(data: Path, config: PipelineConfig, output: Path, cache_dir: Path, observer: Observer) -> Prepared:
    """Run the steps up to Transform and read what they left; arguments and errors are those of `run_steps`."""
    results = run_steps(data, config, output, cache_dir, observer, steps.TRANSFORM)
    made = results[steps.TRANSFORM].outputs
    transform_graph = Path(made["transform_graph"][0].uri)
    transform_output = tft.TFTransformOutput(str(transform_graph))
    raw, transformed = (
        {folder.name.removeprefix("Split-"): folder for folder in Path(examples.uri).glob("Split-*")}
        for examples in (results[steps.EXAMPLE_GEN].outputs["examples"][0], made["transformed_examples"][0])
    )
    raw_test = read_raw(raw[features.TEST])
    train = read_timelines(split_files(transformed[features.TRAIN]), transform_output)
    return Prepared(
        train=train,
        holdout=read_timelines(split_files(transformed[features.EVAL]), transform_output),
        test=encode(raw_test, transform_output),
        raw_test=raw_test,
        users=raw_values(raw_test, features.USER_ID),
        target_ids=raw_values(raw_test, features.TARGET_ID),
        item_ids=[id_.decode() for id_ in transform_output.vocabulary_by_name(features.ITEM_VOCABULARY)],
        transform_graph=transform_graph,
        raw=raw,
        transformed=transformed,
        recommends_seen=decide_repeats(config.trainer, without_unknown(train)).recommends_seen,
    )


def encode(raw_examples: list[bytes], transform_output: tft.TFTransformOutput) -> Timelines:
    """Raw examples -> timelines, in the same order.

    Transform materialises train and eval alone. The test split goes through the graph that it saved, as in serving, and
    through the reader of the other splits.
    """
    coder = tft.coders.ExampleProtoCoder(transform_output.transformed_metadata.schema)
    with tempfile.TemporaryDirectory() as scratch:
        file = str(Path(scratch) / "examples.gz")
        with tf.io.TFRecordWriter(file, options="GZIP") as writer:
            for row in _transformed_rows(raw_examples, transform_output):
                writer.write(coder.encode(row))
        return read_timelines([file], transform_output)


def _transformed_rows(
    raw_examples: list[bytes], transform_output: tft.TFTransformOutput
) -> Iterator[dict[str, np.ndarray]]:
    transform = transform_output.transform_features_layer()
    raw_spec = transform_output.raw_feature_spec()
    for batch in batches(raw_examples):
        columns = transform(tf.io.parse_example(batch, raw_spec))
        rows = {
            name: tf.RaggedTensor.from_sparse(tf.sparse.reorder(column))
            if isinstance(column, tf.SparseTensor)
            else column
            for name, column in columns.items()
        }
        for number in range(len(batch)):
            yield {name: column[number].numpy() for name, column in rows.items()}


def batches(examples: list[bytes]) -> Iterator[list[bytes]]:
    """Examples by ENCODE_BATCH at a time."""
    for first in range(0, len(examples), ENCODE_BATCH):
        yield examples[first : first + ENCODE_BATCH]


def split_files(folder: Path) -> list[str]:
    """The record files of a split."""
    return sorted(str(path) for path in folder.iterdir())


def read_raw(folder: Path) -> list[bytes]:
    """The serialized raw examples of a split."""
    dataset: Iterable[bytes] = tf.data.TFRecordDataset(split_files(folder), compression_type="GZIP").as_numpy_iterator()
    return list(dataset)


def raw_values(raw_examples: list[bytes], name: str) -> np.ndarray:
    """The one value of a bytes feature of each raw example, bytes [U]."""
    return np.array(
        [tf.train.Example.FromString(raw).features.feature[name].bytes_list.value[0] for raw in raw_examples]
    )
