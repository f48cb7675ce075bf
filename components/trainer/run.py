"""The entry point of TFX's Trainer: fits a model on transformed examples and writes its SavedModel."""

from __future__ import annotations

import json
import logging
import os
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
from components.trainer.decisions import check, decide_repeats, decide_size, repeat_share
from components.trainer.devices import describe, gpu_utilisation, is_chief, make_strategy, worker_name
from components.trainer.distillation import soft_targets
from components.trainer.fit import Fit, Plan, fit
from components.trainer.input_pipeline import TIMES, SoftTargets
from components.trainer.item_tower import FeatureValues, feature_values
from components.trainer.model import RecommenderModel
from components.trainer.ranking import best_gain
from components.trainer.serving import ServingModel
from components.trainer.settings import TrainerSettings
from components.trainer.similar_items import similar_items
from components.trainer.training_data import TrainingData, read_training_data
from components.trainer.warm_start import save_weights, take_over

FACTS_FILE = "model_facts.json"
WARM_START = 0.5  # share of the schedule to skip with the weights of an earlier model

progress = logging.getLogger("recommender.progress")


def run_fn(fn_args: FnArgs) -> None:
    """Fits a recommender and saves it.

    Args:
        fn_args: TFX's arguments of the step. `custom_config` holds `settings`, the `TrainerSettings` as a dict;
            `checkpoints`, a folder for backups; `split`, the kind of the split; and optionally `teacher`, the folder of
            a teacher's SavedModel. The hyperparameters of a Tuner override the settings. `base_model` is the folder of
            an earlier model whose weights the fit starts from; empty: fresh weights.

    Raises:
        StepError: the settings do not suit the data, or the training diverged.
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
    """Fits a recommender, and writes its SavedModel, its weights and its facts.

    Args:
        settings: the Trainer's settings.
        data: training data.
        transform_graph: folder of the Transform graph.
        folder: folder for the SavedModel.
        checkpoints: folder for backups of the fit.
        plan: plan of a fit that starts from fresh weights.
        facts: further facts to write.
        log_dir: folder for TensorBoard's logs; empty: no logs.
        strategy: distribution strategy; None: TensorFlow's default.
        base: folder of an earlier model's SavedModel, from whose weights the fit starts, and the plan of this fit;
            None: fresh weights.
        teacher: folder of the teacher's SavedModel; empty: no teacher.

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
            "%.1f%% of targets repeat an earlier item: repeats are recommended", 100 * repeat_share(data.train)
        )
    started_from = ""
    if base is not None:
        share = take_over(base[0], model, data.ids, data.tokens)
        if share is None:
            progress.info("%s has no weights that fit this model: training starts with fresh weights", base[0])
        else:
            progress.info("starting with the weights of %s, which has %.1f%% of the items", base[0], 100 * share)
            started_from, plan = base
    # Every worker has its own backup.
    backup = os.path.join(checkpoints, _identity(settings, data, repr(plan), started_from, teacher) + worker_name())
    if not is_chief() or ("://" in log_dir and not log_dir.startswith("gs://")):
        log_dir = ""  # TensorFlow cannot write to other object stores.
    with gpu_utilisation() as utilisation:
        fitted = fit(model, data.train, data.holdout, backup=backup, plan=plan, log_dir=log_dir, soft=soft)
        busy = utilisation()
    device = describe(strategy) + ("" if busy is None else f", {busy:.0%} busy")
    if strategy.num_replicas_in_sync > 1:  # The saved model must not depend on the strategy.
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
    content = {**_facts(settings, model, fitted, data, device), **facts, "started_from": started_from}
    with fileio.open(os.path.join(folder, FACTS_FILE), "w") as stream:
        stream.write(json.dumps(content))
    Backup.remove(backup)


def learn_from(folder: str, settings: TrainerSettings, data: TrainingData) -> SoftTargets | None:
    """Returns a teacher's predictions for the train split; None if its weights do not fit the data.

    Args:
        folder: folder of the teacher's SavedModel.
        settings: settings of the model that learns from the teacher.
        data: training data of that model. The teacher never predicts items that it lacks. Its bucket bounds of numeric
            activity features and its similar items are computed from this data, not from its own.
    """
    teacher = build_model(TrainerSettings(**read_facts(folder)["settings"]), data)
    if take_over(folder, teacher, data.ids, data.tokens) is None:
        progress.info("the teacher %s does not fit this data: the model learns from the data only", folder)
        return None
    return soft_targets(teacher, data.train, settings.teacher_items, settings.teacher_temperature)


