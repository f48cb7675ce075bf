"""Reads the output of Transform into memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from components import features
from components.trainer.input_pipeline import Timelines, read_catalog, read_timelines, without_unknown

NO_WORDS = "49d0cd50-04bb-48c0-bc6f-5b575dce351a"  # Transform writes this entry into an empty vocabulary.


@dataclass(frozen=True)
class TrainingData:
    """The data that a model is fitted on.

    Attributes:
        train: timelines of the train split, without unknown items.
        holdout: timelines and targets of the eval split; None: the model is fitted on the entire log.
        ids: ids of the items that have an index, in the order of their indices.
        counts: int64 [V], number of train events of each item index.
        pairs: int32 [F, 2], pairs of an item index and the index of one of its tokens.
        tokens: all tokens, in the order of their indices.
        vectors: float32 [V, D], the vectors of the items; D is 0 if the items have no vectors.
        history_length: number of items N that the device sends.
        words: by the name of the model's input, the words of each activity feature that is a column of words, in the
            order of their indices.
    """

    train: Timelines
    holdout: Timelines | None
    ids: list[str]
    counts: np.ndarray
    pairs: np.ndarray
    tokens: list[str]
    vectors: np.ndarray
    history_length: int
    words: dict[str, list[str]] = field(default_factory=dict)


def read_training_data(fn_args: FnArgs) -> TrainingData:
    """Reads the training data from the arguments of a TFX Trainer or Tuner; without eval files there is no holdout."""
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)  # A Tuner has no `transform_output`.
    catalog_files = [files for files in fn_args.train_files if f"Split-{features.CATALOG}" in files]
    timeline_files = [files for files in fn_args.train_files if files not in catalog_files]
    words = _activity_words(transform_output)
    kinds = {name: "word" if vocabulary else "number" for name, vocabulary in words.items()}
    train = without_unknown(read_timelines(timeline_files, transform_output, kinds))
    ids = _vocabulary(transform_output, features.ITEM_VOCABULARY)
    size = len(ids) + features.FIRST_INDEX
    pairs, vectors = read_catalog(catalog_files, transform_output, size)
    return TrainingData(
        train=train,
        holdout=read_timelines(fn_args.eval_files, transform_output, kinds) if fn_args.eval_files else None,
        ids=ids,
        counts=np.bincount(train.items, minlength=size),
        pairs=pairs,
        tokens=_vocabulary(transform_output, features.TOKEN_VOCABULARY),
        vectors=vectors,
        history_length=transform_output.transformed_feature_spec()[features.HISTORY].shape[0],
        words={name: vocabulary for name, vocabulary in words.items() if vocabulary},
    )


def _activity_words(transform_output: tft.TFTransformOutput) -> dict[str, list[str]]:
    """Returns the words of each activity feature that is a column, by input; none for a column of numbers."""
    prefix = features.column_feature(features.TIMELINE, "word", "")
    spec = transform_output.transformed_feature_spec()
    inputs = [name.removeprefix(prefix) for name in spec if name.startswith(prefix)]
    return {name: _vocabulary(transform_output, features.word_vocabulary(name)) for name in inputs}


def _vocabulary(transform_output: tft.TFTransformOutput, name: str) -> list[str]:
    """Returns the words of a vocabulary in the order of their indices."""
    words = [word.decode() for word in transform_output.vocabulary_by_name(name)]
    return [] if words == [NO_WORDS] else words
