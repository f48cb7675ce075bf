"""Columns of the items file: words stay, numbers become ranges, one vector is kept, free text is left out."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np

from components.example_gen.item_features import learnable
from data.items import Item


def items_with(name: str, values: list[str]) -> list[Item]:
    return [
        Item(str(number), "", more={name: tuple(value.split("|")) if value else ()})
        for number, value in enumerate(values)
    ]


def learnable_values(name: str, values: list[str]) -> list[tuple[str, ...]]:
    items, vectors, words, notes = learnable(items_with(name, values))
    assert not notes and vectors.shape == (len(values), 0)
    assert (name in words) == all(
        item.more[name] in ((), tuple(filter(None, value.split("|"))))
        for item, value in zip(items, values, strict=True)
    )
    return [item.more[name] for item in items]


def test_words_and_a_few_distinct_numbers_stay_unchanged():
    assert learnable_values("brand", ["Alp|Home", "", "Ceylon"]) == [("Alp", "Home"), (), ("Ceylon",)]
    assert learnable_values("shelf", ["1", "2"] * 20) == [("1",), ("2",)] * 20


def test_numbers_become_ranges_with_equally_many_items():
    ranges = learnable_values("price", [f"{number * 10 + 0.99}" for number in range(100)] + ["", "nan"])
    assert ranges[-2:] == [(), ()]
    counts = [ranges.count(value) for value in dict.fromkeys(ranges[:-2])]
    assert len(counts) == 10 and min(counts) >= 9 and max(counts) <= 11
    assert ranges[0] == ("to 90.99",) and ranges[50] == ("490.99 to 590.99",) and ranges[99] == ("over 890.99",)
    skewed = learnable_values("stock", ["0"] * 500 + [str(number) for number in range(1, 101)])
    assert set(skewed[:500]) == {("to 0",)}


def test_a_column_of_numbers_and_words_stays_unchanged():
    values = [str(number) for number in range(30)] + ["many"]
    assert learnable_values("size", values) == [(value,) for value in values]


def test_a_vector_is_kept_and_scaled():
    rows = [[float(number == place) * 4 for place in range(8)] for number in range(8)]
    texts = [
        *(f"[{', '.join(map(str, row))}]" for row in rows[:4]),
        *("|".join(map(str, row)) for row in rows[4:]),
        "",
    ]
    items, vectors, _, notes = learnable(items_with("text", texts))
    assert not notes and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, np.vstack([np.eye(8), np.zeros((1, 8))]))
    assert [item.more["text"] for item in items] == [("vector of 8 numbers",)] * 8 + [()]


def test_reading_vectors_needs_little_memory():
    items = items_with(
        "text", [" ".join(f"{math.sin(number * place):.6f}" for place in range(64)) for number in range(2_000)]
    )
    tracemalloc.start()
    _, vectors, _, _ = learnable(items)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert vectors.shape == (2_000, 64) and peak < 5 * vectors.nbytes


def test_a_second_column_of_vectors_is_left_out_with_a_note():
    vector = " ".join(["0.5"] * 8)
    items = [Item(str(number), "", more={"image": (vector,), "text": (vector,)}) for number in range(3)]
    items, vectors, _, (note,) = learnable(items)
    assert vectors.shape == (3, 8) and "'text' is left out: only one column of vectors is used" in note
    assert items[0].more == {"image": ("vector of 8 numbers",)}


def test_free_text_is_left_out_with_a_note():
    values = [f"A very good thing of many uses, number {number}" for number in range(30)]
    items, _, _, (note,) = learnable(items_with("about", values))
    assert items[0].more == {} and note.startswith("the items' column 'about' is free text")
    repeated = [f"made of wood and steel {number % 3}" for number in range(30)]
    assert learnable_values("material", repeated) == [(value,) for value in repeated]
