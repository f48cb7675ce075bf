"""The preprocessing function of Transform: vocabularies, indices and fixed-length histories from timelines of ids."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components import features
from components.transform.settings import TransformSettings

MAX_WORDS = 1000  # maximum vocabulary size of a column of the log; rarer words share the index of unknown words


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Transforms a batch of `B` raw examples.

    The vocabularies are computed from the splits `catalog` and `words`, which contain each item and word once with its
    number of train events. Items are ordered by this number, most frequent first. TFX runs the analyzers only on these
    splits, so that it reads the timelines only once.

    Args:
        inputs: the raw features of `components/features.py`, sparse.
        custom_config: `settings`, the `TransformSettings` as a dict; `item_features`, the names of the model's item
            features, if items without train events may be in the vocabulary; `activity_columns`, the model's inputs
            for columns of the log, in order; and `refit`, whether to count the events of all splits and to include
            every item with events or item features.

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
    """Returns the transformed features except those of columns of the log.

    Args:
        inputs: the raw features.
        items: the vocabulary of items.
        history_length: length of histories.
    """
    tokens = tft.vocabulary(inputs[features.CATALOG_TOKENS], vocab_filename=features.TOKEN_VOCABULARY)
    timeline = _indices_of(inputs[features.ITEM_ID], items)
    last = _last(timeline, history_length)
    return {
        features.TIMELINE: timeline,
        features.TIMELINE_RATING: inputs[features.RATING],
        features.TIMELINE_TIME: inputs[features.TIMESTAMP],
        features.TIMELINE_WEIGHT: inputs[features.WEIGHT],
        features.HISTORY: last(timeline.values),
        features.HISTORY_RATING: last(inputs[features.RATING].values),
        features.HISTORY_TIME: last(inputs[features.TIMESTAMP].values),
        features.TARGET: _single(inputs[features.TARGET_ID], items),
        features.ITEM: _single(inputs[features.CATALOG_ITEM_ID], items),
        features.ITEM_VECTOR: inputs[features.CATALOG_VECTOR],
        features.ITEM_TOKENS: _indices_of(inputs[features.CATALOG_TOKENS], tokens),
    }


def _activities(inputs: dict[str, Any], columns: list[str], length: int, refit: bool) -> dict[str, Any]:
    """Returns the transformed features of columns of the log, named like the model's inputs."""
    if not columns:
        return {}
    timelines = inputs[features.ITEM_ID]
    last = _last(timelines, length)
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
            top_k=MAX_WORDS,
            vocab_filename=features.word_vocabulary(name),
        )
        column = words[:, number]
        indices = tf.where(column == "", tf.constant(features.PADDING, tf.int64), _indices(column, vocabulary))
        for kind, values in (("word", indices), ("number", numbers[:, number])):
            timeline = tf.SparseTensor(timelines.indices, values, timelines.dense_shape)
            transformed_columns[features.column_feature(features.TIMELINE, kind, name)] = timeline
            transformed_columns[features.column_feature(features.HISTORY, kind, name)] = last(values)
    return transformed_columns


def _item_vocabulary(
    inputs: dict[str, Any], settings: TransformSettings, item_features: list[str], refit: bool
) -> tf.Tensor:
    """Returns the vocabulary of items: items with enough events and, depending on the settings, with item features."""
    events = inputs[features.CATALOG_EVENTS if refit else features.CATALOG_TRAIN_EVENTS].values
    chosen = events >= settings.min_item_count
    if refit or settings.catalog == "all":
        tokens = inputs[features.CATALOG_TOKENS]
        names = "|".join(map(re.escape, item_features))
        is_item_feature = tf.strings.regex_full_match(tokens.values, f"(?s)({names})=.*")
        rows = tf.cast(tf.size(events), tf.int64)
        chosen |= tf.math.unsorted_segment_sum(tf.cast(is_item_feature, tf.int32), tokens.indices[:, 0], rows) > 0
    return tft.vocabulary(
        tf.boolean_mask(inputs[features.CATALOG_ITEM_ID].values, chosen),
        weights=tf.cast(tf.boolean_mask(events, chosen), tf.float32),
        vocab_filename=features.ITEM_VOCABULARY,
    )


def _last(timelines: tf.SparseTensor, length: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from the values of all timelines, [E], to the last of each, [B, length], padded with zeros.

    Slices of a RaggedTensor have the same result, but need more operators, which TensorFlow traces in several graphs.

    Args:
        timelines: any values of the timelines, sparse [B, T]; the other values have the same indices.
        length: number of values to return of each timeline.
    """
    rows, places = tf.unstack(timelines.indices, axis=1)
    lengths = tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, timelines.dense_shape[0])
    places -= tf.gather(tf.maximum(lengths - length, 0), rows)
    kept = tf.where(places >= 0)[:, 0]
    indices = tf.gather(tf.stack([rows, places], axis=1), kept)
    shape = tf.stack([timelines.dense_shape[0], length])

    def last(values: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.scatter_nd(indices, tf.gather(values, kept), shape), [None, length])

    return last


def _single(ids: tf.SparseTensor, vocabulary: tf.Tensor) -> tf.Tensor:
    """Returns the index of the single id of each example, int64 [B, 1]; PADDING if it has none."""
    dense = tf.sparse.to_dense(tf.sparse.reset_shape(ids, [ids.dense_shape[0], 1]), default_value="")
    dense.set_shape([None, 1])
    return tf.where(dense == "", tf.constant(features.PADDING, tf.int64), _indices(dense, vocabulary))


def _indices_of(words: tf.SparseTensor, vocabulary: tf.Tensor) -> tf.SparseTensor:
    return tf.SparseTensor(words.indices, _indices(words.values, vocabulary), words.dense_shape)


def _indices(words: tf.Tensor, vocabulary: tf.Tensor) -> tf.Tensor:
    """Returns the indices of words, in the shape of `words`; UNKNOWN for words that the vocabulary lacks."""
    line = tft.apply_vocabulary(words, vocabulary, default_value=features.UNKNOWN - features.FIRST_INDEX)
    return line + features.FIRST_INDEX
