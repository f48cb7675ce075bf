"""Knowledge distillation: the model learns from the predictions of a larger model, its teacher, at every position.

The teacher's probabilities of its top items replace a part of the target's probability (Hinton, Vinyals and Dean,
"Distilling the Knowledge in a Neural Network", 2015; with the top items only, as in Tang and Wang, "Ranking
Distillation", KDD 2018). They are computed once, before the fit, and stored on disk: 6 bytes per item and position.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from components import features
from components.trainer.encoders import FORBIDDEN
from components.trainer.input_pipeline import ITEMS, SoftTargets, Timelines, take
from components.trainer.item_tower import Tables
from components.trainer.model import RecommenderModel

POSITIONS = 2048  # in a batch
PROGRESS_EVERY = 5.0  # seconds

progress = logging.getLogger("recommender.progress")


def soft_targets(teacher: RecommenderModel, timelines: Timelines, count: int, temperature: float) -> SoftTargets:
    """Returns the teacher's top items at every position of the timelines.

    Args:
        teacher: a fitted model with the vocabulary of the timelines.
        timelines: timelines of the train split.
        count: number of items M per position; all items where the catalogue has fewer.
        temperature: divides the teacher's scores; above 1, the probabilities become more alike.
    """
    count = min(count, teacher.trained - features.FIRST_INDEX)
    folder = tempfile.mkdtemp(prefix="soft-targets-")
    shape = (len(timelines.items), count)
    items, probabilities = (
        np.lib.format.open_memmap(os.path.join(folder, name), "w+", dtype, shape)
        for name, dtype in (("items.npy", np.int32), ("probabilities.npy", np.float16))
    )
    for name in os.listdir(folder):  # The deleted files stay on disk while they are mapped.
        os.remove(os.path.join(folder, name))
    os.rmdir(folder)
    predict = _make_predictor(teacher, count, temperature)
    tables = teacher.tables()
    started = reported = time.monotonic()
    done = 0
    for begins, firsts, ends in _pieces(timelines, max(teacher.history_length, teacher.settings.window)):
        length = int((ends - begins).max())
        places = begins[:, None] + np.arange(length)
        inside = places < ends[:, None]
        activities = take(timelines.activities, np.minimum(places, len(timelines.items) - 1))
        padded = {name: np.where(inside, values, features.PADDING) for name, values in activities.items()}
        # The prediction at a position is for the next activity.
        is_predicted = inside & (places >= firsts[:, None])
        targets = places[is_predicted] + 1
        top_items, shares = predict(tables, padded, tf.constant(np.argwhere(is_predicted), tf.int32))
        items[targets], probabilities[targets] = top_items.numpy(), shares.numpy()
        done += len(targets)
        if time.monotonic() - reported > PROGRESS_EVERY:
            reported = time.monotonic()
            progress.debug("predicting with the teacher  position %s/%s", f"{done:,}", f"{len(timelines.items):,}")
    progress.info("the teacher predicted items at %s positions in %.0f s", f"{done:,}", time.monotonic() - started)
    return SoftTargets(items, probabilities)


def _pieces(timelines: Timelines, length: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields batches of pieces of timelines, of similar length within a batch.

    A piece has up to `length` positions to predict, preceded by up to `length` positions of context. The last activity
    of a timeline is in no piece, because no activity follows it.

    Yields:
        int64 [B] each: the start of each piece, its first position to predict, and its end (excluded).
    """
    starts, lasts = timelines.starts[:-1], np.maximum(timelines.starts[1:] - 1, timelines.starts[:-1])
    counts = -(-(lasts - starts) // length)
    numbers = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    firsts = np.repeat(starts, counts) + numbers * length
    ends = np.minimum(firsts + length, np.repeat(lasts, counts))
    begins = np.maximum(firsts - length, np.repeat(starts, counts))
    order = np.argsort(ends - begins, kind="stable")
    done = 0
    while done < len(order):
        rows = max(POSITIONS // max(int(ends[order[done]] - begins[order[done]]), 1), 1)
        batch = order[done : done + rows]
        yield begins[batch], firsts[batch], ends[batch]
        done += rows


def _make_predictor(
    teacher: RecommenderModel, count: int, temperature: float
) -> tf.types.experimental.PolymorphicFunction:
    """Returns a compiled function: tables, activities [B, L], positions int32 [P, 2] -> items, probabilities [P, M]."""
    groups = len(teacher.settings.group_sizes())

    @tf.function(reduce_retracing=True, autograph=False)
    def predict(tables: Tables, activities: dict[str, tf.Tensor], positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        contexts = tf.gather_nd(teacher(activities, tables=tables), positions)
        labels = tables.labels[: teacher.trained]  # Items without train events never compete.
        scores = tf.matmul(contexts, labels, transpose_b=True) / (groups * temperature)
        reserved = tf.range(features.FIRST_INDEX)
        excluded = tf.tile(reserved[None], [tf.shape(positions)[0], 1])
        if not teacher.settings.recommends_seen:
            # Excludes the items up to the position.
            items = tf.gather(activities[ITEMS], positions[:, 0])
            is_seen = tf.range(tf.shape(items)[1])[None] <= positions[:, 1:]
            excluded = tf.concat([excluded, tf.where(is_seen, items, features.PADDING)], axis=1)
        rows = tf.repeat(tf.range(tf.shape(positions)[0]), tf.shape(excluded)[1])
        places = tf.stack([rows, tf.reshape(excluded, [-1])], axis=1)
        scores = tf.tensor_scatter_nd_update(scores, places, tf.fill([tf.shape(places)[0]], FORBIDDEN))
        best, items = tf.math.top_k(scores, count)
        return items, tf.nn.softmax(best)

    return predict
