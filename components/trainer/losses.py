"""Losses of next-item prediction: softmax cross-entropy over the catalogue, whole or sampled."""

from __future__ import annotations

import tensorflow as tf

from components import features
from components.trainer.masking import FORBIDDEN


def full_softmax(contexts: tf.Tensor, table: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Cross-entropy over every item.

    Args:
        contexts: float32 [P, d], one context vector a position.
        table: float32 [V, d], item embeddings; PADDING and UNKNOWN never compete.
        targets: int32 [P], index of the item that came next.
        weights: float32 [P], 0 where a position does not count.

    Returns:
        float32 scalar: the weighted mean over positions, in nats.
    """
    logits = tf.matmul(contexts, table[features.FIRST_INDEX :], transpose_b=True)
    labels = tf.maximum(targets - features.FIRST_INDEX, 0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return _weighted_mean(losses, weights)


def sampled_softmax(
    contexts: tf.Tensor,
    table: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
    negatives: tf.Tensor,
    log_expected: tf.Tensor,
) -> tf.Tensor:
    """Cross-entropy over the target and negatives that the whole batch shares, with a log-Q correction.

    A logit is lowered by the log of how often its item is expected among the negatives; without that, sampling by
    popularity pushes popular items down. Where the target itself is among the negatives it does not compete.

    Sources: Bengio and Senécal, "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic
    Language Model", IEEE Trans. Neural Networks 2008; Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large
    Corpus Item Recommendations", RecSys 2019.

    Args:
        contexts: float32 [P, d].
        table: float32 [V, d].
        targets: int32 [P].
        weights: float32 [P].
        negatives: int32 [S], drawn with replacement from any distribution Q over items.
        log_expected: float32 [V], log(S * Q(item)).

    Returns:
        float32 scalar: the weighted mean over positions, in nats.
    """
    target_logits = tf.reduce_sum(contexts * tf.gather(table, targets), axis=-1) - tf.gather(log_expected, targets)
    negative_logits = tf.matmul(contexts, tf.gather(table, negatives), transpose_b=True)
    negative_logits -= tf.gather(log_expected, negatives)
    negative_logits = tf.where(targets[:, None] == negatives[None, :], FORBIDDEN, negative_logits)
    log_total = tf.reduce_logsumexp(tf.concat([target_logits[:, None], negative_logits], axis=1), axis=1)
    return _weighted_mean(log_total - target_logits, weights)


def _weighted_mean(losses: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(losses * weights) / tf.maximum(tf.reduce_sum(weights), 1.0)
