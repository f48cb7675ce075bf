"""What TFX's Trainer calls: transformed examples in, a SavedModel out."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.dsl.io import fileio

from components import features
from components.errors import StepError
from components.trainer.fit import Fit, fit
from components.trainer.input_pipeline import Timelines, first_values, read_timelines, without_unknown
from components.trainer.model import Recommender
from components.trainer.serving import ServingModel
from components.trainer.settings import TrainerSettings

FACTS_FILE = "model_facts.json"


def run_fn(fn_args: FnArgs) -> None:
    """Fit a recommender and save it.

    Args:
        fn_args: TFX's; `custom_config["settings"]` holds the `TrainerSettings` as a dict.

    Raises:
        StepError: the data is too small for the settings.
    """
    settings = TrainerSettings(**fn_args.custom_config["settings"])
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    train = without_unknown(read_timelines(fn_args.train_files, transform_output))
    holdout = read_timelines(fn_args.eval_files, transform_output)
    ids = [id_.decode() for id_ in transform_output.vocabulary_by_name(features.ITEM_VOCABULARY)]
    size = len(ids) + features.FIRST_INDEX
    _check(settings, train, len(ids))

    counts = np.bincount(train.items, minlength=size)
    model = Recommender(
        settings,
        history_length=train.histories.shape[1],
        counts=counts,
        genres=first_values(train.items, train.genres, size) if "genres" in settings.item_features else None,
        years=first_values(train.items, train.years, size) if "year" in settings.item_features else None,
    )
    fitted = fit(model, train, holdout)
    serving = ServingModel(model, counts, transform_output)
    serving.save(fn_args.serving_model_dir)
    facts = _facts(settings, model, fitted, ids, counts)
    with fileio.open(os.path.join(fn_args.serving_model_dir, FACTS_FILE), "w") as stream:
        stream.write(json.dumps(facts))


def _check(settings: TrainerSettings, train: Timelines, items: int) -> None:
    if settings.top_k > items:
        raise StepError(
            f"trainer.top_k {settings.top_k:,} is over the catalogue of {items:,} items; choose {items:,} or less"
        )
    if not (np.diff(train.starts) > 1).any():
        raise StepError("no user of the train split has two items, so that there is no next item to learn from")


def _facts(
    settings: TrainerSettings, model: Recommender, fitted: Fit, ids: list[str], counts: np.ndarray
) -> dict[str, Any]:
    """What the Pusher tells of the model."""
    return {
        "encoder": settings.encoder,
        "history_length": model.history_length,
        "top_k": settings.top_k,
        "dimension": settings.dimension,
        "parameters": int(model.count_params()),
        "item_ids": ids,
        "item_counts": counts[features.FIRST_INDEX :].tolist(),
        "settings": settings.model_dump(mode="json"),
        "history": fitted.as_dicts(),
        "best_epoch": fitted.best_epoch,
    }
