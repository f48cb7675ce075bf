"""Writes the catalogue, all items of the log and of the items file, as JSON lines and as raw examples."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Set
from typing import Any

import numpy as np
import pyarrow as pa
from tfx.utils import io_utils
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components import features
from components.example_gen.item_counts import Counts, look_up
from components.example_gen.records import lists, singles
from data.items import Item


def _all_items(counts: Counts, items: list[Item]) -> list[Item]:
    """Returns the items of the items file, then those that occur only in the log."""
    known = {item.id for item in items}
    return items + [Item(id_, f"Item {id_}") for id_ in counts[0].to_pylist() if id_ not in known]


def catalog_records(counts: Counts, items: list[Item], vectors: np.ndarray, train_counts: Counts) -> list[bytes]:
    """Returns the raw examples of all items.

    Args:
        counts: number of interactions of each item.
        items: the items of the items file.
        vectors: float32 [len(items), D], the vectors of `items`.
        train_counts: number of interactions of each item in the train split.
    """
    all_items = _all_items(counts, items)
    all_vectors = np.zeros((len(all_items), vectors.shape[1]), np.float32)
    all_vectors[: len(items)] = vectors
    ids = pa.array([item.id for item in all_items], pa.string())
    tokens = [
        [features.token(name, value).encode() for name, values in sorted(item.features.items()) for value in values]
        for item in all_items
    ]
    columns = {
        features.CATALOG_ITEM_ID: singles(ids.cast(pa.binary())),
        features.CATALOG_TOKENS: pa.array(tokens, pa.large_list(pa.binary())),
        features.CATALOG_VECTOR: lists(all_vectors.reshape(-1), np.arange(len(all_items) + 1) * vectors.shape[1]),
        features.CATALOG_TRAIN_EVENTS: singles(look_up(train_counts, ids)),
        features.CATALOG_EVENTS: singles(look_up(counts, ids)),
    }
    records: list[bytes] = RecordBatchToExamplesEncoder().encode(pa.RecordBatch.from_pydict(columns))
    return records


def write_catalog(counts: Counts, items: list[Item], words: Set[str], uri: str) -> dict[str, Any]:
    """Writes `items.jsonl`, with one line per item.

    Args:
        counts: number of interactions of each item.
        items: the items of the items file.
        words: names of the features to write to `items.jsonl`.
        uri: folder of the catalogue.

    Returns:
        The number of `items` in the log, the number of `unknown_items`, which the items file lacks, and `similar_ids`,
        an example of an id that the log and the items file write differently.
    """
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
        for item in _all_items(counts, items)
    ]
    content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    io_utils.write_string_file(os.path.join(uri, "items.jsonl"), content)
    unknown = rated.keys() - {item.id for item in items}
    return {"items": len(ids), "unknown_items": len(unknown), "similar_ids": _similar_ids(unknown, items)}


def _similar_ids(unknown: Set[str], items: list[Item]) -> str:
    """Returns an example of an id that the log and the items file write differently; empty if there is none."""
    known = {_normalized(item.id): item.id for item in items}
    for id_ in sorted(unknown):
        if _normalized(id_) in known:
            return f"{id_!r} in the log and {known[_normalized(id_)]!r}"
    return ""


def _normalized(id_: str) -> str:
    """Returns an id without the characters that exports add to numbers: `0042`, `42.0` and ` 42` become `42`."""
    return re.sub(r"\.0+$", "", id_.strip().lower()).lstrip("0")
