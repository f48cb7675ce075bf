"""Baselines: the popularity list, and a first-order Markov chain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components import features
from components.features import NO_ITEM
from components.trainer.input_pipeline import Timelines


class PopularityList:
    """The unseen items of each user of a batch, in vocabulary order, which is the order of popularity.

    The cost grows with the length of the timelines, not with the catalogue.

    Args:
        size: number of item indices V.
        seen: int32 [B, T], the seen items of each user; entries that are PADDING are ignored.
    """

    def __init__(self, size: int, seen: tf.Tensor):
        self._size = size
        self._seen = seen

    def ranks(self, targets: tf.Tensor) -> tf.Tensor:
        """Returns the rank of each user's target, from 0: int32 [B] -> int32 [B]; V for an unknown or seen target."""
        ordered = tf.sort(tf.pad(self._seen, [[0, 0], [1, 0]], constant_values=features.UNKNOWN), axis=1)
        is_first = (ordered[:, 1:] != ordered[:, :-1]) & (ordered[:, 1:] >= features.FIRST_INDEX)
        before = is_first & (ordered[:, 1:] < targets[:, None])
        ranks = targets - features.FIRST_INDEX - tf.math.count_nonzero(before, axis=1, dtype=tf.int32)
        is_seen = tf.reduce_any(self._seen == targets[:, None], axis=1)
        return tf.where(is_seen | (targets < features.FIRST_INDEX), self._size, ranks)

    def best(self, length: int) -> tf.Tensor:
        """Returns the first `length` items of each user's list, int32 [B, length]; NO_ITEM where fewer remain."""
        # Among the first T + length items, a user who has seen T items has at least `length` unseen ones.
        reach = tf.minimum(tf.shape(self._seen)[1] + length + features.FIRST_INDEX, self._size)
        batch = tf.shape(self._seen)[0]
        within = tf.where(self._seen < reach)
        places = tf.stack([within[:, 0], tf.cast(tf.gather_nd(self._seen, within), tf.int64)], axis=1)
        order = tf.tile(tf.range(reach, 0, -1)[None, :], [batch, 1])
        order = tf.tensor_scatter_nd_update(order, places, tf.zeros(tf.shape(places)[:1], tf.int32))
        order *= tf.cast(tf.range(reach) >= features.FIRST_INDEX, tf.int32)
        keys, items = tf.math.top_k(order, length)
        return tf.where(keys > 0, items, NO_ITEM)


MAX_FOLLOWERS = 100  # per item; on MovieLens 1M, 50, 100 and all followers give the same Recall@10
MAX_TRANSITIONS = 20_000_000  # of all items; 80 MB in the SavedModel
PIECE = 4_000_000  # approximate number of transitions to count at a time


@dataclass(frozen=True)
class Transitions:
    """The items that followed each item, as a ragged array.

    Attributes:
        starts: int32 [V + 1]; item `i` has the followers from `starts[i]` to before `starts[i + 1]`.
        followers: int32 [E], item indices; those of an item are sorted by falling frequency, then by index.
    """

    starts: np.ndarray
    followers: np.ndarray


