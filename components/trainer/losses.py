"""Losses for next-item prediction. Each loss returns a weighted sum over positions, in nats.

The losses have these arguments, `teacher` only for `full_softmax`:

- contexts: float32 [P, d], the context vector at each position.
- table: float32 [V, d], the item embeddings.
- targets: int32 [P], the rows of the targets in the table.
- weights: float32 [P], 0 for positions without a target. If they sum to 1, the loss is a mean.
- absent: bool [P, S], whether each of the S candidates (all items or the negatives) is excluded from competing with the
  target at a position; None: all compete.
- teacher: int32 and float [P, M], items and the shares of the target's probability that they get; None: no teacher.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from components import features
from components.trainer.encoders import FORBIDDEN

Teacher = tuple[tf.Tensor, tf.Tensor]
MIN_PROBABILITY = 1e-37  # a lower bound that keeps logarithms finite


def full_softmax(
    contexts: tf.Tensor,
    table: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
    smoothing: float = 0.0,
    absent: tf.Tensor | None = None,
    teacher: Teacher | None = None,
) -> tf.Tensor:
    """Returns the cross-entropy over all items of the table; PADDING and UNKNOWN never compete.

    Args:
        contexts, table, targets, weights: see above.
        smoothing: share of the target's probability that is spread over all competing items (label smoothing: Szegedy
            et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016).
        absent, teacher: see above; with smoothing, the teacher is ignored.
    """
    table, labels = table[features.FIRST_INDEX :], tf.maximum(targets - features.FIRST_INDEX, 0)
    if not smoothing:
        # The target has the probability that remains besides the shares of the teacher's items.
        items, shares = labels[:, None], tf.ones_like(weights)[:, None]
        if teacher is not None:
            teacher_shares = tf.cast(teacher[1], tf.float32)
            items = tf.concat([items, tf.maximum(teacher[0] - features.FIRST_INDEX, 0)], axis=1)
            target_shares = shares - tf.reduce_sum(teacher_shares, axis=1, keepdims=True)
            shares = tf.concat([target_shares, teacher_shares], axis=1)
        return _cross_entropy(contexts, table, (items, shares), weights, absent)
    logits = tf.matmul(contexts, table, transpose_b=True)
    competing = tf.ones_like(logits) if absent is None else tf.cast(~absent, tf.float32)
    logits = tf.where(competing > 0, logits, FORBIDDEN)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    log_total = losses + tf.gather(logits, labels, batch_dims=1)
    mean = tf.reduce_sum(logits * competing, axis=1) / tf.maximum(tf.reduce_sum(competing, axis=1), 1.0)
    return tf.reduce_sum(((1 - smoothing) * losses + smoothing * (log_total - mean)) * weights)


def _cross_entropy(
    contexts: tf.Tensor, table: tf.Tensor, labels: Teacher, weights: tf.Tensor, absent: tf.Tensor | None
) -> tf.Tensor:
    """Returns the cross-entropy from a softmax by oneDNN, which is six times as fast as TensorFlow's loss kernel.

    The gradient passes over all logits only once: it applies the weights to context vectors instead of logits, and
    subtracts the labels separately.
    """
    items, shares = labels

    @tf.custom_gradient
    def loss_of(contexts: tf.Tensor, table: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], Any]]:
        logits = tf.matmul(contexts, table, transpose_b=True)
        probabilities = tf.nn.softmax(logits if absent is None else tf.where(absent, FORBIDDEN, logits))
        own = tf.gather(probabilities, items, batch_dims=1)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            scales = (weights * upstream)[:, None]
            scaled = contexts * scales
            if items.shape[1] == 1:  # Without a teacher, this avoids a copy of all probabilities.
                contexts_gradient = (tf.matmul(probabilities, table) - tf.gather(table, items[:, 0])) * scales
                targets_gradient = tf.math.unsorted_segment_sum(scaled, items[:, 0], table.shape[0])
                return contexts_gradient, tf.matmul(probabilities, scaled, transpose_a=True) - targets_gradient
            rows = tf.repeat(tf.range(tf.shape(items)[0]), items.shape[1])
            places = tf.stack([rows, tf.reshape(items, [-1])], axis=1)
            surplus = tf.tensor_scatter_nd_sub(probabilities, places, tf.reshape(shares, [-1]))
            return tf.matmul(surplus, table) * scales, tf.matmul(surplus, scaled, transpose_a=True)

        losses = -tf.reduce_sum(shares * tf.math.log(tf.maximum(own, MIN_PROBABILITY)), axis=1)
        return tf.reduce_sum(losses * weights), gradient

    loss: tf.Tensor = loss_of(contexts, table)
    return loss


def sampled_softmax(
    contexts: tf.Tensor,
    table: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
    negatives: tf.Tensor,
    log_expected: tf.Tensor,
    absent: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns the cross-entropy over the target and the batch's negatives, with a log-Q correction.

    The correction subtracts from a negative's logit the log of its expected count among the negatives. The sum over the
    negatives then estimates the sum over all items, and sampling by popularity does not push popular items down. A
    negative that equals the target does not compete.

    Sources: Bengio and Senécal, "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic
    Language Model", IEEE Trans. Neural Networks 2008; Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large
    Corpus Item Recommendations", RecSys 2019. They also correct the target's logit, but the target is not drawn.

    Args:
        contexts, table, targets, weights: see above.
        negatives: int32 [S], drawn with replacement from any distribution Q over items; PADDING never competes.
        log_expected: float32 [V], log(S * Q(item)).
        absent: see above.
    """
    excluded = (targets[:, None] == negatives[None, :]) | (negatives < features.FIRST_INDEX)[None, :]
    if absent is not None:
        excluded |= absent
    corrections = tf.gather(log_expected, negatives)

    @tf.custom_gradient
    def loss_of(contexts: tf.Tensor, own: tf.Tensor, others: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], Any]]:
        """Returns the loss, from a softmax over the negatives; the gradient passes over all logits only once."""
        logits = tf.where(excluded, FORBIDDEN, tf.matmul(contexts, others, transpose_b=True) - corrections)
        shares = tf.nn.softmax(logits)
        log_total = tf.reduce_max(logits, axis=1) - tf.math.log(tf.reduce_max(shares, axis=1))
        deficit = log_total - tf.reduce_sum(contexts * own, axis=1)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            scales = (weights * upstream * tf.sigmoid(deficit))[:, None]
            scaled = contexts * scales
            contexts_gradient = (tf.matmul(shares, others) - own) * scales
            return contexts_gradient, -scaled, tf.matmul(shares, scaled, transpose_a=True)

        return tf.reduce_sum(tf.math.softplus(deficit) * weights), gradient

    loss: tf.Tensor = loss_of(contexts, tf.gather(table, targets), tf.gather(table, negatives))
    return loss


