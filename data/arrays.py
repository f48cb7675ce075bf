"""Conversion of PyArrow arrays that may hold bad values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MAX_WHOLE = 2.0**53  # Up to this number, a float represents every whole number.


def as_text(column: pa.Array) -> pa.Array:
    """Returns a column as `pa.string()`; whole numbers are written without a fraction, and nulls are empty."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        whole = pc.and_(pc.equal(column, pc.floor(column)), pc.less_equal(pc.abs(column), MAX_WHOLE))
        integers = pc.if_else(whole, column, None).cast(pa.int64())
        if integers.null_count > column.null_count:
            # PyArrow writes 10^15 as `1e+15`, but a number must have the same text beside fractions as beside others.
            column = pc.coalesce(integers.cast(pa.string()), column.cast(pa.string()))
        else:
            column = integers
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
