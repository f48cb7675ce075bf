"""Weights by name, so that another fit can begin with them, on a vocabulary of its own."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from tfx.dsl.io import fileio

from components import features
from components.trainer.model import Recommender

WEIGHTS_FILE = "weights.npz"


@dataclass(frozen=True)
class _Named:
    """A weight of a model, and the words that its rows stand for; None where the rows have no words."""

    name: str
    variable: keras.Variable
    words: Sequence[str] | None = None


def save_weights(folder: str, model: Recommender, ids: Sequence[str], tokens: Sequence[str]) -> None:
    """Writes the weights of a model into the folder of its SavedModel.

    Args:
        folder: on any file system that TFX knows.
        model: fitted.
        ids: of the items that have an index, in order.
        tokens: all tokens, in the order of their indices.
    """
    arrays = {}
    for weight in _named(model, ids, tokens):
        arrays[f"weight:{weight.name}"] = weight.variable.numpy()
        if weight.words is not None:
            arrays[f"words:{weight.name}"] = _packed(weight.words)
    content = io.BytesIO()
    np.savez(content, **arrays)
    with fileio.open(os.path.join(folder, WEIGHTS_FILE), "wb") as stream:
        stream.write(content.getvalue())


def take_over(folder: str, model: Recommender, ids: Sequence[str], tokens: Sequence[str]) -> float | None:
    """Begins a model with the weights of another one.

    Rows of tables go by the id of the item or by the token, so that the vocabularies may differ; what the other model
    lacks keeps its fresh weights.

    Args:
        folder: of the other model's SavedModel.
        model: freshly made.
        ids: of the items that have an index, in order.
        tokens: all tokens, in the order of their indices.

    Returns:
        The share of the items that the other model has; None, with the model left as it was, where the other one has
        no weights file, or weights of other shapes.
    """
    path = os.path.join(folder, WEIGHTS_FILE)
    if not fileio.exists(path):
        return None
    with fileio.open(path, "rb") as stream, np.load(io.BytesIO(stream.read())) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    weights = list(_named(model, ids, tokens))
    if {f"weight:{weight.name}" for weight in weights} != {name for name in held if name.startswith("weight:")}:
        return None
    values: list[tuple[keras.Variable, np.ndarray]] = []
    share = 1.0
    for weight in weights:
        other = held[f"weight:{weight.name}"]
        if other.shape[1:] != tuple(weight.variable.shape[1:]):
            return None
        if weight.words is None:
            if other.shape != tuple(weight.variable.shape):
                return None
            values.append((weight.variable, other))
            continue
        places = {word: row for row, word in enumerate(_unpacked(held[f"words:{weight.name}"]))}
        rows = np.array([places.get(word, -1) for word in weight.words], np.int64)
        value = weight.variable.numpy()
        first = len(value) - len(rows)
        if first == len(other) - len(places):
            value[:first] = other[:first]  # Of PADDING and UNKNOWN.
        value[first:][rows >= 0] = other[len(other) - len(places) :][rows[rows >= 0]]
        values.append((weight.variable, value))
        if weight.words is ids and len(rows):
            share = float((rows >= 0).mean())
    for variable, value in values:
        variable.assign(value)
    return share


def _named(model: Recommender, ids: Sequence[str], tokens: Sequence[str]) -> Iterator[_Named]:
    for number, member in enumerate(model.members):
        for name, variable in member.item_tower.item_tables.items():
            yield _Named(f"{number}/{name}", variable, ids)
        for feature, (variable, is_vector) in member.item_tower.feature_tables.items():
            words = [token for token in tokens if features.feature_of(token) == feature]
            yield _Named(f"{number}/feature/{feature}", variable, None if is_vector else words)
    of_activities = {
        id(member.activity_tower.tables[feature.name]): feature.words
        for member in model.members
        for feature in member.activity_tower.features
    }
    for number, variable in enumerate(model.context_weights):
        yield _Named(f"context/{number}", variable, of_activities.get(id(variable)))


def _packed(words: Sequence[str]) -> np.ndarray:
    """Returns words as bytes, uint8 [...]: no id and no token has a line break."""
    return np.frombuffer("\n".join(words).encode(), np.uint8)


def _unpacked(packed: np.ndarray) -> list[str]:
    return packed.tobytes().decode().split("\n") if len(packed) else []
