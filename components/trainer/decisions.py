"""Computes unset settings of the Trainer from the training data, and checks the settings against the data."""

from __future__ import annotations

import logging

import numpy as np

from components import features
from components.errors import StepError
from components.trainer.input_pipeline import Timelines
from components.trainer.settings import SPARSE, TrainerSettings, top_k_complaint
from components.trainer.training_data import TrainingData

MIN_REPEAT_SHARE = 0.05  # share of repeats among the targets from which `repeats: auto` recommends repeats
MAX_LOGITS = 500_000_000  # per step: 2 GB per array, and several such arrays at a time
MAX_PAIRED = 10_000_000  # interactions; the counts of their pairs of items take up to 10 GB

progress = logging.getLogger("recommender.progress")


def decide_size(settings: TrainerSettings, data: TrainingData) -> TrainerSettings:
    """Returns the settings with the unset ones computed from the size of the data, and logs them."""
    positions, items = len(data.train.items) - len(data.train), len(data.ids)
    decided = settings.for_data(items, positions, 0 if data.holdout is None else len(data.holdout))
    sampled = ["negatives"] if decided.loss in ("sampled_softmax", "gbce") else []
    by_size = ["loss", *sampled, "max_epochs", "eval_users"]
    progress.info("%s positions, %s items: %s", f"{positions:,}", f"{items:,}", _format(decided, by_size))
    if by_density := [name for name in SPARSE if getattr(settings, name) is None]:
        progress.info("%.1f positions per item: %s", positions / max(items, 1), _format(decided, by_density))
    return decided


def _format(settings: TrainerSettings, names: list[str]) -> str:
    """Returns the named settings as text; for `members`, their number."""
    values = {name: len(value) if isinstance(value, tuple) else value for name, value in settings if name in names}
    texts = {name: f"{value:,}" if type(value) is int else value for name, value in values.items()}
    return ", ".join(f"trainer.{name} {texts[name]}" for name in names)


def decide_repeats(settings: TrainerSettings, train: Timelines) -> TrainerSettings:
    """Returns the settings with `repeats: auto` replaced, depending on the share of repeats in the train split."""
    if settings.repeats != "auto":
        return settings
    is_recommended = repeat_share(train) >= MIN_REPEAT_SHARE
    return settings.model_copy(update={"repeats": "recommend" if is_recommended else "keep"})


def repeat_share(timelines: Timelines) -> float:
    """Returns the share of targets that repeat an earlier item of their timeline, from 0 to 1."""
    lengths = np.diff(timelines.starts)
    pairs = np.stack([np.repeat(np.arange(len(lengths)), lengths), timelines.items], axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))  # Stable: the earlier of two equal pairs comes first.
    is_repeat = np.zeros(len(pairs), bool)
    is_repeat[order[1:]] = (np.diff(pairs[order], axis=0) == 0).all(axis=1)
    is_target = np.ones(len(pairs), bool) if timelines.weights is None else timelines.weights > 0
    is_target[timelines.starts[:-1][lengths > 0]] = False
    return float(is_repeat[is_target].sum() / max(is_target.sum(), 1))


def check(settings: TrainerSettings, data: TrainingData, has_teacher: bool = False) -> None:
    """Checks that the settings suit the training data.

    Raises:
        StepError: the data has fewer items than `top_k`, too many interactions for similar items, no item with one of
            the item features, or no next item to learn from; a step has more scores than fit in memory; or there is a
            teacher, and the loss is not `full_softmax`.
    """
    items = len(data.ids)
    if has_teacher and settings.loss != "full_softmax":
        raise StepError(
            f"with a teacher, trainer.loss must be full_softmax. It is {settings.loss} here, with {items:,} items and "
            f"{len(data.train.items):,} interactions: set trainer.loss, or remove the section teacher"
        )
    positions = settings.batch_positions or 0
    if settings.loss == "full_softmax" and items * positions > MAX_LOGITS:
        raise StepError(
            f"trainer.loss full_softmax computes scores of all {items:,} items at {positions:,} positions, more than "
            "fit in memory; choose sampled_softmax, as configs/large.yaml does, or a smaller trainer.batch_positions"
        )
    if settings.similar_items and len(data.train.items) > MAX_PAIRED:
        raise StepError(
            f"trainer.similar_items counts pairs of items, and those of {len(data.train.items):,} interactions may not "
            f"fit in memory; set it to 0 for a log with more than {MAX_PAIRED:,} interactions"
        )
    known = sorted({features.feature_of(token) for token in data.tokens})
    defaults = TrainerSettings.model_fields["item_features"].default
    if unknown := [name for name in settings.item_features if name not in (*known, *defaults)]:
        raise StepError(
            f"trainer.item_features names {', '.join(map(repr, unknown))}, which no item has; the items have "
            f"{', '.join(map(repr, known)) or 'no features'}"
        )
    if complaint := top_k_complaint(settings.top_k, items):
        raise StepError(complaint)
    if not (np.diff(data.train.starts) > 1).any():
        raise StepError("no user of the train split has two items, so that there is no next item to learn from")
