"""Saves weights with the keys of their rows, so that a fit with another vocabulary can start from them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from tfx.dsl.io import fileio

from components import features
from components.trainer.model import RecommenderModel

WEIGHTS_FILE = "weights.npz"


@dataclass(frozen=True)
class _NamedWeight:
    """A weight of a model, with the key of each row (an item id, token or word); None if the rows have no keys."""

    name: str
    variable: keras.Variable
    keys: Sequence[str] | None = None


def save_weights(folder: str, model: RecommenderModel, ids: Sequence[str], tokens: Sequence[str]) -> None:
    """Writes the weights of a model into the folder of its SavedModel.

    Args:
        folder: folder on any file system that TFX supports.
        model: a fitted model.
        ids: ids of the items that have an index, in the order of their indices.
        tokens: all tokens, in the order of their indices.
    """
    arrays = {}
    for weight in _named_weights(model, ids, tokens):
        arrays[f"weight:{weight.name}"] = weight.variable.numpy()
        if weight.keys is not None:
            arrays[f"words:{weight.name}"] = _encode_keys(weight.keys)
    content = io.BytesIO()
    np.savez(content, **arrays)
    with fileio.open(os.path.join(folder, WEIGHTS_FILE), "wb") as stream:
        stream.write(content.getvalue())


def take_over(folder: str, model: RecommenderModel, ids: Sequence[str], tokens: Sequence[str]) -> float | None:
    """Copies the weights of an earlier model into a fresh one.

    Rows of tables are matched by item id, token or word, so that the vocabularies may differ. Rows that the earlier
    model lacks keep their fresh weights.

    Args:
        folder: folder of the earlier model's SavedModel.
        model: a fresh model.
        ids: ids of the items that have an index, in the order of their indices.
        tokens: all tokens, in the order of their indices.

    Returns:
        The share of the items that the earlier model has, from 0 to 1. None if the earlier model has no weights file or
        weights of other shapes; the fresh model is then unchanged.
    """
    path = os.path.join(folder, WEIGHTS_FILE)
    if not fileio.exists(path):
        return None
    with fileio.open(path, "rb") as stream, np.load(io.BytesIO(stream.read())) as arrays:
        saved = {name: arrays[name] for name in arrays.files}
    weights = list(_named_weights(model, ids, tokens))
    if {f"weight:{weight.name}" for weight in weights} != {name for name in saved if name.startswith("weight:")}:
        return None
    values: list[tuple[keras.Variable, np.ndarray]] = []
    share = 1.0
    for weight in weights:
        saved_value = saved[f"weight:{weight.name}"]
        if saved_value.shape[1:] != tuple(weight.variable.shape[1:]):
            return None
        if weight.keys is None:
            if saved_value.shape != tuple(weight.variable.shape):
                return None
            values.append((weight.variable, saved_value))
            continue
        saved_rows = {key: row for row, key in enumerate(_decode_keys(saved[f"words:{weight.name}"]))}
        rows = np.array([saved_rows.get(key, -1) for key in weight.keys], np.int64)
        value = weight.variable.numpy()
        reserved = len(value) - len(rows)
        saved_reserved = len(saved_value) - len(saved_rows)
        if reserved == saved_reserved:
            value[:reserved] = saved_value[:reserved]  # The rows of PADDING and UNKNOWN.
        value[reserved:][rows >= 0] = saved_value[saved_reserved:][rows[rows >= 0]]
        values.append((weight.variable, value))
        if weight.keys is ids and len(rows):
            share = float((rows >= 0).mean())
    for variable, value in values:
        variable.assign(value)
    return share


def _named_weights(model: RecommenderModel, ids: Sequence[str], tokens: Sequence[str]) -> Iterator[_NamedWeight]:
    """Yields all weights, with names that do not depend on the Keras version."""
    for number, member in enumerate(model.members):
        for name, variable in member.item_tower.item_tables.items():
            yield _NamedWeight(f"{number}/{name}", variable, ids)
        for feature, (variable, is_vector) in member.item_tower.feature_tables.items():
            keys = [token for token in tokens if features.feature_of(token) == feature]
            yield _NamedWeight(f"{number}/feature/{feature}", variable, None if is_vector else keys)
    activity_words = {
        id(member.activity_tower.tables[feature.name]): feature.words
        for member in model.members
        for feature in member.activity_tower.features
    }
    for number, variable in enumerate(model.context_weights):
        yield _NamedWeight(f"context/{number}", variable, activity_words.get(id(variable)))


def _encode_keys(keys: Sequence[str]) -> np.ndarray:
    """Returns keys as lines of UTF-8, uint8 [...]; no key contains a line break."""
    return np.frombuffer("\n".join(keys).encode(), np.uint8)


def _decode_keys(encoded: np.ndarray) -> list[str]:
    return encoded.tobytes().decode().split("\n") if len(encoded) else []