def read_facts(folder: str) -> dict[str, Any]:
    """Returns the facts of the model whose SavedModel is in the folder; `_facts` lists them."""
    with fileio.open(os.path.join(folder, FACTS_FILE)) as stream:
        facts: dict[str, Any] = json.loads(stream.read())
    return facts


def _base_of(fn_args: FnArgs, settings: TrainerSettings, data: TrainingData) -> tuple[str, Plan] | None:
    """Returns the folder of the earlier model to start from, and the plan of this fit; None for fresh weights.

    An earlier model is not used if it was trained on interactions that are targets now.
    """
    folder = fn_args.base_model
    if not folder or not fileio.exists(os.path.join(folder, FACTS_FILE)):
        return None
    base, current = read_facts(folder), {**_extent(data), "split": fn_args.custom_config["split"]}
    problem = ""
    if base.get("split") != current["split"]:
        problem = f"was trained for the split {base.get('split')}, not {current['split']}"
    elif base["trained_until"] > current["trained_until"] or base["trained_on"] > current["trained_on"]:
        problem = "was trained on interactions that are held out now"
    elif (base_count := base["settings"].get("similar_items") or 0) != settings.similar_items:
        problem = f"has embeddings for {base_count} similar items, not {settings.similar_items}"
    if problem:
        progress.info("%s %s: training starts with fresh weights", folder, problem)
        return None
    return folder, Plan.of(settings, WARM_START)


def _extent(data: TrainingData) -> dict[str, int]:
    """Returns the number of interactions of the train split, and the time of the last one, in seconds."""
    times = data.train.activities[TIMES]
    return {"trained_on": len(times), "trained_until": int(times.max(initial=0))}


def build_model(settings: TrainerSettings, data: TrainingData) -> RecommenderModel:
    """Returns a model with fresh weights for the data; the train split also decides `repeats: auto`."""
    settings = decide_repeats(settings, data.train)
    item_features: dict[str, FeatureValues | np.ndarray] = {}
    for name in settings.item_features:
        numbers = [number for number, token in enumerate(data.tokens) if features.feature_of(token) == name]
        words = [data.tokens[number] for number in numbers]
        if not numbers:
            continue  # Only for a default feature: for others, `check` raises an error.
        if words == [features.token(name, features.vector_word(data.vectors.shape[1]))]:
            item_features[name] = data.vectors
        else:
            tokens = np.array(numbers, np.int32) + features.FIRST_INDEX
            item_features[name] = feature_values(data.pairs, tokens, len(data.counts))
    activity_features = [activity_feature(name, data) for name in settings.activity_features]
    similar = similar_items(data.train, len(data.counts), settings.similar_items) if settings.similar_items else None
    return RecommenderModel(settings, data.history_length, data.counts, item_features, activity_features, similar)


def activity_feature(name: str, data: TrainingData) -> ActivityFeature:
    """Returns the activity feature of the given name, with its words or bucket bounds from the train split.

    Raises:
        StepError: the data lacks the column, or the column has no value in the train split.
    """
    if name == features.TIME_GAP_FEATURE:
        return TIME_GAP
    input_ = features.activity_input(name)
    if input_ in data.words:
        return ActivityFeature(name, words=tuple(data.words[input_]))
    values = data.train.activities.get(input_)
    if values is None:
        raise StepError(
            f"trainer.activity_features names {name!r}, which ExampleGen did not read; set it in the configuration, "
            "since a runtime parameter cannot add a column"
        )
    if np.isnan(values).all() and name != features.RATING_FEATURE:
        raise StepError(f"trainer.activity_features names {name!r}, which has no value in the train split")
    return number_feature(name, values)


def _identity(settings: TrainerSettings, data: TrainingData, *others: str) -> str:
    """Returns a file name that identifies a fit: a hash of its settings, data, code and further values."""
    parts = [data.train.activities, *([data.holdout.activities] if data.holdout else [])]
    arrays = [column for part in parts for column in part.values()]
    targets = [data.holdout.targets] if data.holdout else []
    targets += [] if data.train.weights is None else [data.train.weights]
    return identity_of(
        *(settings.model_dump_json(), step_version("trainer"), "\n".join([*data.ids, *data.tokens]), *others),
        *(*arrays, data.train.starts, *targets, data.pairs, data.vectors),
    )


def _facts(
    settings: TrainerSettings, model: RecommenderModel, fitted: Fit, data: TrainingData, device: str
) -> dict[str, Any]:
    """Returns the facts of a model, for JSON."""
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