def count_transitions(
    train: Timelines, size: int, max_followers: int = MAX_FOLLOWERS, repeats: bool = False
) -> Transitions:
    """Returns the most frequent followers of each item, which are the targets that come directly after it.

    Args:
        train: timelines without unknown items.
        size: number of item indices V.
        max_followers: maximum number of followers per item; lower for a catalogue that would exceed `MAX_TRANSITIONS`.
        repeats: whether an item can follow itself; False if repeats are never recommended.
    """
    row_length = max(min(max_followers, MAX_TRANSITIONS // size), 1)
    first, second = (train.items[places] for places in neighbours(train))
    is_counted = np.full(len(first), True) if repeats else first != second
    if train.weights is not None:
        is_counted &= train.weights[neighbours(train)[1]] > 0
    first, second = first[is_counted].astype(np.int64), second[is_counted].astype(np.int64)
    piece_of_item = np.cumsum(np.bincount(first, minlength=size)) // PIECE
    piece_of_pair = piece_of_item[first]
    rows, followers = [], []
    for piece in np.unique(piece_of_pair):
        chosen = piece_of_pair == piece
        pairs, counts = np.unique(first[chosen] * size + second[chosen], return_counts=True)
        items, after = np.divmod(pairs, size)
        order = np.lexsort((after, -counts, items))
        items, after = items[order], after[order]
        place_in_row = np.arange(len(items)) - np.searchsorted(items, items)
        rows.append(items[place_in_row < row_length])
        followers.append(after[place_in_row < row_length])
    lengths = np.bincount(np.concatenate(rows), minlength=size) if rows else np.zeros(size, np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return Transitions(starts, np.concatenate(followers).astype(np.int32) if followers else np.zeros(0, np.int32))


def no_transitions(size: int) -> Transitions:
    """Returns the transitions of an empty train split, for `size` item indices."""
    return Transitions(np.zeros(size + 1, np.int32), np.zeros(0, np.int32))


def neighbours(timelines: Timelines) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices in `items` of both activities of every consecutive pair in a timeline, int64 [P] each."""
    is_last = np.zeros(len(timelines.items) + 1, bool)
    is_last[timelines.starts[1:] - 1] = True  # An empty first timeline sets index -1, which is after the last item.
    before = np.flatnonzero(~is_last[:-1])
    return before, before + 1


class TransitionTable(tf.Module):
    """`Transitions` as variables, which a SavedModel stores outside its graph."""

    def __init__(self, transitions: Transitions):
        super().__init__()
        lengths = np.diff(transitions.starts)
        self.longest = max(int(lengths.max(initial=0)), 1)
        self._starts = tf.Variable(transitions.starts, trainable=False)
        # One extra value, since `tf.gather` needs at least one even without transitions.
        followers = np.append(transitions.followers, np.int32(features.PADDING))
        self._followers = tf.Variable(followers, trainable=False)

    def after(self, items: tf.Tensor) -> tf.Tensor:
        """Returns the followers of items by falling frequency, then PADDING: int32 [B] -> int32 [B, longest]."""
        first, last = tf.gather(self._starts, items), tf.gather(self._starts, items + 1)
        places = first[:, None] + tf.range(self.longest)
        inside = places < last[:, None]
        return tf.where(inside, tf.gather(self._followers, tf.where(inside, places, 0)), features.PADDING)


class MarkovList:
    """The unseen items of each user of a batch: the followers of the last known item, then all others by popularity.

    Memory grows with the timelines and the followers, not with the catalogue.

    Args:
        size: number of item indices V.
        table: the followers of each item.
        timeline: int32 [B, T], the items of each user, oldest first, then PADDING.
        excluded: int32 [B, S], the items to exclude, and PADDING; None: excludes the items of the timeline.
    """

    def __init__(self, size: int, table: TransitionTable, timeline: tf.Tensor, excluded: tf.Tensor | None = None):
        self._size = size
        seen = timeline if excluded is None else excluded
        seen, timeline = (
            tf.pad(items, [[0, 0], [1, 0]], constant_values=features.PADDING) for items in (seen, timeline)
        )
        place = tf.where(timeline >= features.FIRST_INDEX, tf.range(tf.shape(timeline)[1]), 0)
        last_items = tf.gather(timeline, tf.reduce_max(place, axis=1), batch_dims=1)
        self._followers = table.after(last_items)
        self._unseen = (self._followers >= features.FIRST_INDEX) & ~_contains(seen, self._followers)
        self._popular = PopularityList(size, seen)
        self._rest = PopularityList(size, tf.concat([seen, self._followers], axis=1))

    def ranks(self, targets: tf.Tensor) -> tf.Tensor:
        """Returns the rank of each user's target, from 0: int32 [B] -> int32 [B]; V if it is unknown or excluded."""
        is_target = self._followers == targets[:, None]
        count = tf.math.count_nonzero
        place = tf.argmax(is_target, axis=1, output_type=tf.int32)
        before = tf.range(tf.shape(self._followers)[1]) < place[:, None]
        as_follower = count(self._unseen & before, axis=1, dtype=tf.int32)
        popularity = self._popular.ranks(targets)
        # Followers with a smaller index are ahead of the target in the popularity list already.
        moved_ahead = count(self._unseen & (self._followers > targets[:, None]), axis=1, dtype=tf.int32)
        ranks = tf.where(tf.reduce_any(is_target, axis=1), as_follower, popularity + moved_ahead)
        return tf.where(popularity < self._size, ranks, self._size)

    def best(self, length: int) -> tf.Tensor:
        """Returns the first `length` items of each user's list, int32 [B, length]; NO_ITEM where fewer remain."""
        items = tf.concat([tf.where(self._unseen, self._followers, NO_ITEM), self._rest.best(length)], axis=1)
        order = tf.where(items >= features.FIRST_INDEX, tf.range(tf.shape(items)[1], 0, -1), 0)
        _, places = tf.math.top_k(order, length)
        return tf.gather(items, places, batch_dims=1)


def _contains(rows: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns whether each value occurs in its row: int32 [B, T], int32 [B, M] -> bool [B, M]."""
    ordered = tf.sort(rows, axis=1)
    places = tf.minimum(tf.searchsorted(ordered, values), tf.shape(ordered)[1] - 1)
    return tf.gather(ordered, places, batch_dims=1) == values
