"""A table read chunk by chunk: only the asked names and the asked time are kept, as compact
arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from anomaly.collectors.cells import (
    Bad,
    Clock,
    Floats,
    Integers,
    SmallIntegers,
    empty,
    marks,
    numbers,
    stamps,
    texts,
)
from anomaly.collectors.steps import Labels, Samples
from anomaly.collectors.tables import Chunk, Table
from anomaly.errors import CollectError

SERIES_AT_MOST = 5_000
Part = tuple[
    Integers, Floats, SmallIntegers, SmallIntegers
]  # stamps, values, records, numbers of series, equally long


@dataclass(slots=True)
class Reading:
    """What has been read so far, within `[start, end)` (nanoseconds since 1970).

    `labels` are the values of `label_columns`, per number of a series. Where cells are `counted`
    they may hold anything, and each counts as 1. `bad` holds, per name, the first record that could
    not be read; `first` and `last` are the outermost stamps of the file; `names` are the names met
    in a long file.
    """

    table: Table
    label_columns: tuple[str, ...]
    start: int
    end: int
    counted: bool = False
    labels: dict[Labels, int] = field(default_factory=dict)
    parts: dict[str, list[Part]] = field(default_factory=dict)
    bad: dict[str, tuple[int, str]] = field(default_factory=dict)
    infinite: dict[str, int] = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None

    def add(
        self,
        name: str,
        cells: pd.Series,
        when: Integers,
        records: SmallIntegers,
        series: SmallIntegers,
    ) -> None:
        """Samples of `name`; a cell that is no number spoils the name."""
        if name in self.bad:
            return
        values, bad = (marks(cells), None) if self.counted else numbers(cells)
        if bad is not None:
            self.spoil(name, records, bad)
            return
        endless = np.isinf(values)
        if endless.any():
            self.infinite[name] = self.infinite.get(name, 0) + int(endless.sum())
            values = np.where(endless, np.nan, values)
        self.parts.setdefault(name, []).append((when, values, records, series))

    def spoil(self, name: str, records: SmallIntegers, bad: Bad) -> None:
        """`name` can't be read; the first reason is kept."""
        self.bad.setdefault(name, (int(records[bad.offset]), bad.reason))
        self.parts.pop(name, None)

    def inside(self, when: Integers) -> npt.NDArray[np.bool_]:
        """Which stamps lie in the window; remembers the outermost of all."""
        if len(when):
            first, last = int(when.min()), int(when.max())
            self.first = first if self.first is None else min(first, self.first)
            self.last = last if self.last is None else max(last, self.last)
        return (when >= self.start) & (when < self.end)

    def series(self, columns: Mapping[str, pd.Series]) -> SmallIntegers:
        """The number of the series that each row belongs to, by its labels; raises CollectError
        when there are too many."""
        label_cells = [columns[column] for column in self.label_columns]
        combined = np.zeros(len(next(iter(columns.values()))), dtype=np.int64)
        for column in label_cells:
            codes, distinct = pd.factorize(column, use_na_sentinel=False)
            _, combined = np.unique(combined * max(1, len(distinct)) + codes, return_inverse=True)
        _, examples, combined = np.unique(combined, return_index=True, return_inverse=True)
        values = [texts(column.iloc[examples]) for column in label_cells]
        numbers = [
            self.labels.setdefault(labels, len(self.labels))
            for labels in (zip(*values, strict=True) if values else [()])
        ]
        if len(self.labels) > SERIES_AT_MOST:
            raise CollectError(
                f"{self.table.name}: more than {SERIES_AT_MOST:,} series by "
                f"{', '.join(self.label_columns)}; "
                "remove the columns that are not labels"
            )
        return np.array(numbers, dtype=np.int32)[combined]

    def samples(self, name: str) -> Samples | None:
        """All samples of `name`, or None if there are none; raises CollectError when it could not
        be read."""
        if name in self.bad:
            record, reason = self.bad[name]
            raise CollectError(f"{self.table.place(record)}: {reason}")
        parts = [part for part in self.parts.get(name, ()) if len(part[0])]
        if not parts:
            return None
        when, values, records, series = [
            np.concatenate(arrays) for arrays in zip(*parts, strict=True)
        ]
        return Samples(when, values, records, series, tuple(self.labels))


def read_wide(reading: Reading, names: Sequence[str], clock: Clock, *, time: str) -> None:
    """Fills `reading` from a table with a column per name; a stamp that can't be read spoils every
    name."""
    for records, columns in _filled(
        reading.table.chunks(_once([time, *reading.label_columns, *names]))
    ):
        labels = [columns[column] for column in reading.label_columns]
        when, bad = stamps(columns[time], clock, labels, (reading.start, reading.end))
        if bad is not None:
            for name in names:
                reading.spoil(name, records, bad)
            return
        inside = reading.inside(when)
        mine = {column: cells[inside] for column, cells in columns.items()}
        series = reading.series(mine)
        for name in names:
            reading.add(name, mine[name], when[inside], records[inside], series)


def read_long(
    reading: Reading, names: Sequence[str], clock: Clock, *, time: str, kpi: str, value: str
) -> None:
    """Fills `reading` from a table with a row per name and moment; what can't be read spoils the
    name of its row."""
    for records, columns in _filled(
        reading.table.chunks(_once([time, kpi, value, *reading.label_columns]))
    ):
        codes, distinct = pd.factorize(columns[kpi], use_na_sentinel=False)
        kpi_names = texts(pd.Series(distinct)).tolist()
        reading.names |= dict.fromkeys(kpi_names)
        for number, name in enumerate(kpi_names):
            if name not in names:
                continue
            rows = codes == number
            labels = [columns[column][rows] for column in reading.label_columns]
            when, bad = stamps(columns[time][rows], clock, labels, (reading.start, reading.end))
            if bad is not None:
                reading.spoil(name, records[rows], bad)
                continue
            inside = reading.inside(when)
            mine = {column: cells[rows][inside] for column, cells in columns.items()}
            reading.add(
                name, mine[value], when[inside], records[rows][inside], reading.series(mine)
            )


def rows(table: Table, columns: Sequence[str], records: SmallIntegers) -> pd.DataFrame:
    """The cells of some records as text, indexed by their numbers."""
    parts = []
    for chunk in table.chunks(columns):
        numbers = np.arange(
            chunk.first, chunk.first + len(next(iter(chunk.columns.values()))), dtype=np.int32
        )
        asked = np.isin(numbers, records)
        cells = {column: texts(cells[asked]).to_numpy() for column, cells in chunk.columns.items()}
        parts.append(pd.DataFrame(cells, index=numbers[asked]))
    return pd.concat(parts)


def _filled(chunks: Iterator[Chunk]) -> Iterator[tuple[SmallIntegers, dict[str, pd.Series]]]:
    """Per chunk the numbers of its records and the columns, without the records that are empty in
    every column."""
    for chunk in chunks:
        records = np.arange(
            chunk.first, chunk.first + len(next(iter(chunk.columns.values()))), dtype=np.int32
        )
        blank = np.ones(len(records), dtype=bool)
        for cells in chunk.columns.values():
            blank[blank] = empty(cells[blank])
            if not blank.any():
                yield records, chunk.columns
                break
        else:
            yield (
                records[~blank],
                {column: cells[~blank] for column, cells in chunk.columns.items()},
            )


def _once(columns: Sequence[str]) -> list[str]:
    return [*dict.fromkeys(columns)]
