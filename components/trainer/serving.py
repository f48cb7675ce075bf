"""The SavedModel, which the Evaluator uses for ranking and the Pusher converts for the device."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components import features
from components.features import HISTORY, NO_ITEM
from components.trainer.activity import ActivityFeature
from components.trainer.baselines import MarkovList, PopularityList, Transitions, TransitionTable, no_transitions
from components.trainer.encoders import FORBIDDEN
from components.trainer.input_pipeline import ITEMS
from components.trainer.model import RecommenderModel
from components.trainer.ranking import ItemScores, two_stage_top_k

BIAS, ITEM = "bias", "item"
EXPLAINED = 10  # number of latest items of a history that `explain` removes, one at a time
# The transformed features of the activity features that need no further column of the log.
HISTORY_FEATURES = {features.RATING_FEATURE: features.HISTORY_RATING, features.TIME_GAP_FEATURE: features.HISTORY_TIME}
LISTED = 10  # number of top items that `rank` returns, for the coverage metric
ALL_ROWS = slice(None)


class StoredTable(tf.Module):
    """A table whose rows are stored divided by their largest magnitudes; the magnitudes are stored separately.

    One 8-bit scale for the table is then as exact as one scale per row, which TFLite would store in every signature.

    Args:
        table: float32 [V, D].
    """

    def __init__(self, table: tf.Tensor):
        super().__init__()
        magnitudes = tf.reduce_max(tf.abs(table), axis=1)
        magnitudes = tf.where(magnitudes > 0, magnitudes, 1.0)
        self._rows = tf.Variable(table / magnitudes[:, None], trainable=False)
        self._magnitudes = tf.Variable(magnitudes, trainable=False)
        lengths = tf.norm(self._rows, axis=1)
        self._inverse_lengths = tf.Variable(tf.where(lengths > 0, 1 / lengths, 0.0), trainable=False)

    @property
    def size(self) -> int:
        """Number of rows V."""
        return int(self._rows.shape[0])

    def look_up(self, indices: tf.Tensor) -> tf.Tensor:
        """Returns the given rows: int32 [M] -> float32 [M, D]."""
        return tf.gather(self._rows, indices) * tf.expand_dims(tf.gather(self._magnitudes, indices), 1)

    def cosines(self, indices: tf.Tensor) -> tf.Tensor:
        """Returns the cosines between the given rows and all rows: int32 [B] -> float32 [B, V]."""
        # Multiplies last: the converter would store a product of constants as another copy of the rows.
        lengths = tf.expand_dims(tf.gather(self._inverse_lengths, indices), 1) * self._inverse_lengths
        return tf.matmul(tf.gather(self._rows, indices), self._rows, transpose_b=True) * lengths

    def products(self, vectors: tf.Tensor, factors: tf.Tensor, part: slice = ALL_ROWS) -> tf.Tensor:
        """Returns the dot products of vectors and rows, times a factor per vector: [B, D], [B, 1] -> float32 [B, V]."""
        rows, magnitudes = (
            variable if part == ALL_ROWS else variable[part] for variable in (self._rows, self._magnitudes)
        )
        # Multiplies last: the converter would multiply the constant magnitudes into a copy of the rows.
        return tf.matmul(vectors, rows, transpose_b=True) * (factors * magnitudes)


class StoredTables(tf.Module):
    """The item embeddings, with each value stored once.

    A member without transition embeddings computes the embeddings of items in histories from those of candidates.

    Args:
        model: a fitted model.
    """

    def __init__(self, model: RecommenderModel):
        super().__init__()
        self.labels = StoredTable(model.tables().labels)
        towers = [member.item_tower for member in model.members]
        self._scales = [tower.scale for tower in towers]
        self._inputs = [StoredTable(tower.tables().inputs) if tower.has_transition else None for tower in towers]

    def embed(self, items: tf.Tensor, member: int, dimension: int) -> tf.Tensor:
        """See `Tables.embed`."""
        # A vector, because the Pusher converts this to TFLite's EMBEDDING_LOOKUP.
        flat = tf.reshape(items, [-1])
        inputs = self._inputs[member]
        if inputs is None:
            labels = self.labels.look_up(flat)
            embeddings = labels[:, member * dimension : (member + 1) * dimension] * self._scales[member]
        else:
            embeddings = inputs.look_up(flat)
        return tf.reshape(embeddings, [-1, items.shape[1], dimension])


class ServingModel(tf.Module):
    """A fitted recommender with its Transform graph, without the weights that only training needs.

    Args:
        model: a fitted model.
        transform_output: output of Transform.
        transitions: the followers of each item in the train split, for `rank`; None: for a model that is not evaluated.
            Its Markov list is then the popularity list.
    """

    def __init__(
        self, model: RecommenderModel, transform_output: tft.TFTransformOutput, transitions: Transitions | None = None
    ):
        super().__init__()
        self.top_k = model.settings.top_k
        self.history_length = model.history_length
        self._recommends_seen = model.settings.recommends_seen
        self._repeat_gain = (model.settings.repeat_gain or 0.0) if self._recommends_seen else 0.0
        # The variables without the Keras model, to which Keras would add a signature in the SavedModel.
        self.weights = [weight.value for weight in model.context_weights]
        self._activity_features = model.activity_features
        self._read_out = functools.partial(model.read_out)
        self._tables = StoredTables(model)
        # Falls from 1 in the order of popularity. Does not contain the counts, which users could read from the file.
        self._popularity = tf.constant(1 - np.arange(self.size) / self.size, tf.float32)
        self._transitions = TransitionTable(transitions or no_transitions(self.size))
        self._raw_spec = transform_output.raw_feature_spec()
        self.transform = transform_output.transform_features_layer()

    @property
    def size(self) -> int:
        """Number of item indices V, PADDING and UNKNOWN included."""
        return self._tables.labels.size

    def scores(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns the unfiltered scores of all item indices: histories, each input [B, N] -> float32 [B, V].

        For an empty history, the scores are in the order of popularity.
        """
        return self._scorer(inputs)()

    def _scorer(self, inputs: dict[str, tf.Tensor]) -> Callable[..., tf.Tensor]:
        """Returns a function from a slice of the item indices to their scores; by default, of all items."""
        contexts, length = self._context_vectors(inputs)
        has_items = tf.cast(tf.expand_dims(length, 1) > 0, tf.float32)

        def score(part: slice = ALL_ROWS) -> tf.Tensor:
            popularity = self._popularity if part == ALL_ROWS else self._popularity[part]
            return self._tables.labels.products(contexts, has_items, part) + (1 - has_items) * popularity

        return score

    def _context_vectors(self, inputs: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the context vectors and lengths of histories: each input [B, N] -> float32 [B, D], int32 [B]."""
        activities = {feature.input: inputs[feature.input] for feature in self._activity_features}
        return self._read_out({ITEMS: inputs[HISTORY], **activities}, self._tables.embed)

    def recommend(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the top K items, without those of the history unless the model recommends repeats.

        Args:
            inputs: `history` int32 [1, N]; the parallel input of each activity feature, int32 or float32 [1, N]; and
                `bias` float32 [1, V], which is added to the scores. A bias of `FORBIDDEN` or less excludes an item.

        Returns:
            `ids` int32 [1, K], NO_ITEM where fewer items remain; and `scores` float32 [1, K].
        """
        scores = self.scores(inputs) + inputs[BIAS]
        if self._repeat_gain:
            scores += self._gains(inputs[HISTORY])
        return self._best(scores, self._excluded(inputs[HISTORY]))

    def similar(self, item: tf.Tensor, bias: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the items that are chosen in similar contexts, by the cosine of the candidate embeddings.

        Args:
            item: int32 [1, 1]; for an invalid index, there are no similar items.
            bias: as in `recommend`.

        Returns:
            `ids` and `scores`, as in `recommend`.
        """
        index = self._valid(item)
        is_item = tf.cast(index >= features.FIRST_INDEX, tf.float32)
        scores = self._tables.labels.cosines(index[0]) + bias + (1 - is_item) * 2 * FORBIDDEN
        return self._best(scores, index)

    def explain(self, item: tf.Tensor, **histories: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns how much the score of an item falls without each of the latest items of a history.

        Args:
            item: int32 [1, 1]; the contributions to an invalid index are 0.
            histories: the inputs of `recommend`, without `bias`.

        Returns:
            `contributions` float32 [1, N], parallel to the history: 0 for padding, unknown items, and items before the
            latest `EXPLAINED`. Negative if the score rises.
        """
        items, rows = histories[HISTORY], min(EXPLAINED, self.history_length)
        is_known = self._valid(items) >= features.FIRST_INDEX
        places = tf.range(self.history_length)
        # The latest known item first: the sort key rises from 1 to N along the history, and is 0 for other items.
        keys, latest = tf.math.top_k(tf.where(is_known, places + 1, 0), rows)
        is_removed = (tf.transpose(latest) == places) & (tf.transpose(keys) > 0)  # [rows, N]
        without = tf.where(is_removed, features.PADDING, items)
        inputs = {name: tf.tile(values, [rows + 1, 1]) for name, values in histories.items()}
        inputs_of_rows = inputs | {HISTORY: tf.concat([items, without], axis=0)}
        contexts, length = self._context_vectors(inputs_of_rows)
        index = self._valid(item)[0]
        has_score = (length > 0) & (index >= features.FIRST_INDEX)
        scores = tf.reduce_sum(contexts * self._tables.labels.look_up(index), axis=1)
        if self._repeat_gain:
            counts = tf.reduce_sum(tf.cast(inputs_of_rows[HISTORY] == index, tf.float32), axis=1)
            scores += tf.minimum(counts, 1.0) * self._repeat_gain
        scores = tf.where(has_score, scores, 0.0)
        falls = tf.expand_dims(scores[:1] - scores[1:], 1) * tf.cast(is_removed, tf.float32)
        return {"contributions": tf.reduce_sum(falls, axis=0, keepdims=True)}

    def _gains(self, items: tf.Tensor) -> tf.Tensor:
        """Returns the gain of every item that is in a history: int32 [1, N] -> float32 [V]."""
        indices = tf.transpose(self._valid(items))
        gains = tf.scatter_nd(indices, tf.fill([self.history_length], self._repeat_gain), [self.size])
        return tf.minimum(gains, self._repeat_gain)  # An item may occur twice.

    def _excluded(self, items: tf.Tensor) -> tf.Tensor:
        """Returns the items not to recommend: the given ones, or PADDING if the model recommends repeats."""
        # Computed, because from constants the converter would store the penalties of all items in the file.
        return tf.minimum(items, features.PADDING) if self._recommends_seen else items

    def _best(self, scores: tf.Tensor, excluded: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the top K items: scores float32 [1, V], excluded items int32 [1, M]."""
        excluded = tf.concat([[features.PADDING, features.UNKNOWN], self._valid(excluded)[0]], axis=0)
        # An addition, since an update in place takes three passes over all items on the device.
        penalties = tf.scatter_nd(tf.expand_dims(excluded, 1), tf.fill(tf.shape(excluded), FORBIDDEN), [self.size])
        return _answer(*two_stage_top_k(scores + penalties, self.top_k))

    def _valid(self, indices: tf.Tensor) -> tf.Tensor:
        """Returns the item indices with PADDING in place of invalid ones."""
        return tf.where((indices >= features.FIRST_INDEX) & (indices < self.size), indices, features.PADDING)

    def encode_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Transforms serialized raw examples, string [B].

        Returns:
            The inputs of `recommend` without `bias`, [B, N] each; `target`, int32 [B]; `timeline`, the items of the
            timeline, int32 [B, T]; and `left_out`, the items that are not recommended, int32 [B, T].
        """
        transformed = self.transform(tf.io.parse_example(examples, self._raw_spec))
        timeline = tf.cast(tf.sparse.to_dense(transformed[features.TIMELINE], default_value=features.PADDING), tf.int32)
        return {
            HISTORY: tf.cast(transformed[features.HISTORY], tf.int32),
            **{
                feature.input: tf.cast(transformed[_history_feature(feature)], feature.dtype)
                for feature in self._activity_features
            },
            "timeline": timeline,
            "left_out": self._excluded(timeline),
            "target": tf.cast(tf.reshape(transformed[features.TARGET], [-1]), tf.int32),
        }

    def serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the top K items for serialized raw examples, string [B]: `ids` and `scores` [B, K]."""
        encoded = self.encode_examples(examples)
        return _answer(*self._item_scores(encoded).best(self.top_k))

    def rank(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Ranks the targets of serialized raw examples, string [B], among the items that may be recommended.

        Returns:
            `target_rank`, `popularity_rank` and `markov_rank` (float32 [B], from 0; V if the target is unknown or
            excluded), `top_ids`, `popularity_top_ids` and `markov_top_ids` (int32 [B, 10]), `num_items` (int32 [B]).
        """
        encoded = self.encode_examples(examples)
        item_scores, popular = self._item_scores(encoded), PopularityList(self.size, encoded["left_out"])
        markov = MarkovList(self.size, self._transitions, encoded["timeline"], encoded["left_out"])
        length = min(LISTED, self.size)
        return {
            "target_rank": tf.cast(item_scores.ranks(encoded["target"]), tf.float32),
            "popularity_rank": tf.cast(popular.ranks(encoded["target"]), tf.float32),
            "markov_rank": tf.cast(markov.ranks(encoded["target"]), tf.float32),
            "top_ids": _answer(*item_scores.best(length))["ids"],
            "popularity_top_ids": popular.best(length),
            "markov_top_ids": markov.best(length),
            "num_items": tf.fill(tf.shape(encoded["target"]), self.size - features.FIRST_INDEX),
        }

    def _item_scores(self, encoded: dict[str, tf.Tensor]) -> ItemScores:
        """Returns the scores of the items that may be recommended, for the result of `encode_examples`."""
        score = self._scorer(encoded)
        repeated = encoded[HISTORY] if self._repeat_gain else None
        return ItemScores(
            lambda first, last: score(slice(first, last)), self.size, encoded["left_out"], repeated, self._repeat_gain
        )

    def signatures(self) -> dict[str, Any]:
        """Returns the concrete functions to save, by name."""
        examples = tf.TensorSpec([None], tf.string, "examples")
        dtypes = {HISTORY: tf.int32, **{feature.input: feature.dtype for feature in self._activity_features}}
        history = {name: tf.TensorSpec([1, self.history_length], dtype, name) for name, dtype in dtypes.items()}
        bias, item = tf.TensorSpec([1, self.size], tf.float32, BIAS), tf.TensorSpec([1, 1], tf.int32, ITEM)
        # The functions have no Python conditions on tensors; AutoGraph would spend seconds on their conversion.
        compiled = functools.partial(tf.function, autograph=False)
        return {
            "serving_default": compiled(self.serve_examples).get_concrete_function(examples),
            "rank": compiled(self.rank).get_concrete_function(examples),
            "encode_examples": compiled(self.encode_examples).get_concrete_function(examples),
            "recommend": compiled(self.recommend).get_concrete_function(**history, bias=bias),
            "similar": compiled(self.similar).get_concrete_function(item=item, bias=bias),
            "explain": compiled(self.explain).get_concrete_function(item=item, **history),
        }

    def save(self, folder: str) -> None:
        """Writes the SavedModel."""
        tf.saved_model.save(self, folder, signatures=self.signatures())


def _history_feature(feature: ActivityFeature) -> str:
    """Returns the name of the transformed feature with the values of a history."""
    return HISTORY_FEATURES.get(feature.name) or features.column_feature(features.HISTORY, feature.kind, feature.input)


def _answer(scores: tf.Tensor, ids: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the top items, [B, K], as outputs of a signature, with NO_ITEM where fewer items remain."""
    return {"ids": tf.where(scores > FORBIDDEN / 2, ids, NO_ITEM), "scores": scores}
