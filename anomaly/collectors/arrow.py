"""Columns of an Arrow table as `cells` reads them, whatever their type.

What pandas noted in the table, an index for example, does not matter: an index is a column, too.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

DAYS_IN_RANGE = (-719_162, 2_932_897)  # 0001-01-01 to the end of 9999, since 1970
PER_DAY = {
    "s": 86_400,
    "ms": 86_400_000,
    "us": 86_400_000_000,
}


def is_text(dtype: Any) -> bool:
    """Whether a type is text, or bytes that may be text."""
    import pyarrow.types as kinds  # type: ignore[import-untyped]

    return bool(
        kinds.is_string(dtype)
        or kinds.is_large_string(dtype)
        or kinds.is_binary(dtype)
        or kinds.is_large_binary(dtype)
    )


def size(array: Any) -> int:
    """The bytes of a column when each of its rows holds its own text."""
    import pyarrow.compute as pc  # type: ignore[import-untyped]
    import pyarrow.types as kinds

    if kinds.is_dictionary(array.type) and is_text(array.type.value_type):
        lengths = pc.take(pc.binary_length(array.dictionary).cast("int64"), array.indices)
        return int(pc.sum(lengths).as_py() or 0)
    return int(array.nbytes)


def cells(array: Any) -> pd.Series:
    """A column of a batch as `cells` reads it."""
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_dictionary(array.type):
        words = array.dictionary
        if kinds.is_string(words.type) and words.null_count == 0:
            numbered: pd.Series = array.to_pandas()  # each text is there once
            return numbered
        array = array.dictionary_decode()
    kind = array.type
    if kinds.is_timestamp(kind):
        # a moment is the same in any zone, whatever zone the file names
        array = array.cast(pa.timestamp(kind.unit, None if kind.tz is None else "UTC"))
        array = _moments(array)
    elif kinds.is_date(kind):
        array = array.cast(pa.string())
    elif kinds.is_decimal(kind) or kinds.is_float16(kind):
        array = array.cast(pa.float64())
    elif not (kinds.is_primitive(kind) and _is_number(kind)) and not kinds.is_null(kind):
        array = _texts(array)
    cells: pd.Series = array.to_pandas()
    return cells


def _is_number(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind))


def _moments(array: Any) -> Any:
    """Moments as they are, or as text where some lie beyond the years that Python has."""
    import pyarrow as pa
    import pyarrow.compute as pc

    counts, unit = array.view(pa.int64()), array.type.unit
    if unit == "ns":  # 64 bits of them reach from 1677 to 2262
        return array
    first, end = DAYS_IN_RANGE
    per_day = PER_DAY[unit]
    inside = pc.and_(pc.greater_equal(counts, first * per_day), pc.less(counts, end * per_day))
    if pc.all(inside).as_py() is not False:
        return array
    beyond = pc.binary_join_element_wise(counts.cast(pa.string()), f"{unit} since 1970", " ")
    return pc.if_else(inside, array.cast(pa.string()), beyond)


def _texts(array: Any) -> Any:
    """Anything else as text: bytes if they are UTF-8, lists and the like as Python writes them."""
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_string(array.type) or kinds.is_large_string(array.type):
        return array
    return pa.array(
        [
            None
            if value is None
            else value.decode("utf-8", "backslashreplace")
            if isinstance(value, bytes)
            else str(value)
            for value in array.to_pylist()
        ],
        pa.large_string(),
    )
