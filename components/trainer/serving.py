"""The SavedModel: what the Evaluator ranks with, and what the Pusher converts for the device."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components import features
from components.features import NO_ITEM
from components.trainer.activity import ActivityFeature
from components.trainer.baselines import MarkovList, PopularityList, Transitions, TransitionTable, no_transitions
from components.trainer.encoders import FORBIDDEN
from components.trainer.input_pipeline import ITEMS
from components.trainer.model import Recommender
from components.trainer.ranking import ItemScores, best_of

HISTORY, BIAS, ITEM = "history", "bias", "item"
EXPLAINED = 10  # latest items of a history that `explain` leaves out in turn
# Where Transform leaves features of activities that every log has.
SOURCES = {features.RATING_FEATURE: features.HISTORY_RATING, features.TIME_GAP_FEATURE: features.HISTORY_TIME}
LISTED = 10  # items listed by `rank`, for coverage
EVERYTHING = slice(None)


class StoredTable(tf.Module):
    """A table whose rows are stored with a greatest magnitude of 1, and their magnitudes apart.

    In 8 bits, one scale for all of it then loses no more than one for each row, which TFLite would store once a
    signature.

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
        """Rows by number: int32 [M] -> float32 [M, D]."""
        return tf.gather(self._rows, indices) * tf.expand_dims(tf.gather(self._magnitudes, indices), 1)

    def cosines(self, indices: tf.Tensor) -> tf.Tensor:
        """Returns the cosines between some rows and every row: int32 [B] -> float32 [B, V]."""
        # Not a constant times a constant, which the converter would store as another copy of the rows.
        lengths = tf.expand_dims(tf.gather(self._inverse_lengths, indices), 1) * self._inverse_lengths
        return tf.matmul(tf.gather(self._rows, indices), self._rows, transpose_b=True) * lengths

    def products(self, vectors: tf.Tensor, factors: tf.Tensor, part: slice = EVERYTHING) -> tf.Tensor:
        """Vectors times every row of a part, times a factor each: float32 [B, D], float32 [B, 1] -> float32 [B, V]."""
        rows, magnitudes = (whole if part == EVERYTHING else whole[part] for whole in (self._rows, self._magnitudes))
        # In this order: the converter would multiply constant magnitudes into a copy of the rows.
        return tf.matmul(vectors, rows, transpose_b=True) * (factors * magnitudes)


class StoredTables(tf.Module):
    """The embeddings of items, each number stored once.

    Labels are always there. A member whose items have no transitions reads its inputs off them.

    Args:
        model: fitted.
    """

    def __init__(self, model: Recommender):
        super().__init__()
        self.labels = StoredTable(model.tables().labels)
        towers = [member.item_tower for member in model.members]
        self._scales = [tower.scale for tower in towers]
        self._inputs = [StoredTable(tower.tables().inputs) if tower.has_transition else None for tower in towers]

    @property
    def size(self) -> int:
        """See `ItemEmbeddings`."""
        return self.labels.size

    def embed(self, items: tf.Tensor, member: int, dimension: int) -> tf.Tensor:
        """See `ItemEmbeddings`."""
        # One dimension, as TFLite's EMBEDDING_LOOKUP takes it, which the Pusher makes of this.
        flat = tf.reshape(items, [-1])
        inputs = self._inputs[member]
        if inputs is None:
            found = self.labels.look_up(flat)[:, member * dimension : (member + 1) * dimension] * self._scales[member]
        else:
            found = inputs.look_up(flat)
        return tf.reshape(found, [-1, items.shape[1], dimension])


