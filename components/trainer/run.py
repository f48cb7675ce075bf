"""What TFX's Trainer calls: transformed examples in, a SavedModel out."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.dsl.io import fileio

from components import features
from components.code_version import step_version
from components.errors import StepError
from components.hyperparameters import best_values
from components.trainer.activity import TIME_GAP, ActivityFeature, number_feature
from components.trainer.backup import Backup, identity_of
from components.trainer.baselines import count_transitions
from components.trainer.devices import describe, gpu_utilisation, is_chief, make_strategy, worker_name
from components.trainer.distillation import soft_targets
from components.trainer.fit import Fit, Plan, fit
from components.trainer.input_pipeline import SoftTargets, Timelines, read_catalog, read_timelines, without_unknown
from components.trainer.item_tower import FeatureValues, feature_values
from components.trainer.model import Recommender
from components.trainer.ranking import best_gain
from components.trainer.serving import ServingModel
from components.trainer.settings import SPARSE, TrainerSettings, top_k_complaint
from components.trainer.warm_start import save_weights, take_over

FACTS_FILE = "model_facts.json"
WARM_START = 0.5  # share of the schedule that is over as a fit begins with the weights of an earlier model
MANY_REPEATS = 0.05  # of the items that come next
NO_WORDS = "49d0cd50-04bb-48c0-bc6f-5b575dce351a"  # the only word where Transform has none
MOST_LOGITS = 500_000_000  # of a step; 2 GB, and several such arrays at a time

progress = logging.getLogger("recommender.progress")


@dataclass(frozen=True)
class TrainingData:
    """What Transform left for training.

    Attributes:
        train: timelines of the train split, without unknown items.
        holdout: timelines and targets of the eval split; None for a model that is fitted on all of the log.
        ids: of the items that have an index, in order.
        counts: int64 [V], train events of each item index.
        pairs: int32 [F, 2], an item index and the index of one of its tokens.
        tokens: all tokens, in the order of their indices.
        vectors: float32 [V, D], the vectors of items; D is 0 where they have none.
        history_length: number of items N that the device sends.
        words: of features of activities that are columns of words, by the name of their input, in the order of their
            indices.
    """

    train: Timelines
    holdout: Timelines | None
    ids: list[str]
    counts: np.ndarray
    pairs: np.ndarray
    tokens: list[str]
    vectors: np.ndarray
    history_length: int
    words: dict[str, list[str]] = field(default_factory=dict)


def run_fn(fn_args: FnArgs) -> None:
    """Fits a recommender and saves it.

    Args:
        fn_args: TFX's; `custom_config` holds `settings`, the `TrainerSettings` as a dict, `checkpoints`, a folder, and
            `split`, the kind of the split. Hyperparameters that a Tuner chose win over the settings. `base_model` is
            the folder of an earlier model, whose weights the fit begins with; empty for fresh ones. `custom_config` may
            hold `teacher`, the folder of a model to learn from.

    Raises:
        StepError: the data is too small for the settings.
    """
    strategy = make_strategy()
    settings = TrainerSettings(**fn_args.custom_config["settings"])
    if fn_args.hyperparameters:
        settings = TrainerSettings(**{**settings.model_dump(), **best_values(fn_args.hyperparameters)})
    data = read_training_data(fn_args)
    settings = decide_size(settings, data)
    teacher = fn_args.custom_config.get("teacher", "")
    check(settings, data, has_teacher=bool(teacher))
    fit_and_save(
        settings,
        data,
        fn_args.transform_output,
        fn_args.serving_model_dir,
        fn_args.custom_config["checkpoints"],
        plan=Plan.of(settings),
        facts={"split": fn_args.custom_config["split"]},
        log_dir=fn_args.model_run_dir or "",
        strategy=strategy,
        base=_base_of(fn_args, settings, data),
        teacher=teacher,
    )


def fit_and_save(
    settings: TrainerSettings,
    data: TrainingData,
    transform_graph: str,
    folder: str,
    checkpoints: str,
    plan: Plan,
    facts: dict[str, Any],
    log_dir: str = "",
    strategy: tf.distribute.Strategy | None = None,
    base: tuple[str, Plan] | None = None,
    teacher: str = "",
) -> None:
    """Fits a recommender, and writes its SavedModel, its weights and the facts about it.

    Args:
        settings: of the Trainer.
        data: to learn from.
        transform_graph: folder of what Transform left.
        folder: of the SavedModel.
        checkpoints: folder for what an interrupted fit leaves.
        plan: of a fit that begins with fresh weights.
        facts: what else is to be known of the model.
        log_dir: folder for TensorBoard; empty writes nothing.
        strategy: how training is distributed; None takes TensorFlow's default.
        base: folder of the SavedModel of a model whose weights the fit begins with, and the plan for that; None begins
            with fresh ones.
        teacher: folder of the SavedModel of a model to learn from; empty where there is none.

    Raises:
        StepError: the training diverged.
    """
    soft = learn_from(teacher, settings, data) if teacher else None
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        model = build_model(settings, data)
    recommends_seen = model.settings.recommends_seen
    if recommends_seen:
        progress.info(
            "%.1f%% of next items repeat one of the history: they are recommended", 100 * repeat_share(data.train)
        )
    started_from = ""
    if base is not None:
        share = take_over(base[0], model, data.ids, data.tokens)
        if share is None:
            progress.info("%s has no weights of this shape: training starts with fresh ones", base[0])
        else:
            progress.info("starting with the weights of %s, which has %.1f%% of the items", base[0], 100 * share)
            started_from, plan = base
    # Every worker keeps what it needs to go on.
    identity = _identity(settings, data, repr(plan), started_from, teacher)
    backup = os.path.join(checkpoints, identity + worker_name())
    if not is_chief() or ("://" in log_dir and not log_dir.startswith("gs://")):
        log_dir = ""  # TensorFlow writes to no other store.
    with gpu_utilisation() as utilisation:
        fitted = fit(model, data.train, data.holdout, backup=backup, plan=plan, log_dir=log_dir, soft=soft)
        busy = utilisation()
    device = describe(strategy) + ("" if busy is None else f", {busy:.0%} busy")
    if strategy.num_replicas_in_sync > 1:  # What is saved is to run anywhere.
        weights, model = model.get_weights(), build_model(settings, data)
        model.set_weights(weights)
    if not is_chief():
        Backup.remove(backup)
        return
    if recommends_seen and model.settings.repeat_gain is None and data.holdout is not None:
        gain, recall = best_gain(model, data.holdout)
        model.settings = model.settings.model_copy(update={"repeat_gain": gain})
        facts = {**facts, "recall_with_gain": recall}
    transitions = count_transitions(data.train, len(data.counts), repeats=recommends_seen)
    ServingModel(model, tft.TFTransformOutput(transform_graph), transitions).save(folder)
    save_weights(folder, model, data.ids, data.tokens)
    with fileio.open(os.path.join(folder, FACTS_FILE), "w") as stream:
        stream.write(
            json.dumps({**_facts(settings, model, fitted, data, device), **facts, "started_from": started_from})
        )
    Backup.remove(backup)


def learn_from(folder: str, settings: TrainerSettings, data: TrainingData) -> SoftTargets | None:
    """Returns what a teacher expects at the positions of the train split; None where its weights do not fit the data.

    Args:
        folder: of the teacher's SavedModel.
        settings: of the model that learns from it.
        data: of the model that learns from it. The teacher may lack some of its items, which it then does not expect;
            the buckets of a number may have moved since it was fitted, so that there are others.
    """
    teacher = build_model(TrainerSettings(**read_facts(folder)["settings"]), data)
    if take_over(folder, teacher, data.ids, data.tokens) is None:
        progress.info("the teacher %s does not fit this data: the model learns from the data only", folder)
        return None
    return soft_targets(teacher, data.train, settings.teacher_items, settings.teacher_temperature)


def read_facts(folder: str) -> dict[str, Any]:
    """Returns the facts about a model, which lie in the folder of its SavedModel."""
    with fileio.open(os.path.join(folder, FACTS_FILE)) as stream:
        facts: dict[str, Any] = json.loads(stream.read())
    return facts


def _base_of(fn_args: FnArgs, settings: TrainerSettings, data: TrainingData) -> tuple[str, Plan] | None:
    """Returns the earlier model to begin with and the plan for that; None where there is none that may be taken.

    A model that was trained on interactions which are targets now would know the answers.
    """
    folder = fn_args.base_model
    if not folder or not fileio.exists(os.path.join(folder, FACTS_FILE)):
        return None
    base, now = read_facts(folder), {**_extent(data), "split": fn_args.custom_config["split"]}
    trouble = ""
    if base.get("split") != now["split"]:
        trouble = f"was trained for the split {base.get('split')}, not {now['split']}"
    elif base["trained_until"] > now["trained_until"] or base["trained_on"] > now["trained_on"]:
        trouble = "was trained on interactions that are held out now"
    if trouble:
        progress.info("%s %s: training starts with fresh weights", folder, trouble)
        return None
    return folder, Plan.of(settings, WARM_START)


def _extent(data: TrainingData) -> dict[str, int]:
    """Returns how many interactions the train split has, and the time of the last, in seconds."""
    times = data.train.activities.times
    return {"trained_on": len(times), "trained_until": int(times.max(initial=0))}


def read_training_data(fn_args: FnArgs) -> TrainingData:
    """Reads what Transform left, as TFX tells a Trainer or a Tuner of it; without eval files there is no holdout."""
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)  # A Tuner has no `transform_output`.
    of_catalog = [files for files in fn_args.train_files if f"Split-{features.CATALOG}" in files]
    of_timelines = [files for files in fn_args.train_files if files not in of_catalog]
    words = _words_of_activities(transform_output)
    kinds = {name: "word" if known else "number" for name, known in words.items()}
    train = without_unknown(read_timelines(of_timelines, transform_output, kinds))
    ids, tokens = (
        _vocabulary(transform_output, name) for name in (features.ITEM_VOCABULARY, features.TOKEN_VOCABULARY)
    )
    size = len(ids) + features.FIRST_INDEX
    pairs, vectors = read_catalog(of_catalog, transform_output, size)
    return TrainingData(
        train=train,
        holdout=read_timelines(fn_args.eval_files, transform_output, kinds) if fn_args.eval_files else None,
        ids=ids,
        counts=np.bincount(train.items, minlength=size),
        pairs=pairs,
        tokens=tokens,
        vectors=vectors,
        history_length=transform_output.transformed_feature_spec()[features.HISTORY].shape[0],
        words={name: known for name, known in words.items() if known},
    )


def _words_of_activities(transform_output: tft.TFTransformOutput) -> dict[str, list[str]]:
    """Returns the words of each column that Transform left, by the name of its input; none for a column of numbers."""
    prefix = features.column_feature(features.TIMELINE, "word", "")
    spec = transform_output.transformed_feature_spec()
    inputs = [name.removeprefix(prefix) for name in spec if name.startswith(prefix)]
    return {name: _vocabulary(transform_output, features.word_vocabulary(name)) for name in inputs}


def _vocabulary(transform_output: tft.TFTransformOutput, name: str) -> list[str]:
    """Returns the words of a vocabulary in the order of their indices."""
    words = [word.decode() for word in transform_output.vocabulary_by_name(name)]
    return [] if words == [NO_WORDS] else words


def build_model(settings: TrainerSettings, data: TrainingData) -> Recommender:
    """Returns a fresh model for some data; `repeats: auto` of its settings is decided by the data."""
    settings = decide_repeats(settings, data.train)
    item_features: dict[str, FeatureValues | np.ndarray] = {}
    for name in settings.item_features:
        numbers = [number for number, token in enumerate(data.tokens) if features.feature_of(token) == name]
        words = [data.tokens[number] for number in numbers]
        if not numbers:
            continue  # `check` lets no other than a default name come here.
        if words == [features.token(name, features.vector_word(data.vectors.shape[1]))]:
            item_features[name] = data.vectors
        else:
            of_feature = np.array(numbers, np.int32) + features.FIRST_INDEX
            item_features[name] = feature_values(data.pairs, of_feature, len(data.counts))
    known = [activity_feature(name, data) for name in settings.activity_features]
    return Recommender(settings, data.history_length, data.counts, item_features, known)


def activity_feature(name: str, data: TrainingData) -> ActivityFeature:
    """Returns a feature of activities as the train split has it.

    Raises:
        StepError: the data lacks the column, or it has no value in the train split.
    """
    if name == features.TIME_GAP_FEATURE:
        return TIME_GAP
    input_ = features.activity_input(name)
    if input_ in data.words:
        return ActivityFeature(name, words=tuple(data.words[input_]))
    activities = data.train.activities
    values = activities.ratings if name == features.RATING_FEATURE else activities.columns.get(input_)
    if values is None:
        raise StepError(
            f"trainer.activity_features names {name!r}, which ExampleGen did not read; name it in the configuration, "
            "since a runtime parameter cannot add a column"
        )
    if np.isnan(values).all() and name != features.RATING_FEATURE:
        raise StepError(f"trainer.activity_features names {name!r}, which has no value in the train split")
    return number_feature(name, values)


def decide_size(settings: TrainerSettings, data: TrainingData) -> TrainerSettings:
    """Returns settings in which the size of the data has decided what they leave open, and says what that is."""
    positions, items = len(data.train.items) - len(data.train), len(data.ids)
    chosen = settings.for_data(items, positions, 0 if data.holdout is None else len(data.holdout))
    sampled = ["negatives"] if chosen.loss in ("sampled_softmax", "gbce") else []
    by_size = ["loss", *sampled, "max_epochs", "eval_users"]
    progress.info("%s positions, %s items: %s", f"{positions:,}", f"{items:,}", _listed(chosen, by_size))
    if by_density := [name for name in SPARSE if getattr(settings, name) is None]:
        progress.info("%.1f positions an item: %s", positions / max(items, 1), _listed(chosen, by_density))
    return chosen


def _listed(settings: TrainerSettings, names: list[str]) -> str:
    """Returns some settings for people; of members, the number."""
    values = {name: len(value) if isinstance(value, tuple) else value for name, value in settings if name in names}
    shown = {name: f"{value:,}" if type(value) is int else value for name, value in values.items()}
    return ", ".join(f"trainer.{name} {shown[name]}" for name in names)


def decide_repeats(settings: TrainerSettings, train: Timelines) -> TrainerSettings:
    """Returns settings in which the train split has decided what `repeats: auto` is."""
    if settings.repeats != "auto":
        return settings
    many = repeat_share(train) >= MANY_REPEATS
    return settings.model_copy(update={"repeats": "recommend" if many else "keep"})


def repeat_share(timelines: Timelines) -> float:
    """Returns the share of the targets after the first activity of each timeline whose item came before in it."""
    lengths = np.diff(timelines.starts)
    pairs = np.stack([np.repeat(np.arange(len(lengths)), lengths), timelines.items], axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))  # Stable: the earlier of a pair stands first.
    is_repeat = np.zeros(len(pairs), bool)
    is_repeat[order[1:]] = (np.diff(pairs[order], axis=0) == 0).all(axis=1)
    counts = np.ones(len(pairs), bool) if timelines.weights is None else timelines.weights > 0
    counts[timelines.starts[:-1][lengths > 0]] = False
    return float(is_repeat[counts].sum() / max(counts.sum(), 1))


def check(settings: TrainerSettings, data: TrainingData, has_teacher: bool = False) -> None:
    """Refuses data that is too small, or too large, for the settings.

    Raises:
        StepError: fewer items than the model should return, more than a step can hold, an item feature that no item
            has, nothing to learn from, or a teacher where not all items compete in a step.
    """
    items = len(data.ids)
    if has_teacher and settings.loss != "full_softmax":
        raise StepError(
            f"with a teacher, trainer.loss must be full_softmax. It is {settings.loss} here, with {items:,} items and "
            f"{len(data.train.items):,} interactions: set trainer.loss, or remove the section teacher"
        )
    positions = settings.batch_positions or 0
    if settings.loss == "full_softmax" and items * positions > MOST_LOGITS:
        raise StepError(
            f"trainer.loss full_softmax holds scores of all {items:,} items at {positions:,} positions, "
            "more than fit in memory; choose sampled_softmax, as configs/large.yaml does, or a smaller "
            "trainer.batch_positions"
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


def _identity(settings: TrainerSettings, data: TrainingData, *more: str) -> str:
    """Returns a name of a fit: the same for the same settings, data, code and whatever else decides it."""
    parts = [data.train.activities, *([data.holdout.activities] if data.holdout else [])]
    arrays = [column for part in parts for column in part.arrays().values()]
    targets = [data.holdout.targets] if data.holdout else []
    targets += [] if data.train.weights is None else [data.train.weights]
    return identity_of(
        *(settings.model_dump_json(), step_version("trainer"), "\n".join([*data.ids, *data.tokens]), *more),
        *(*arrays, data.train.starts, *targets, data.pairs, data.vectors),
    )


def _facts(
    settings: TrainerSettings, model: Recommender, fitted: Fit, data: TrainingData, device: str
) -> dict[str, Any]:
    """Returns what is to be known of a model."""
    return {
        "encoder": settings.encoder,
        "history_length": model.history_length,
        "top_k": settings.top_k,
        "dimension": settings.dimension,
        "activity_features": settings.activity_features,
        "activity_inputs": [feature.describe() for feature in model.activity_features],
        "recommends_seen": model.settings.recommends_seen,
        "repeat_gain": model.settings.repeat_gain or 0.0,
        "parameters": int(model.count_params()),
        "item_ids": data.ids,
        "item_counts": data.counts[features.FIRST_INDEX :].tolist(),
        "settings": settings.model_dump(mode="json"),
        "history": fitted.as_dicts(),
        "best_epoch": fitted.best_epoch,
        "device": device,
        "out_of_time": fitted.out_of_time,
        **_extent(data),
    }
