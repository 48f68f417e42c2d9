"""A table with a row per KPI and a column per moment, as one with a row per KPI and moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from anomaly.collectors import written_dates
from anomaly.collectors.reading import TOTALS
from anomaly.collectors.table_form import Chunk, Table


def moments(header: Sequence[str]) -> list[str]:
    """The names of columns that are moments."""
    return [name for name in header if written_dates.is_date(name)]


class Pivot:
    """The long form of a table whose header holds moments; its other columns stay, but for one of
    totals."""

    def __init__(self, table: Table, *, time: str, value: str) -> None:
        self._table = table
        self._moments = moments(table.header)
        self._time, self._value = time, value
        self.name, self.delimiter = table.name, table.delimiter
        self.labels = tuple(
            name
            for name in table.header
            if name not in self._moments and TOTALS.fullmatch(name) is None
        )
        self.header = (time, value, *self.labels)
        self.read_as = (*table.read_as, "KPIs in rows")

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The columns, row by row and then moment by moment."""
        width = len(self._moments)
        for chunk in self._table.chunks([*self.labels, *self._moments]):
            count = len(next(iter(chunk.columns.values())))
            table = np.array(
                [chunk.columns[name].to_numpy(dtype=object) for name in self._moments], dtype=object
            )
            cells = {
                self._time: np.tile(np.array(self._moments, dtype=object), count),
                self._value: table.T.ravel(),
                **{
                    name: np.repeat(chunk.columns[name].to_numpy(dtype=object), width)
                    for name in self.labels
                },
            }
            yield Chunk(
                chunk.first * width,
                {name: pd.Series(cells[name], dtype=object) for name in columns},
            )

    def place(self, record: int) -> str:
        """The place of the row that holds a record."""
        return self._table.place(record // len(self._moments))
