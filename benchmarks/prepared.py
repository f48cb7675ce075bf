"""Runs the pipeline's steps up to Transform, and reads their outputs into memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components import features
from components.trainer.decisions import decide_repeats
from components.trainer.input_pipeline import Timelines, read_timelines, without_unknown
from data.dataset import fingerprint
from data.files import is_uri
from data.formats import open_dataset
from pipeline import local_execution, steps
from pipeline.config import PipelineConfig
from pipeline.console import ConsoleObserver
from pipeline.local_execution import StepResult
from pipeline.local_pipeline import create_local_pipeline

ENCODE_BATCH = 256


@dataclass(frozen=True)
class Prepared:
    """The splits of a dataset as indices, and the raw examples of the test split.

    Attributes:
        train: timelines of the train split.
        holdout: timelines and targets of the eval split.
        test: timelines and targets of the test split, in the order of `raw_test`.
        raw_test: serialized raw examples.
        users: bytes [U], user id of each test example.
        target_ids: bytes [U], item id of each test target.
        item_ids: ids of the items that have an index, in order of the index: the most frequent in the train split
            first.
        recommends_seen: whether items that a user had before are recommended.
    """

    train: Timelines
    holdout: Timelines
    test: Timelines
    raw_test: list[bytes]
    users: np.ndarray
    target_ids: np.ndarray
    item_ids: list[str]
    recommends_seen: bool = False

    @property
    def size(self) -> int:
        """Returns the number of item indices V, with PADDING and UNKNOWN."""
        return len(self.item_ids) + features.FIRST_INDEX

    @property
    def fingerprint(self) -> str:
        """Returns the hexadecimal SHA-256 of the sorted lines `user<TAB>target` of the test split."""
        return pairs_fingerprint(self.users, self.target_ids)


def pairs_fingerprint(users: np.ndarray, targets: np.ndarray) -> str:
    """Returns the hexadecimal SHA-256 of the sorted lines `user<TAB>target`; users and targets are bytes [U]."""
    lines = sorted(b"%s\t%s\n" % pair for pair in zip(users.tolist(), targets.tolist(), strict=True))
    return hashlib.sha256(b"".join(lines)).hexdigest()


def run_steps(
    data: Path | str, config: PipelineConfig, output: Path, cache_dir: Path, observer: ConsoleObserver, last: str
) -> dict[str, StepResult]:
    """Runs the local pipeline up to a step. TFX's cache provides the outputs of earlier runs in the same folder.

    Args:
        data: path or URI of an interaction log.
        config: configuration of the pipeline.
        output: folder of artifacts and metadata, as in `local_runner.py --output`.
        cache_dir: folder for unpacked archives.
        observer: receives the progress of the steps.
        last: name of the last step.

    Raises:
        DataError: the data cannot be read.
        StepFailed: a step raised an error.
    """
    output = output.resolve()
    data = data if is_uri(str(data)) else Path(data).absolute()
    # Other data in the same folder is another experiment, not a drifted log.
    validation = config.validation.model_copy(update={"stop": False})
    pipeline = create_local_pipeline(
        config.model_copy(update={"validation": validation}),
        data,
        fingerprint(open_dataset(data, cache_dir, config.reading)),
        output / config.name,
        output / "serving_models",
        cache_dir,
        enable_cache=True,
    )
    results = local_execution.run(pipeline, observer, to_nodes=[last])
    return {result.name: result for result in results}


def prepare(data: Path, config: PipelineConfig, output: Path, cache_dir: Path, observer: ConsoleObserver) -> Prepared:
    """Runs the steps up to Transform and reads their outputs; arguments and errors are those of `run_steps`."""
    results = run_steps(data, config, output, cache_dir, observer, steps.TRANSFORM)
    raw = results[steps.EXAMPLE_GEN].outputs["examples"][0].uri
    transform = results[steps.TRANSFORM].outputs
    transformed = transform["transformed_examples"][0].uri
    transform_output = tft.TFTransformOutput(transform["transform_graph"][0].uri)
    test_files = _split_files(raw, features.TEST)
    raw_test = list(tf.data.TFRecordDataset(test_files, compression_type="GZIP").as_numpy_iterator())
    train = read_timelines(_split_files(transformed, features.TRAIN), transform_output)
    return Prepared(
        train=train,
        holdout=read_timelines(_split_files(transformed, features.EVAL), transform_output),
        test=_encode(raw_test, transform_output),
        raw_test=raw_test,
        users=_raw_values(raw_test, features.USER_ID),
        target_ids=_raw_values(raw_test, features.TARGET_ID),
        item_ids=[id_.decode() for id_ in transform_output.vocabulary_by_name(features.ITEM_VOCABULARY)],
        recommends_seen=decide_repeats(config.trainer, without_unknown(train)).recommends_seen,
    )


def batches(examples: list[bytes]) -> Iterator[list[bytes]]:
    """Yields ENCODE_BATCH examples at a time."""
    for first in range(0, len(examples), ENCODE_BATCH):
        yield examples[first : first + ENCODE_BATCH]


def _encode(raw_examples: list[bytes], transform_output: tft.TFTransformOutput) -> Timelines:
    """Converts raw examples to timelines in the same order.

    Transform materialises only the train and eval splits. The test split goes through the saved graph, as in serving,
    and through the reader of the other splits.
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


def _split_files(examples_uri: str, split: str) -> list[str]:
    return sorted(map(str, Path(examples_uri).glob(f"Split-{split}/*")))


def _raw_values(raw_examples: list[bytes], name: str) -> np.ndarray:
    """Returns the value of a bytes feature with one value in each raw example, bytes [U]."""
    return np.array(
        [tf.train.Example.FromString(raw).features.feature[name].bytes_list.value[0] for raw in raw_examples]
    )
