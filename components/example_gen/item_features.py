"""Converts columns of the items file into features for a model: words, ranges of numbers, and one vector."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re

import numpy as np

from components.features import vector_word
from data.dataset import GENRES
from data.items import Item

RANGES = 10  # number of ranges of a column of numbers, with about equally many items in each
MAX_NUMBERS = 20  # A column with at most this many different numbers stays a column of words.
MIN_VECTOR_LENGTH = 8
# A column is free text if its values have more words on average, and more different values per item.
FREE_TEXT_WORDS, FREE_TEXT_SHARE = 3.0, 0.5


def learnable(items: list[Item]) -> tuple[list[Item], np.ndarray, set[str], list[str]]:
    """Returns items with features that a model can learn from, their vectors, and notes for the user.

    A column with many different numbers becomes ranges with equally many items. A column of free text, in which most
    values differ, is left out. A column whose values are all lists of equally many numbers, eight or more, such as a
    text embedding, is a vector; items without one get zeros, and the vectors are scaled to a mean norm of 1.

    Args:
        items: the items of the items file.

    Returns:
        The items with their new features; the vectors, float32 [len(items), D], where D is 0 if no column has vectors;
        the names of the features that keep the words of the file; and the notes.
    """
    notes: list[str] = []
    words = {GENRES}
    vectors = np.empty((len(items), 0), np.float32)
    columns: dict[str, list[tuple[str, ...]]] = {}
    for name in sorted({name for item in items for name in item.more}):
        values = [item.more.get(name, ()) for item in items]
        if (numbers := _vectors(values)) is not None:
            if vectors.shape[1]:
                notes.append(f"the items' column {name!r} is left out: only one column of vectors is used")
                continue
            vectors = numbers
            columns[name] = [(vector_word(numbers.shape[1]),) if value else () for value in values]
        elif (ranges := _ranges(values)) is not None:
            columns[name] = ranges
        elif _is_free_text(values):
            notes.append(f"the items' column {name!r} is free text and left out; a vector of it would be used")
        else:
            columns[name] = values
            words.add(name)
    described = [
        dataclasses.replace(item, more={name: values[number] for name, values in columns.items()})
        for number, item in enumerate(items)
    ]
    return described, vectors, words, notes


def _ranges(values: list[tuple[str, ...]]) -> list[tuple[str, ...]] | None:
    """Returns the range of each number; None if the column has other values or only a few different numbers."""
    try:
        numbers = np.array([float(value[0]) if value else math.nan for value in values])
    except ValueError:
        return None
    known = numbers[np.isfinite(numbers)]
    if any(len(value) > 1 for value in values) or len(np.unique(known)) <= MAX_NUMBERS:
        return None
    edges = np.unique(np.quantile(known, np.linspace(0, 1, RANGES + 1)[1:-1], method="lower"))
    words = [f"to {edges[0]:g}", *(f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges))]
    words.append(f"over {edges[-1]:g}")
    return [(words[np.searchsorted(edges, number)],) if math.isfinite(number) else () for number in numbers.tolist()]


def _vectors(values: list[tuple[str, ...]]) -> np.ndarray | None:
    """Returns the vectors of a column, float32 [I, D]; None if it has other values."""
    known = [number for number, value in enumerate(values) if value]
    vectors: np.ndarray | None = None
    for number in known:  # One at a time: as text, the numbers take twenty times the memory.
        parts = re.split(r"[\s,;]+", " ".join(values[number]).strip("[]() "))
        if vectors is None:
            if len(parts) < MIN_VECTOR_LENGTH:
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
    mean_norm = np.linalg.norm(vectors[known], axis=1).mean()
    if mean_norm:
        vectors /= mean_norm
    return vectors


def _is_free_text(values: list[tuple[str, ...]]) -> bool:
    texts = [word for value in values for word in value]
    if len(texts) <= MAX_NUMBERS:
        return False
    words = sum(len(text.split()) for text in texts) / len(texts)
    return words > FREE_TEXT_WORDS and len(set(texts)) > FREE_TEXT_SHARE * len(values)