def in_batch_softmax(
    contexts: tf.Tensor,
    table: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
    log_share: tf.Tensor,
    absent: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns the cross-entropy over the targets of the batch, which are each other's negatives, with log-Q correction.

    The Q of `sampled_softmax`, which also names the sources, is each item's share of all train events.

    Args:
        contexts, table, targets, weights: see above.
        log_share: float32 [V], log of each item's share of all train events.
        absent: see above.
    """
    real = tf.cast(targets >= features.FIRST_INDEX, tf.float32)
    log_expected = log_share + tf.math.log(tf.maximum(tf.reduce_sum(real), 1.0))
    return sampled_softmax(contexts, table, targets, weights, targets, log_expected, absent)


def gbce(
    contexts: tf.Tensor,
    table: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
    negatives: tf.Tensor,
    calibration: float,
    absent: tf.Tensor | None = None,
    size: int | None = None,
) -> tf.Tensor:
    """Returns the generalised binary cross-entropy, which corrects the overconfidence that sampling causes.

    Source: Petrov and Macdonald, "gSASRec: Reducing Overconfidence in Sequential Recommendation Trained with Negative
    Sampling", RecSys 2023.

    Args:
        contexts, table, targets, weights: see above.
        negatives: int32 [S], drawn uniformly and shared by the batch.
        calibration: t of the paper, from 0 (plain binary cross-entropy) to 1 (fully calibrated scores).
        absent: see above.
        size: number of item indices V; None: the number of rows of the table.
    """
    sampling_rate = negatives.shape[0] / max((size or table.shape[0]) - features.FIRST_INDEX - 1, 1)
    power = sampling_rate * (calibration * (1 - 1 / sampling_rate) + 1 / sampling_rate)
    target_logits = tf.reduce_sum(contexts * tf.gather(table, targets), axis=-1)
    negative_logits = tf.matmul(contexts, tf.gather(table, negatives), transpose_b=True)
    competing = targets[:, None] != negatives[None, :]
    competing = tf.cast(competing if absent is None else competing & ~absent, tf.float32)
    losses = power * tf.nn.softplus(-target_logits)
    losses += tf.reduce_sum(tf.nn.softplus(negative_logits) * competing, axis=1)
    return tf.reduce_sum(losses * weights)


def log_shares(counts: tf.Tensor, power: float = 1.0) -> tf.Tensor:
    """Returns the log of each item's share of counts ** power: int64 [V] -> float32 [V]; 0 for PADDING and UNKNOWN."""
    weights = tf.maximum(tf.cast(counts[features.FIRST_INDEX :], tf.float64), 1.0) ** power
    shares = tf.math.log(weights / tf.reduce_sum(weights))
    return tf.concat([tf.zeros(features.FIRST_INDEX), tf.cast(shares, tf.float32)], axis=0)


class Seen:
    """The items up to each position of a window, which need not compete in training, since serving excludes them.

    Args:
        items: int32 [B, L], item indices, then PADDING.
    """

    def __init__(self, items: tf.Tensor):
        self._items = items
        self._positions = tf.range(tf.shape(items)[1])

    def before(self, size: int) -> tf.Tensor:
        """Returns whether each item, without PADDING and UNKNOWN, occurs up to each position: bool [B * L, size - 2].

        Args:
            size: number of item indices V.
        """
        batch, length = tf.unstack(tf.shape(self._items))
        places = tf.stack([tf.repeat(tf.range(batch), length), tf.reshape(self._items, [-1])], axis=1)
        never = tf.fill([batch, size], length)
        first = tf.tensor_scatter_nd_min(never, places, tf.tile(self._positions, [batch]))[:, features.FIRST_INDEX :]
        return tf.reshape(first[:, None, :] <= self._positions[None, :, None], [batch * length, -1])

    def among(self, candidates: tf.Tensor) -> tf.Tensor:
        """Returns whether each candidate, int32 [S], occurs up to each position: bool [B * L, S]."""
        never = tf.shape(self._items)[1]
        is_candidate = self._items[:, :, None] == candidates[None, None, :]
        first = tf.reduce_min(tf.where(is_candidate, self._positions[None, :, None], never), axis=1)
        seen = first[:, None, :] <= self._positions[None, :, None]
        return tf.reshape(seen, [-1, tf.shape(candidates)[0]])

    def has(self, targets: tf.Tensor) -> tf.Tensor:
        """Returns whether the target of each position, int32 [B, L], occurs up to the position: bool [B, L]."""
        is_target = self._items[:, None, :] == targets[:, :, None]
        return tf.reduce_any(is_target & (self._positions[None, :] <= self._positions[:, None]), axis=2)