class ServingModel(tf.Module):
    """A fitted recommender with its Transform graph; weights that only training needs are left behind.

    Args:
        model: fitted.
        transform_output: what Transform left.
        transitions: what followed each item in the train split, which only `rank` reads; None for a model that is not
            evaluated, whose Markov list is then the popularity list.
    """

    def __init__(
        self, model: Recommender, transform_output: tft.TFTransformOutput, transitions: Transitions | None = None
    ):
        super().__init__()
        self.top_k = model.settings.top_k
        self.history_length = model.history_length
        self._recommends_seen = model.settings.recommends_seen
        self._repeat_gain = (model.settings.repeat_gain or 0.0) if self._recommends_seen else 0.0
        # Variables are tracked, the Keras model is not: Keras would add a signature of its own to the SavedModel.
        self.weights = [weight.value for weight in model.context_weights]
        self._activity_features = model.activity_features
        self._read_out = functools.partial(model.read_out)
        self._tables = StoredTables(model)
        # By rank, from 1 down: the vocabulary is in the order of popularity. Counts would be readable in the file.
        self._popularity = tf.constant(1 - np.arange(self.size) / self.size, tf.float32)
        self._transitions = TransitionTable(transitions or no_transitions(self.size))
        self._raw_spec = transform_output.raw_feature_spec()
        self.transform = transform_output.transform_features_layer()

    @property
    def size(self) -> int:
        """Number of item indices V, PADDING and UNKNOWN included."""
        return self._tables.size

    def scores(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """Scores of all indices before anything is filtered: a history, each input [B, N] -> float32 [B, V].

        An empty history scores items by their rank in popularity.
        """
        return self._scorer(inputs)()

    def _scorer(self, inputs: dict[str, tf.Tensor]) -> Callable[..., tf.Tensor]:
        """A function that gives the scores of a part of all indices."""
        contexts, length = self._read_out_of(inputs)
        some = tf.cast(tf.expand_dims(length, 1) > 0, tf.float32)

        def scores_of(part: slice = EVERYTHING) -> tf.Tensor:
            popularity = self._popularity if part == EVERYTHING else self._popularity[part]
            return self._tables.labels.products(contexts, some, part) + (1 - some) * popularity

        return scores_of

    def _read_out_of(self, inputs: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the context vectors and lengths of histories: each input [B, N] -> float32 [B, D], int32 [B]."""
        activities = {feature.input: inputs[feature.input] for feature in self._activity_features}
        return self._read_out({ITEMS: inputs[HISTORY], **activities}, self._tables)

    def recommend(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the best items; those of the history are not among them, unless the model recommends repeats.

        Args:
            inputs: `history` int32 [1, N]; in parallel the input of each feature of activities, int32 or float32
                [1, N]; and `bias` float32 [1, V], which is added to the scores: 0 leaves an item as it is, `FORBIDDEN`
                or less takes it out of the answer.
        """
        scores = self.scores(inputs) + inputs[BIAS]
        if self._repeat_gain:
            scores += self._repeats(inputs[HISTORY])
        return self._best(scores, self._left_out(inputs[HISTORY]))

    def similar(self, item: tf.Tensor, bias: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the items that are chosen in the same places as an item, by the cosine of their label embeddings.

        Args:
            item: int32 [1, 1]; the answer to an index that is no item's is empty.
            bias: as `recommend` takes it.
        """
        index = self._valid(item)
        known = tf.cast(index >= features.FIRST_INDEX, tf.float32)
        scores = self._tables.labels.cosines(index[0]) + bias + (1 - known) * 2 * FORBIDDEN
        return self._best(scores, index)

    def explain(self, item: tf.Tensor, **histories: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns by how much the score of an item falls without each of the latest items of a history.

        Args:
            item: int32 [1, 1]; nothing explains an index that is no item's.
            histories: as `recommend` takes them, without `bias`.

        Returns:
            `contributions` float32 [1, N], in the places of the history: 0 for padding, unknown items, and items before
            the latest `EXPLAINED`. Negative where the item would have a higher score without that one.
        """
        items, rows = histories[HISTORY], min(EXPLAINED, self.history_length)
        known = self._valid(items) >= features.FIRST_INDEX
        places = tf.range(self.history_length)
        # The latest first: the sort key rises from 1 to N along the history, and is 0 for others.
        keys, latest = tf.math.top_k(tf.where(known, places + 1, 0), rows)
        is_removed = (tf.transpose(latest) == places) & (tf.transpose(keys) > 0)  # [rows, N]
        without = tf.where(is_removed, features.PADDING, items)
        inputs = {name: tf.tile(values, [rows + 1, 1]) for name, values in histories.items()}
        inputs_of_rows = inputs | {HISTORY: tf.concat([items, without], axis=0)}
        contexts, length = self._read_out_of(inputs_of_rows)
        index = self._valid(item)[0]
        is_score = (length > 0) & (index >= features.FIRST_INDEX)
        scores = tf.reduce_sum(contexts * self._tables.labels.look_up(index), axis=1)
        if self._repeat_gain:
            counts = tf.reduce_sum(tf.cast(inputs_of_rows[HISTORY] == index, tf.float32), axis=1)
            scores += tf.minimum(counts, 1.0) * self._repeat_gain
        scores = tf.where(is_score, scores, 0.0)
        falls = tf.expand_dims(scores[:1] - scores[1:], 1) * tf.cast(is_removed, tf.float32)
        return {"contributions": tf.reduce_sum(falls, axis=0, keepdims=True)}

    def _repeats(self, items: tf.Tensor) -> tf.Tensor:
        """Returns what the scores of all items gain for being in a history: int32 [1, N] -> float32 [V]."""
        indices = tf.transpose(self._valid(items))
        gains = tf.scatter_nd(indices, tf.fill([self.history_length], self._repeat_gain), [self.size])
        return tf.minimum(gains, self._repeat_gain)  # An item may stand there twice.

    def _left_out(self, items: tf.Tensor) -> tf.Tensor:
        """Returns the items of timelines that are not recommended, of the shape of `items`: all, or PADDING."""
        # Not a constant, which the converter would scatter into an array of all items and store in the file.
        return tf.minimum(items, features.PADDING) if self._recommends_seen else items

    def _best(self, scores: tf.Tensor, unwanted: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the top K of float32 [1, V] without int32 [1, M]."""
        unwanted = tf.concat([[features.PADDING, features.UNKNOWN], self._valid(unwanted)[0]], axis=0)
        # Added, since putting values in place takes three passes over all items on the device. An index that stands
        # here twice gets twice the penalty.
        penalties = tf.scatter_nd(tf.expand_dims(unwanted, 1), tf.fill(tf.shape(unwanted), FORBIDDEN), [self.size])
        return _listed(*best_of(scores + penalties, self.top_k))

    def _valid(self, indices: tf.Tensor) -> tf.Tensor:
        """PADDING in place of indices that are not an item's."""
        return tf.where((indices >= features.FIRST_INDEX) & (indices < self.size), indices, features.PADDING)

    def encode_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialized raw examples, string [B] -> the inputs of `recommend` [B, N], and `target` [B].

        Besides, the items of the `timeline` [B, T], and those of them that are not recommended, `left_out` [B, T].
        """
        transformed = self.transform(tf.io.parse_example(examples, self._raw_spec))
        timeline = tf.cast(tf.sparse.to_dense(transformed[features.TIMELINE], default_value=features.PADDING), tf.int32)
        return {
            HISTORY: tf.cast(transformed[features.HISTORY], tf.int32),
            **{
                feature.input: tf.cast(transformed[_source(feature)], feature.dtype)
                for feature in self._activity_features
            },
            "timeline": timeline,
            "left_out": self._left_out(timeline),
            "target": tf.cast(tf.reshape(transformed[features.TARGET], [-1]), tf.int32),
        }

    def serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialized raw examples, string [B] -> the best items but those left out, `ids` and `scores` [B, K]."""
        encoded = self.encode_examples(examples)
        return _listed(*self._item_scores(encoded).best(self.top_k))

    def rank(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialized raw examples, string [B] -> where the target stands among the items but those left out.

        Returns:
            `target_rank`, `popularity_rank` and `markov_rank` (float32 [B], from 0; V where the target is unknown or
            left out), `top_ids`, `popularity_top_ids` and `markov_top_ids` (int32 [B, 10]), `num_items` (int32 [B]).
        """
        encoded = self.encode_examples(examples)
        unseen, popular = self._item_scores(encoded), PopularityList(self.size, encoded["left_out"])
        markov = MarkovList(self.size, self._transitions, encoded["timeline"], encoded["left_out"])
        listed = min(LISTED, self.size)
        return {
            "target_rank": tf.cast(unseen.ranks(encoded["target"]), tf.float32),
            "popularity_rank": tf.cast(popular.ranks(encoded["target"]), tf.float32),
            "markov_rank": tf.cast(markov.ranks(encoded["target"]), tf.float32),
            "top_ids": _listed(*unseen.best(listed))["ids"],
            "popularity_top_ids": popular.best(listed),
            "markov_top_ids": markov.best(listed),
            "num_items": tf.fill(tf.shape(encoded["target"]), self.size - features.FIRST_INDEX),
        }

    def _item_scores(self, encoded: dict[str, tf.Tensor]) -> ItemScores:
        """Scores without the items that are left out of each row's answer."""
        scores_of = self._scorer(encoded)
        repeated = encoded[HISTORY] if self._repeat_gain else None
        return ItemScores(
            lambda first, last: scores_of(slice(first, last)),
            self.size,
            encoded["left_out"],
            repeated,
            self._repeat_gain,
        )

    def signatures(self) -> dict[str, Any]:
        """The concrete functions to save, by name."""
        examples = tf.TensorSpec([None], tf.string, "examples")
        dtypes = {HISTORY: tf.int32, **{feature.input: feature.dtype for feature in self._activity_features}}
        history = {name: tf.TensorSpec([1, self.history_length], dtype, name) for name, dtype in dtypes.items()}
        bias, item = tf.TensorSpec([1, self.size], tf.float32, BIAS), tf.TensorSpec([1, 1], tf.int32, ITEM)
        return {
            "serving_default": tf.function(self.serve_examples).get_concrete_function(examples),
            "rank": tf.function(self.rank).get_concrete_function(examples),
            "encode_examples": tf.function(self.encode_examples).get_concrete_function(examples),
            "recommend": tf.function(self.recommend).get_concrete_function(**history, bias=bias),
            "similar": tf.function(self.similar).get_concrete_function(item=item, bias=bias),
            "explain": tf.function(self.explain).get_concrete_function(item=item, **history),
        }

    def save(self, folder: str) -> None:
        """Write the SavedModel."""
        tf.saved_model.save(self, folder, signatures=self.signatures())


def _source(feature: ActivityFeature) -> str:
    """Returns the transformed feature with the values of a history."""
    return SOURCES.get(feature.name) or features.column_feature(features.HISTORY, feature.kind, feature.input)


def _listed(best: tf.Tensor, ids: tf.Tensor) -> dict[str, tf.Tensor]:
    """Scores and indices of the best items [B, K] as an answer: NO_ITEM where none remains."""
    return {"ids": tf.where(best > FORBIDDEN / 2, ids, NO_ITEM), "scores": best}
