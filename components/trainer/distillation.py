"""Distillation: a small model learns what a larger one, its teacher, expects at every position.

The teacher's probabilities of the best items take the place of a part of the target's (Hinton, Vinyals and Dean,
"Distilling the Knowledge in a Neural Network", 2015; of the best items only, as in Tang and Wang, "Ranking
Distillation", KDD 2018). They are computed once, before the fit, and lie in files of 6 bytes an item.
"""

from __future__ import annotations

import functools
import logging
import os
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from components import features
from components.trainer.encoders import FORBIDDEN
from components.trainer.input_pipeline import ITEMS, SoftTargets, Timelines
from components.trainer.item_tower import Tables
from components.trainer.model import Recommender

POSITIONS = 2048  # that the teacher is asked for at a time
PROGRESS_EVERY = 5.0  # seconds

progress = logging.getLogger("recommender.progress")


def soft_targets(teacher: Recommender, timelines: Timelines, count: int, temperature: float) -> SoftTargets:
    """Asks a teacher for the best items at every position of some timelines.

    Args:
        teacher: fitted, with the vocabulary of the timelines.
        timelines: of the train split.
        count: number of items M for each position; where the catalogue has fewer, as many as it has.
        temperature: the teacher's scores are divided by it; above 1, the shares become more alike.
    """
    count = min(count, teacher.trained - features.FIRST_INDEX)
    folder = tempfile.mkdtemp(prefix="soft-targets-")
    shape = (len(timelines.items), count)
    items, shares = (
        np.lib.format.open_memmap(os.path.join(folder, name), "w+", dtype, shape)
        for name, dtype in (("items.npy", np.int32), ("shares.npy", np.float16))
    )
    for name in os.listdir(folder):  # The space is free again once nobody maps the files.
        os.remove(os.path.join(folder, name))
    os.rmdir(folder)
    ask = _make_asker(teacher, count, temperature)
    tables = teacher.tables()
    started = reported = time.monotonic()
    done = 0
    for begins, firsts, ends in _pieces(timelines, max(teacher.history_length, teacher.settings.window)):
        length = int((ends - begins).max())
        places = begins[:, None] + np.arange(length)
        inside = places < ends[:, None]
        activities = timelines.activities[np.minimum(places, len(timelines.items) - 1)]
        padded = activities.map(functools.partial(_masked, inside))
        # The answer at a position is about the activity after it.
        wanted = inside & (places >= firsts[:, None])
        targets = places[wanted] + 1
        best, probabilities = ask(tables, padded.tensors(), tf.constant(np.argwhere(wanted), tf.int32))
        items[targets], shares[targets] = best.numpy(), probabilities.numpy()
        done += len(targets)
        if time.monotonic() - reported > PROGRESS_EVERY:
            reported = time.monotonic()
            progress.debug("asking the teacher  position %s/%s", f"{done:,}", f"{len(timelines.items):,}")
    progress.info("the teacher answered at %s positions in %.0f s", f"{done:,}", time.monotonic() - started)
    return SoftTargets(items, shares)


def _masked(inside: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns values with 0, which is PADDING, outside of pieces."""
    return np.where(inside, values, np.zeros((), values.dtype))


def _pieces(timelines: Timelines, length: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields batches of pieces of timelines, of about one length in a batch.

    Each piece has up to `length` positions that the teacher is asked for, and before them as many that it looks back
    on; the last activity of a timeline is no position, since nothing follows it.

    Yields:
        int64 [B] each: where pieces begin, the first position that is asked for, and where they end.
    """
    starts, lasts = timelines.starts[:-1], np.maximum(timelines.starts[1:] - 1, timelines.starts[:-1])
    counts = -(-(lasts - starts) // length)
    numbers = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    firsts = np.repeat(starts, counts) + numbers * length
    ends = np.minimum(firsts + length, np.repeat(lasts, counts))
    begins = np.maximum(firsts - length, np.repeat(starts, counts))
    order = np.argsort(ends - begins, kind="stable")
    at = 0
    while at < len(order):
        rows = max(POSITIONS // max(int(ends[order[at]] - begins[order[at]]), 1), 1)
        chosen = order[at : at + rows]
        yield begins[chosen], firsts[chosen], ends[chosen]
        at += rows


def _make_asker(teacher: Recommender, count: int, temperature: float) -> tf.types.experimental.PolymorphicFunction:
    """Returns a compiled function: tables, activities [B, L], positions int32 [P, 2] -> items and shares [P, M]."""
    groups = len(teacher.settings.group_sizes())

    @tf.function(reduce_retracing=True)
    def ask(tables: Tables, activities: dict[str, tf.Tensor], positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        contexts = tf.gather_nd(teacher(activities, tables=tables), positions)
        labels = tables.labels[: teacher.trained]  # The others do not compete in training.
        scores = tf.matmul(contexts, labels, transpose_b=True) / (groups * temperature)
        no_items = tf.range(features.FIRST_INDEX)
        left_out = tf.tile(no_items[None], [tf.shape(positions)[0], 1])
        if not teacher.settings.recommends_seen:
            # All activities up to the position; PADDING elsewhere.
            items = tf.gather(activities[ITEMS], positions[:, 0])
            before = tf.range(tf.shape(items)[1])[None] <= positions[:, 1:]
            left_out = tf.concat([left_out, tf.where(before, items, features.PADDING)], axis=1)
        rows = tf.repeat(tf.range(tf.shape(positions)[0]), tf.shape(left_out)[1])
        places = tf.stack([rows, tf.reshape(left_out, [-1])], axis=1)
        scores = tf.tensor_scatter_nd_update(scores, places, tf.fill([tf.shape(places)[0]], FORBIDDEN))
        best, items = tf.math.top_k(scores, count)
        return items, tf.nn.softmax(best)

    return ask
