"""Conversion of PyArrow arrays that may hold bad values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def as_text(column: pa.Array) -> pa.Array:
    """Returns a column as `pa.string()`; whole numbers are written without a fraction, and nulls are empty."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        whole = pc.and_(pc.equal(column, pc.floor(column)), pc.less_equal(pc.abs(column), 2.0**53))
        if pc.all(whole, min_count=0).as_py():
            column = column.cast(pa.int64())
    return pc.fill_null(column.cast(pa.string()), "")


def convert_each(
    column: pa.Array, convert: Callable[[pa.Array], np.ndarray], dtype: type, bad: list[int], first: int = 0
) -> np.ndarray:
    """Returns the converted values of a column; splits it in halves until each bad value is found.

    Args:
        column: any array [R].
        convert: returns the values of an array [N] as NumPy [N], or raises `pa.ArrowInvalid` if one is bad.
        dtype: dtype of the result.
        bad: receives the rows of bad values, whose result is 0.
        first: number of the first row.

    Returns:
        NumPy [R].
    """
    try:
        return convert(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if len(column) == 1:
            bad.append(first)
            return np.zeros(1, dtype)
    half = len(column) // 2
    return np.concatenate(
        [
            convert_each(column[:half], convert, dtype, bad, first),
            convert_each(column[half:], convert, dtype, bad, first + half),
        ]
    )
