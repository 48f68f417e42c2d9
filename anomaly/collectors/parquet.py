"""Tables in Parquet files.

The Arrow table alone is read: what pandas noted in the file, an index for example, does not matter,
since an index is a column there too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pandas as pd

from anomaly.collectors.tables import ROWS_AT_MOST, ROWS_PER_CHUNK, Chunk, too_large
from anomaly.errors import CollectError
from anomaly.wording import plain

# what the library raises about damaged files, besides its own errors
DAMAGE = (OSError, ValueError, TypeError, LookupError, OverflowError, MemoryError)
DAYS_IN_RANGE = (-719_162, 2_932_897)  # 0001-01-01 to the end of 9999, since 1970
PER_DAY = {
    "s": 86_400,
    "ms": 86_400_000,
    "us": 86_400_000_000,
    "ns": 86_400_000_000_000,
}


class ParquetTable:
    """A Parquet file; its records are rows, counted from 1.

    Raises CollectError for a file that is damaged or has too many rows, and for one that unpacks to
    more than `max_bytes`, by its own word here, or as it is read.
    """

    def __init__(self, file: BinaryIO, name: str, max_bytes: int) -> None:
        try:
            import pyarrow as pa  # type: ignore[import-untyped]
            import pyarrow.parquet as pq  # type: ignore[import-untyped]
        except ImportError as error:
            raise CollectError(
                f"{name}: is a Parquet file; to read it: pip install 'release-anomaly[parquet]'"
            ) from error
        self.name = name
        self._max_bytes = max_bytes
        self._damage = (pa.ArrowException, *DAMAGE)
        try:
            about = pq.read_metadata(file)
            file.seek(0)
            schema = pq.read_schema(file)
            file.seek(0)
            # a text that many rows share is kept once
            self._file = pq.ParquetFile(
                file,
                read_dictionary=[each.name for each in schema if _is_text(each.type)],
            )
            unpacked = sum(
                about.row_group(number).total_byte_size for number in range(about.num_row_groups)
            )
            self.header = tuple(schema.names)
        except self._damage as error:
            raise self._damaged(error) from None
        if unpacked > max_bytes:
            raise too_large(name, max_bytes)
        if about.num_rows > ROWS_AT_MOST:
            raise CollectError(
                f"{name}: {about.num_rows:,} rows; at most {ROWS_AT_MOST:,} are read"
            )

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The columns: moments as UTC or naive times, numbers as numbers, all else as text."""
        first = unpacked = 0
        try:
            for batch in self._file.iter_batches(
                batch_size=ROWS_PER_CHUNK, columns=list(columns), use_threads=False
            ):
                batch.validate(full=True)
                at = [batch.schema.get_all_field_indices(column)[0] for column in columns]
                arrays = [batch.column(position) for position in at]
                unpacked += sum(_size(array) for array in arrays)
                if unpacked > self._max_bytes:
                    raise too_large(self.name, self._max_bytes)
                yield Chunk(
                    first,
                    {column: _cells(array) for column, array in zip(columns, arrays, strict=True)},
                )
                first += batch.num_rows
        except self._damage as error:
            raise self._damaged(error) from None

    def place(self, record: int) -> str:
        """`file:row n`."""
        return f"{self.name}:row {record + 1}"

    def _damaged(self, error: BaseException) -> CollectError:
        text = plain(" ".join(str(error).split()), 200) or type(error).__name__
        return CollectError(
            f"{self.name}: is not a readable Parquet file, or damaged: {text}; write it anew"
        )


def _is_text(dtype: Any) -> bool:
    import pyarrow.types as kinds  # type: ignore[import-untyped]

    return bool(
        kinds.is_string(dtype)
        or kinds.is_large_string(dtype)
        or kinds.is_binary(dtype)
        or kinds.is_large_binary(dtype)
    )


def _size(array: Any) -> int:
    """The bytes of a column when each of its rows holds its own text."""
    import pyarrow.compute as pc  # type: ignore[import-untyped]
    import pyarrow.types as kinds

    if kinds.is_dictionary(array.type) and _is_text(array.type.value_type):
        lengths = pc.take(pc.binary_length(array.dictionary).cast("int64"), array.indices)
        return int(pc.sum(lengths).as_py() or 0)
    return int(array.nbytes)


def _cells(array: Any) -> pd.Series:
    """A column of a batch as `cells` reads it."""
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_dictionary(array.type):
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
    first, end = (days * PER_DAY[unit] for days in DAYS_IN_RANGE)
    inside = pc.and_(pc.greater_equal(counts, first), pc.less(counts, end))
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
