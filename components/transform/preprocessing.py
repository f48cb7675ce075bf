"""Timelines of ids -> vocabularies, indices and fixed-length histories."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components import features
from components.transform.settings import TransformSettings


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Transform's work on a batch of `B` raw examples.

    The vocabularies are those of the train split: TFX runs the analyzers on it alone. Items, genres and years are in
    order of their number of train events, most frequent first.

    Args:
        inputs: the raw features of `components/features.py`, sparse.
        custom_config: `settings`, the `TransformSettings` as a dict.

    Returns:
        The transformed features of `components/features.py`.
    """
    settings = TransformSettings(**custom_config["settings"])
    items = tft.vocabulary(
        inputs[features.ITEM_ID],
        vocab_filename=features.ITEM_VOCABULARY,
        frequency_threshold=settings.min_item_count if settings.min_item_count > 1 else None,
    )
    timeline = _ragged(inputs[features.ITEM_ID]).with_values(_indices(inputs[features.ITEM_ID].values, items))
    history = timeline[:, -settings.history_length :].to_tensor(features.PADDING, shape=(None, settings.history_length))
    genres, years = _item_features(inputs, settings)
    return {
        features.TIMELINE: timeline.to_sparse(),
        features.HISTORY: history,
        features.TARGET: _target(inputs[features.TARGET_ID], items),
        features.TIMELINE_GENRES: genres.to_sparse(),
        features.TIMELINE_YEAR: years.to_sparse(),
    }


def _item_features(inputs: dict[str, Any], settings: TransformSettings) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Indices of the genres ([B, T * genres_per_item]) and years ([B, T]) of the items of a timeline, both ragged."""
    joined = _ragged(inputs[features.GENRES])
    names = tf.strings.split(joined.values, features.GENRE_SEPARATOR)
    names = tf.ragged.boolean_mask(names, names != "")
    genres = names.with_values(
        _indices(names.values, tft.vocabulary(names.values, vocab_filename=features.GENRE_VOCABULARY))
    )
    genres = genres.to_tensor(features.PADDING, shape=(None, settings.genres_per_item))
    genres = tf.RaggedTensor.from_row_splits(
        tf.reshape(genres, [-1]), joined.row_splits * settings.genres_per_item, validate=False
    )

    year = _ragged(inputs[features.YEAR])
    labels = tf.strings.as_string(year.values)
    known = tf.boolean_mask(labels, year.values != features.NO_YEAR)
    years = year.with_values(_indices(labels, tft.vocabulary(known, vocab_filename=features.YEAR_VOCABULARY)))
    return genres, years


def _target(target: tf.SparseTensor, items: tf.Tensor) -> tf.Tensor:
    """Index of the target, int64 [B, 1]; PADDING where an example has none, as in the train split."""
    ids = tf.sparse.to_dense(tf.sparse.reset_shape(target, [target.dense_shape[0], 1]), default_value="")
    ids.set_shape([None, 1])
    return tf.where(ids == "", tf.constant(features.PADDING, tf.int64), _indices(ids, items))


def _indices(tokens: tf.Tensor, vocabulary: tf.Tensor) -> tf.Tensor:
    """Indices of tokens, of the shape of `tokens`; UNKNOWN for tokens that the vocabulary lacks."""
    line = tft.apply_vocabulary(tokens, vocabulary, default_value=features.UNKNOWN - features.FIRST_INDEX)
    return line + features.FIRST_INDEX


def _ragged(sparse: tf.SparseTensor) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_sparse(sparse)
