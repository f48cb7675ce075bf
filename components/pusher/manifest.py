"""Content of the files that are pushed with the model: `items.json` and `model_info.json`."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from tfx.utils import io_utils

from components import features
from components.errors import StepError
from components.evaluation import METRICS, POPULARITY
from on_device.artifact import FORMAT, ITEMS, MODEL, Item

# Keys of `dataset.json` that are copied to `model_info.json`.
DATASET_KEYS = ("name", "fingerprint", "fingerprint_of", "ratings", "users", "items")


def make_items(model_facts: dict[str, Any], catalog_uri: str, with_counts: bool = True) -> dict[str, Any]:
    """Returns the content of `items.json`.

    Args:
        model_facts: the Trainer's facts about the model.
        catalog_uri: folder of an ItemCatalog artifact.
        with_counts: whether to include the number of interactions of each item in training.

    Raises:
        StepError: the catalogue lacks an item of the model.
    """
    lines = io_utils.read_string_file(os.path.join(catalog_uri, "items.jsonl")).split("\n")
    known = {item["id"]: item for item in map(json.loads, filter(None, lines))}
    items = []
    pairs = zip(model_facts["item_ids"], model_facts["item_counts"], strict=True)
    for index, (item_id, count) in enumerate(pairs, start=features.FIRST_INDEX):
        if item_id not in known:
            raise StepError(f"{catalog_uri}: no item {item_id!r}, which the model has; train again on this catalogue")
        metadata = {key: known[item_id][key] for key in ("title", "genres", "year")}
        items.append({"index": index, "id": item_id, **metadata, **({"count": count} if with_counts else {})})
    return {"format": FORMAT, "items": items}


def parse_items(content: dict[str, Any]) -> tuple[Item, ...]:
    """Returns the items of `items.json` as the client's objects."""
    return tuple(Item(**{**item, "genres": tuple(item["genres"])}) for item in content["items"])


def describe_model(model_facts: dict[str, Any], dataset: dict[str, Any]) -> dict[str, Any]:
    """Returns the entries of `model_info.json` about a model and its data."""
    keys = ("history_length", "top_k", "activity_features", "encoder", "dimension", "parameters", "settings")
    return {
        **{key: model_facts[key] for key in keys},
        "activity_inputs": model_facts.get("activity_inputs", []),
        "out_of_time": model_facts.get("out_of_time", False),
        "recommends_seen": model_facts.get("recommends_seen", False),
        "num_items": len(model_facts["item_ids"]),
        "data": {key: dataset[key] for key in DATASET_KEYS if key in dataset},
    }


def describe_refit(model_facts: dict[str, Any]) -> dict[str, Any]:
    """Returns the entry `refit` of `model_info.json`: how the pushed model differs from the evaluated one."""
    return {
        "trained_on": model_facts["trained_on"],
        "evaluated_trained_on": model_facts["candidate_trained_on"],
        "evaluated_num_items": model_facts["candidate_items"],
        "epochs": len(model_facts["history"]),
        "seconds": model_facts["history"][-1]["seconds"],
    }


def describe_metrics(evaluation: dict[str, float], file: dict[str, float]) -> dict[str, dict[str, float]]:
    """Returns the metrics on the test split of the evaluated SavedModel, its file and the popularity list."""
    return {
        "saved_model": {name: evaluation[name] for name in METRICS},
        "tflite": file,
        "popularity": {name: evaluation[f"{POPULARITY}{name}"] for name in METRICS},
    }


def describe_files(folder: Path) -> dict[str, Any]:
    """Returns the size of the model file, and the checksums of the files in a folder."""
    checksums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (MODEL, ITEMS)}
    source = hashlib.sha256("".join(checksums.values()).encode()).hexdigest()
    return {"size_bytes": (folder / MODEL).stat().st_size, "sha256": checksums, "source_model": source}
