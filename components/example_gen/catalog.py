"""The catalogue: all items of the log and of the items file, for people and as examples."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Set

import numpy as np
import pyarrow as pa
from tfx.utils import io_utils

from components.example_gen.item_counts import Counts
from components.example_gen.records import ItemLookup, item_records
from data.items import Item

COUNTS_FILE = "counts.json"


def _all_items(counts: Counts, items: list[Item]) -> list[Item]:
    """Returns the known items, then those that were rated but are not known."""
    known = {item.id for item in items}
    return items + [Item(id_, f"Item {id_}") for id_ in counts[0].to_pylist() if id_ not in known]


def catalog_records(counts: Counts, items: list[Item], vectors: np.ndarray, train_counts: Counts) -> list[bytes]:
    """Returns the raw examples of all items; `counts` are of all interactions, `vectors` of the known items."""
    everything = _all_items(counts, items)
    all_vectors = np.zeros((len(everything), vectors.shape[1]), np.float32)
    all_vectors[: len(items)] = vectors
    ids = pa.array([item.id for item in everything], pa.string())
    train_events, events = (ItemLookup(*of_split, 0)(ids).tolist() for of_split in (train_counts, counts))
    return item_records(
        [(item.id, item.features, *both) for item, *both in zip(everything, train_events, events, strict=True)],
        all_vectors,
    )


def write_catalog(counts: Counts, items: list[Item], words: Set[str], uri: str) -> None:
    """Writes `items.jsonl`, one line an item, and `COUNTS_FILE`, how many have interactions and how many are unknown.

    The `features` of a line are those of the columns `words`.
    """
    everything = _all_items(counts, items)
    ids, numbers = counts
    rated = dict(zip(ids.to_pylist(), numbers.tolist(), strict=True))
    lines = [
        {
            "id": item.id,
            "title": item.title,
            "genres": list(item.genres),
            "year": item.year,
            "features": {name: values for name, values in item.features.items() if name in words and values},
            "ratings": rated.get(item.id, 0),
        }
        for item in everything
    ]
    content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    io_utils.write_string_file(os.path.join(uri, "items.jsonl"), content)
    unknown = rated.keys() - {item.id for item in items}
    facts = {"items": len(counts[0]), "unknown_items": len(unknown), "joins": _joins(unknown, items)}
    io_utils.write_string_file(os.path.join(uri, COUNTS_FILE), json.dumps(facts))


def _joins(unknown: Set[str], items: list[Item]) -> str:
    """Returns an example of an unknown item that is another one written in another way; empty where there is none."""
    known = {_plain(item.id): item.id for item in items}
    return next(
        (f"{id_!r} in the log and {known[_plain(id_)]!r}" for id_ in sorted(unknown) if _plain(id_) in known), ""
    )


def _plain(id_: str) -> str:
    """Returns an id without what exports add to numbers: `0042`, `42.0` and ` 42` are the same."""
    return re.sub(r"\.0+$", "", id_.strip().lower()).lstrip("0")
