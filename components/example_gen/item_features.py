"""Turns columns of the items file into what a model can learn from: words, ranges of numbers, and one vector."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re

import numpy as np

from components.features import vector_word
from data.dataset import GENRES
from data.items import Item

RANGES = 10  # into which numbers are cut, with about equally many items in each
MOST_NUMBERS = 20  # different ones that stay words
MIN_VECTOR = 8
FREE_TEXT_WORDS, FREE_TEXT_SHARE = 3.0, 0.5  # words of a value, and different values for an item: text of its own


def learnable(items: list[Item]) -> tuple[list[Item], np.ndarray, set[str], list[str]]:
    """Returns items with learnable features, their vectors, and lines that a person should read.

    Numbers of many values become ranges with equally many items. A column of free text, whose values nearly all
    differ, is left out. A column whose values are all lists of equally many numbers, eight or more, such as an
    embedding of a text, is a vector; an item without one has zeros, and the others are scaled to a mean length of 1.

    Args:
        items: as they were read.

    Returns:
        The items; float32 [len(items), D], with `D` 0 where no column holds vectors; names of the features that keep
        the words of the file; and lines.
    """
    notes: list[str] = []
    words = {GENRES}
    vectors = np.empty((len(items), 0), np.float32)
    columns: dict[str, list[tuple[str, ...]]] = {}
    for name in sorted({name for item in items for name in item.more}):
        values = [item.more.get(name, ()) for item in items]
        if (numbers := _vectors(values)) is not None:
            if vectors.shape[1]:
                notes.append(f"the items' column {name!r} is left out: only one column of vectors is learned from")
                continue
            vectors = numbers
            columns[name] = [(vector_word(numbers.shape[1]),) if value else () for value in values]
        elif (ranges := _ranges(values)) is not None:
            columns[name] = ranges
        elif _is_free_text(values):
            notes.append(f"the items' column {name!r} is free text, which is not learned from; a vector of it would be")
        else:
            columns[name] = values
            words.add(name)
    described = [
        dataclasses.replace(item, more={name: values[number] for name, values in columns.items()})
        for number, item in enumerate(items)
    ]
    return described, vectors, words, notes


def _ranges(values: list[tuple[str, ...]]) -> list[tuple[str, ...]] | None:
    """Returns the range of each number; None for a column of other values or of few."""
    try:
        numbers = np.array([float(value[0]) if value else math.nan for value in values])
    except ValueError:
        return None
    known = numbers[np.isfinite(numbers)]
    if any(len(value) > 1 for value in values) or len(np.unique(known)) <= MOST_NUMBERS:
        return None
    edges = np.unique(np.quantile(known, np.linspace(0, 1, RANGES + 1)[1:-1], method="lower"))
    words = [f"to {edges[0]:g}", *(f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges))]
    words.append(f"over {edges[-1]:g}")
    return [(words[np.searchsorted(edges, number)],) if math.isfinite(number) else () for number in numbers.tolist()]


def _vectors(values: list[tuple[str, ...]]) -> np.ndarray | None:
    """Returns the vectors of a column, float32 [I, D]; None where it does not hold vectors."""
    known = [number for number, value in enumerate(values) if value]
    vectors: np.ndarray | None = None
    for number in known:  # Each by itself: its numbers as text take twenty times the room.
        parts = re.split(r"[\s,;]+", " ".join(values[number]).strip("[]() "))
        if vectors is None:
            if len(parts) < MIN_VECTOR:
                return None
            vectors = np.zeros((len(values), len(parts)), np.float32)
        if len(parts) != vectors.shape[1]:
            return None
        try:
            vectors[number] = parts
        except ValueError:
            return None
    if vectors is None or not np.isfinite(vectors).all():
        return None
    length = np.linalg.norm(vectors[known], axis=1).mean()
    if length:
        vectors /= length
    return vectors


def _is_free_text(values: list[tuple[str, ...]]) -> bool:
    texts = [word for value in values for word in value]
    if len(texts) <= MOST_NUMBERS:
        return False
    words = sum(len(text.split()) for text in texts) / len(texts)
    return words > FREE_TEXT_WORDS and len(set(texts)) > FREE_TEXT_SHARE * len(values)
