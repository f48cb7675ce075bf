"""Timelines of ids -> vocabularies, indices and fixed-length histories."""

from __future__ import annotations

import re
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components import features
from components.transform.settings import TransformSettings

MOST_WORDS = 1000  # of a feature of activities; rarer ones count as missing


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Transform's work on a batch of `B` raw examples.

    The vocabularies are made of the catalog and words splits, where each item and word stands once with its number of
    train events: TFX runs the analyzers on these splits and has no need to read the timelines twice. Items are in order
    of that number, most frequent first.

    Args:
        inputs: the raw features of `components/features.py`, sparse.
        custom_config: `settings`, the `TransformSettings` as a dict; `item_features`, the names of the features that
            the model knows items by, where items without train events may have an index; `activity_columns`, the
            model's inputs for columns of the log, in their order; and `refit`, whether the events of all splits count,
            and every item that the model can know has an index.

    Returns:
        The transformed features of `components/features.py`.
    """
    settings = TransformSettings(**custom_config["settings"])
    refit = custom_config.get("refit", False)
    items = _item_vocabulary(inputs, settings, custom_config.get("item_features", []), refit)
    return {
        **transformed(inputs, items, settings.history_length),
        **_activities(inputs, custom_config.get("activity_columns", []), settings.history_length, refit),
    }


def transformed(inputs: dict[str, Any], items: tf.Tensor, history_length: int) -> dict[str, Any]:
    """The transformed features, with the vocabulary of `items`."""
    tokens = tft.vocabulary(inputs[features.CATALOG_TOKENS], vocab_filename=features.TOKEN_VOCABULARY)
    timeline = _ragged(_indices_of(inputs[features.ITEM_ID], items))
    ratings = _ragged(inputs[features.RATING])
    times = _ragged(inputs[features.TIMESTAMP])
    return {
        features.TIMELINE: timeline.to_sparse(),
        features.TIMELINE_RATING: ratings.to_sparse(),
        features.TIMELINE_TIME: times.to_sparse(),
        features.TIMELINE_WEIGHT: inputs[features.WEIGHT],
        features.HISTORY: _last(timeline, history_length),
        features.HISTORY_RATING: _last(ratings, history_length),
        features.HISTORY_TIME: _last(times, history_length),
        features.TARGET: _single(inputs[features.TARGET_ID], items),
        features.ITEM: _single(inputs[features.CATALOG_ITEM_ID], items),
        features.ITEM_VECTOR: inputs[features.CATALOG_VECTOR],
        features.ITEM_TOKENS: _indices_of(inputs[features.CATALOG_TOKENS], tokens),
    }


def _activities(inputs: dict[str, Any], columns: list[str], length: int, refit: bool) -> dict[str, Any]:
    """Returns the transformed features of columns of the log, named as the model's inputs are."""
    if not columns:
        return {}
    splits = _ragged(inputs[features.ITEM_ID]).row_splits
    words, numbers = (
        tf.reshape(inputs[name].values, [-1, len(columns)])
        for name in (features.ACTIVITY_WORDS, features.ACTIVITY_NUMBERS)
    )
    events = inputs[features.WORD_EVENTS if refit else features.WORD_TRAIN_EVENTS].values
    transformed_columns = {}
    for number, name in enumerate(columns):
        chosen = (inputs[features.WORD_COLUMN].values == number) & (events > 0)
        vocabulary = tft.vocabulary(
            tf.boolean_mask(inputs[features.WORD].values, chosen),
            weights=tf.cast(tf.boolean_mask(events, chosen), tf.float32),
            top_k=MOST_WORDS,
            vocab_filename=features.word_vocabulary(name),
        )
        given = words[:, number]
        indices = tf.where(given == "", tf.constant(features.PADDING, tf.int64), _indices(given, vocabulary))
        for kind, values in (("word", indices), ("number", numbers[:, number])):
            timeline = tf.RaggedTensor.from_row_splits(values, splits)
            transformed_columns[features.column_feature(features.TIMELINE, kind, name)] = timeline.to_sparse()
            transformed_columns[features.column_feature(features.HISTORY, kind, name)] = _last(timeline, length)
    return transformed_columns


def _item_vocabulary(
    inputs: dict[str, Any], settings: TransformSettings, item_features: list[str], refit: bool
) -> tf.Tensor:
    """Returns the items that have an index: those with enough events, and perhaps those that features describe."""
    events = inputs[features.CATALOG_EVENTS if refit else features.CATALOG_TRAIN_EVENTS].values
    chosen = events >= settings.min_item_count
    if refit or settings.catalog == "all":
        tokens = inputs[features.CATALOG_TOKENS]
        names = "|".join(map(re.escape, item_features))
        learnt = tf.strings.regex_full_match(tokens.values, f"(?s)({names})=.*")
        rows = tf.cast(tf.size(events), tf.int64)
        chosen |= tf.math.unsorted_segment_sum(tf.cast(learnt, tf.int32), tokens.indices[:, 0], rows) > 0
    return tft.vocabulary(
        tf.boolean_mask(inputs[features.CATALOG_ITEM_ID].values, chosen),
        weights=tf.cast(tf.boolean_mask(events, chosen), tf.float32),
        vocab_filename=features.ITEM_VOCABULARY,
    )


def _last(values: tf.RaggedTensor, length: int) -> tf.Tensor:
    """The last `length` values of each row, then zeros: ragged [B, T] -> [B, length]."""
    return values[:, -length:].to_tensor(0, shape=(None, length))


def _single(ids: tf.SparseTensor, vocabulary: tf.Tensor) -> tf.Tensor:
    """Index of the one id of an example, int64 [B, 1]; PADDING where it has none."""
    dense = tf.sparse.to_dense(tf.sparse.reset_shape(ids, [ids.dense_shape[0], 1]), default_value="")
    dense.set_shape([None, 1])
    return tf.where(dense == "", tf.constant(features.PADDING, tf.int64), _indices(dense, vocabulary))


def _indices_of(words: tf.SparseTensor, vocabulary: tf.Tensor) -> tf.SparseTensor:
    return tf.SparseTensor(words.indices, _indices(words.values, vocabulary), words.dense_shape)


def _indices(words: tf.Tensor, vocabulary: tf.Tensor) -> tf.Tensor:
    """Indices of words, of the shape of `words`; UNKNOWN for those that the vocabulary lacks."""
    line = tft.apply_vocabulary(words, vocabulary, default_value=features.UNKNOWN - features.FIRST_INDEX)
    return line + features.FIRST_INDEX


def _ragged(sparse: tf.SparseTensor) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_sparse(sparse)
