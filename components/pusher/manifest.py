"""What is pushed beside the model: `items.json` and `model_info.json`."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from tfx.utils import io_utils

from components import features
from components.evaluation import METRICS, POPULARITY
from components.pusher.errors import PushError
from on_device.artifact import FORMAT, ITEMS, MODEL, Item

# What `model_info.json` repeats of `dataset.json`.
DATA = ("name", "fingerprint", "fingerprint_of", "ratings", "users", "items")


def make_items(model_facts: dict[str, Any], catalog_uri: str, with_counts: bool = True) -> dict[str, Any]:
    """Returns the content of `items.json`.

    Args:
        model_facts: what the Trainer says of the model.
        catalog_uri: folder of an ItemCatalog artifact.
        with_counts: whether it says how often each item was chosen in training.

    Raises:
        PushError: an item of the model is not in the catalogue.
    """
    lines = io_utils.read_string_file(os.path.join(catalog_uri, "items.jsonl")).split("\n")
    known = {item["id"]: item for item in map(json.loads, filter(None, lines))}
    items = []
    pairs = zip(model_facts["item_ids"], model_facts["item_counts"], strict=True)
    for index, (item_id, count) in enumerate(pairs, start=features.FIRST_INDEX):
        if item_id not in known:
            raise PushError(f"{catalog_uri}: no item {item_id!r}, which the model has; train again on this catalogue")
        about = {key: known[item_id][key] for key in ("title", "genres", "year")}
        items.append({"index": index, "id": item_id, **about, **({"count": count} if with_counts else {})})
    return {"format": FORMAT, "items": items}


def parse_items(content: dict[str, Any]) -> tuple[Item, ...]:
    """The items of `items.json`, as the client has them."""
    return tuple(Item(**{**item, "genres": tuple(item["genres"])}) for item in content["items"])


def describe_model(model_facts: dict[str, Any], dataset: dict[str, Any]) -> dict[str, Any]:
    """What `model_info.json` says of a model and its data."""
    keys = ("history_length", "top_k", "activity_features", "encoder", "dimension", "parameters", "settings")
    return {
        **{key: model_facts[key] for key in keys},
        "activity_inputs": model_facts.get("activity_inputs", []),
        "out_of_time": model_facts.get("out_of_time", False),
        "recommends_seen": model_facts.get("recommends_seen", False),
        "num_items": len(model_facts["item_ids"]),
        "data": {key: dataset[key] for key in DATA if key in dataset},
    }


def describe_refit(model_facts: dict[str, Any]) -> dict[str, Any]:
    """Returns what `model_info.json` says of a refit: what the pushed model knows and the evaluated one does not."""
    return {
        "trained_on": model_facts["trained_on"],
        "evaluated_trained_on": model_facts["candidate_trained_on"],
        "evaluated_num_items": model_facts["candidate_items"],
        "epochs": len(model_facts["history"]),
        "seconds": model_facts["history"][-1]["seconds"],
    }


def describe_metrics(evaluation: dict[str, float], file: dict[str, float]) -> dict[str, dict[str, float]]:
    """Returns metrics on the test split: of the evaluated SavedModel, of its file and of the popularity list."""
    return {
        "saved_model": {name: evaluation[name] for name in METRICS},
        "tflite": file,
        "popularity": {name: evaluation[f"{POPULARITY}{name}"] for name in METRICS},
    }


def describe_files(folder: Path) -> dict[str, Any]:
    """Size of the model and checksums of what is in a folder."""
    checksums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (MODEL, ITEMS)}
    source = hashlib.sha256("".join(checksums.values()).encode()).hexdigest()
    return {"size_bytes": (folder / MODEL).stat().st_size, "sha256": checksums, "source_model": source}
