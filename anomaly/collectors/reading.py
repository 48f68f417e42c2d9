"""A table read chunk by chunk: only the asked names and the asked time are kept, as compact
arrays."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from anomaly.collectors import written_dates, written_numbers
from anomaly.collectors.cells import (
    LOST,
    NO_STAMP,
    SHOWN,
    Bad,
    Clock,
    Floats,
    Integers,
    SmallIntegers,
    any_naive,
    any_percent,
    days,
    empty,
    is_moment,
    marks,
    numbered,
    numbers,
    stamps,
    texts,
)
from anomaly.collectors.steps import Grid, Labels, Samples
from anomaly.collectors.table_form import Chunk, Table
from anomaly.collectors.written_dates import Dates, Order
from anomaly.collectors.written_numbers import Decimal
from anomaly.errors import CollectError
from anomaly.wording import plain

SERIES_AT_MOST = 20_000
WHOLE_NUMBERS = 2.0**53  # up to which a number has the same bits whatever stands beside it
DAYS_LOOKED_AT = 1_000  # rows of each part, to see which days they name
TOTALS = re.compile(  # what stands in the place of a time in a row of totals or averages
    r"(?:(?:grand|sub|overall|report)[ -]?)?totals?\b.*|totals?[ :].*|overall|sum|average|mean|"
    r"(?:gesamt|zwischen|end)?summen?|gesamt(?:ergebnis|wert)?|insgesamt|ergebnis|mittelwert|"
    r"durchschnitt|total(?:e|i|en|es|aux)\b.*|totaal|somme|moyenne|suma|soma|media|média|promedio|"
    r"summa|razem|celkem|итого.*|всего|合計|合计|总计|總計|합계",
    re.IGNORECASE,
)
Cells = tuple[SmallIntegers, dict[str, pd.Series]]  # numbers of records, and their columns
Part = tuple[
    Integers, Floats, SmallIntegers, SmallIntegers
]  # stamps, values, records, numbers of series, equally long


@dataclass(slots=True)
class Shared:
    """What is read of one table for whatever window: its parts by the columns asked for, with the
    rows of totals left out, and the numbers of a name by part."""

    parts: dict[tuple[str, ...], tuple[list[Cells], dict[int, str]]] = field(default_factory=dict)
    numbers: dict[Hashable, Floats | None] = field(default_factory=dict)


@dataclass(slots=True)
class Reading:
    """What has been read so far, within the asked steps: `edges` are their starts and the end of
    the last (nanoseconds since 1970).

    `labels` are the values of `label_columns`, per number of a series. Where cells are `counted`
    they may hold anything, and each counts as 1. `bad` holds, per name, the first record that could
    not be read; `first` and `last` are the outermost stamps of the file; `names` are the names met
    in a long file, `totals` the records left out because they have a word like Total for a time.
    `percent` tells whether numbers had a %, `naive` whether a time had no zone. `lost` counts the
    rows in an hour that clocks show twice which can't be told apart. `days` are stamps of rows at
    the start of a day, and that day as it was written (`cells.days`). What is `shared`
    of the `columns_read` is not read again.
    """

    table: Table
    label_columns: tuple[str, ...]
    edges: Integers
    counted: bool = False
    decimal: Decimal | None = None
    shared: Shared | None = None
    columns_read: tuple[str, ...] = ()
    labels: dict[Labels, int] = field(default_factory=dict)
    parts: dict[str, list[Part]] = field(default_factory=dict)
    bad: dict[str, tuple[int, str]] = field(default_factory=dict)
    infinite: dict[str, int] = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)
    totals: dict[int, str] = field(default_factory=dict)
    percent: bool = False
    naive: bool = False
    lost: int = 0
    days: list[tuple[Integers, Integers]] = field(default_factory=list)
    first: int | None = None
    last: int | None = None
    on_grid: bool = False
    crowded: bool = False
    grids: dict[str, Grid] = field(default_factory=dict)

    def add(
        self,
        name: str,
        part: int,
        cells: pd.Series,
        inside: npt.NDArray[np.bool_],
        when: Integers,
        records: SmallIntegers,
        series: SmallIntegers,
    ) -> None:
        """Samples of `name` in the part of a number: of its cells those `inside`, with their
        moments, records and series; a cell that is no number spoils the name."""
        if name in self.bad:
            return
        values, bad = self._values(name, part, cells, inside)
        if bad is not None:
            self.spoil(name, records, bad)
            return
        self.percent = self.percent or (self.decimal is not None and any_percent(cells[inside]))
        self.put(name, values, when, records, series)

    def put(
        self,
        name: str,
        values: Floats,
        when: Integers,
        records: SmallIntegers,
        series: SmallIntegers,
    ) -> None:
        """Samples of `name`, as numbers."""
        if name in self.bad or self.crowded:
            return
        endless = np.isinf(values)
        if endless.any():
            self.infinite[name] = self.infinite.get(name, 0) + int(endless.sum())
            values = np.where(endless, np.nan, values)
        if not self.on_grid:
            self.parts.setdefault(name, []).append((when, values, records, series))
            return
        grid = self.grids.get(name) or self.grids.setdefault(name, Grid(self.edges[:-1]))
        self.crowded = not grid.add(when, values, series)

    def _values(
        self, name: str, part: int, cells: pd.Series, inside: npt.NDArray[np.bool_]
    ) -> tuple[Floats, Bad | None]:
        if self.counted:
            return marks(cells[inside]), None
        if self.shared is not None:
            key = (self.columns_read, name, part, self.decimal)
            if key not in self.shared.numbers:
                values, bad = numbers(cells, self.decimal)
                is_safe = bad is None and not (np.abs(values) >= WHOLE_NUMBERS).any()
                self.shared.numbers[key] = values if is_safe else None
            whole = self.shared.numbers[key]
            if whole is not None:
                return whole[inside], None
        return numbers(cells[inside], self.decimal)

    def cells(self, columns: Sequence[str], time: str) -> Iterator[Cells]:
        """The parts of these columns without rows of totals, which are remembered."""
        self.columns_read = (time, *columns)
        if self.shared is not None and self.columns_read in self.shared.parts:
            parts, totals = self.shared.parts[self.columns_read]
            self.totals |= totals
            yield from parts
            return
        parts = []
        for part in self.without_totals(_filled(self.table.chunks(columns)), time):
            if self.shared is not None:
                parts.append(part)
            yield part
        if self.shared is not None:
            self.shared.parts[self.columns_read] = (parts, dict(self.totals))

    def spoil(self, name: str, records: SmallIntegers, bad: Bad) -> None:
        """`name` can't be read; the first reason is kept."""
        self.bad.setdefault(name, (int(records[bad.offset]), bad.reason))
        self.parts.pop(name, None)
        self.grids.pop(name, None)

    def unclear(self, name: str, problem: tuple[int, str]) -> None:
        """`name` can be read in two ways: at which record, and what to set."""
        self.bad[name] = problem
        self.parts.pop(name, None)
        self.grids.pop(name, None)

    def without_totals(self, parts: Iterator[Cells], time: str) -> Iterator[Cells]:
        """The parts without rows of totals; remembers those."""
        for records, columns in parts:
            if pd.api.types.is_datetime64_any_dtype(columns[time].dtype):
                yield records, columns
                continue
            codes, distinct = pd.factorize(texts(columns[time]))
            is_total = np.array(
                [
                    not text[:1].isdigit() and TOTALS.fullmatch(text) is not None
                    for text in distinct
                ],
                dtype=bool,
            )
            out = is_total[codes]
            for record, code in zip(records[out].tolist(), codes[out].tolist(), strict=True):
                self.totals[record] = str(distinct[code])
            if not out.all():
                yield records[~out], {column: cells[~out] for column, cells in columns.items()}

    def see(self, cells: pd.Series, when: Integers, clock: Clock) -> None:
        """Remembers how times are written: whether they have a zone, and which days they name."""
        self.naive = self.naive or any_naive(cells, clock)
        named = days(cells.iloc[:DAYS_LOOKED_AT], clock)
        is_day = named != NO_STAMP
        self.days.append((when[:DAYS_LOOKED_AT][is_day], named[is_day]))

    def inside(self, when: Integers) -> npt.NDArray[np.bool_]:
        """Which stamps lie in the window; remembers the outermost of all, and how many are lost."""
        is_lost = when == LOST
        self.lost += int(is_lost.sum())
        is_known = ~is_lost & (when != NO_STAMP)
        moments = when if is_known.all() else when[is_known]
        if len(moments):
            first, last = int(moments.min()), int(moments.max())
            self.first = first if self.first is None else min(first, self.first)
            self.last = last if self.last is None else max(last, self.last)
        start, end = self.edges[[0, -1]].tolist() if len(self.edges) else (0, 0)
        return np.asarray(is_known & (when >= start) & (when < end))

    def series(self, columns: Mapping[str, pd.Series]) -> SmallIntegers:
        """The number of the series that each row belongs to, by its labels; raises CollectError
        when there are too many."""
        label_cells = [columns[column] for column in self.label_columns]
        count = len(next(iter(columns.values())))
        if not label_cells:
            self.labels.setdefault((), 0)
            return np.full(count, self.labels[()], dtype=np.int32)
        combined = np.zeros(count, dtype=np.int64)
        for place, column in enumerate(label_cells):
            codes, distinct = numbered(column)
            if place:
                codes, _ = pd.factorize(combined * len(distinct) + codes)
            combined = codes
        examples = np.zeros(combined.max(initial=-1) + 1, dtype=np.int64)
        examples[combined[::-1]] = np.arange(count)[::-1]  # the first of each
        values = [texts(column.iloc[examples]) for column in label_cells]
        numbers = [
            self.labels.setdefault(labels, len(self.labels)) for labels in zip(*values, strict=True)
        ]
        if len(self.labels) > SERIES_AT_MOST:
            raise CollectError(
                f"{self.table.name}: more than {SERIES_AT_MOST:,} series by "
                f"{', '.join(self.label_columns)}; "
                "remove the columns that are not labels"
            )
        return np.array(numbers, dtype=np.int32)[combined]

    def expect_read(self, name: str) -> None:
        """Raises CollectError if `name` could not be read."""
        if name in self.bad:
            record, reason = self.bad[name]
            raise CollectError(f"{self.table.place(record)}: {reason}")

    def samples(self, name: str) -> Samples | None:
        """All samples of `name`, or None if there are none; raises CollectError when it could not
        be read."""
        self.expect_read(name)
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
    columns_read = _once([time, *reading.label_columns, *names])
    for part, (records, columns) in enumerate(reading.cells(columns_read, time)):
        labels = [columns[column] for column in reading.label_columns]
        when, bad = stamps(columns[time], clock, labels, reading.edges)
        if bad is not None:
            for name in names:
                reading.spoil(name, records, bad)
            return
        reading.see(columns[time], when, clock)
        inside = reading.inside(when)
        mine = {column: columns[column][inside] for column in (time, *reading.label_columns)}
        series = reading.series(mine)
        for name in names:
            reading.add(name, part, columns[name], inside, when[inside], records[inside], series)


def read_long(
    reading: Reading, names: Sequence[str], clock: Clock, *, time: str, kpi: str, value: str
) -> None:
    """Fills `reading` from a table with a row per name and moment; what can't be read spoils the
    name of its row."""
    columns_read = _once([time, kpi, value, *reading.label_columns])
    for part, (records, columns) in enumerate(reading.cells(columns_read, time)):
        codes, distinct = numbered(columns[kpi])
        kpi_names = texts(distinct).tolist()
        reading.names |= dict.fromkeys(kpi_names)
        is_judged = np.array([name in names for name in kpi_names], dtype=bool)[codes]
        typed = _typed(reading, columns, clock, is_judged, time=time, value=value)
        if typed is not None:
            rows, when, values = typed
            series = reading.series(
                {column: _taken(columns[column], rows) for column in (time, *reading.label_columns)}
            )
            of_name = codes[rows]
            for number, name in enumerate(kpi_names):
                if name not in names:
                    continue
                own = slice(None) if len(kpi_names) == 1 else of_name == number
                if len(rows[own]):
                    reading.put(name, values[own], when[own], records[rows[own]], series[own])
            continue
        for number, name in enumerate(kpi_names):
            if name not in names:
                continue
            rows = codes == number
            labels = [columns[column][rows] for column in reading.label_columns]
            when, bad = stamps(columns[time][rows], clock, labels, reading.edges)
            if bad is not None:
                reading.spoil(name, records[rows], bad)
                continue
            reading.see(columns[time][rows], when, clock)
            inside = reading.inside(when)
            of_rows = {column: cells[rows] for column, cells in columns.items()}
            series = reading.series({name: cells[inside] for name, cells in of_rows.items()})
            records_inside = records[rows][inside]
            reading.add(name, part, of_rows[value], inside, when[inside], records_inside, series)


def _typed(
    reading: Reading,
    columns: Mapping[str, pd.Series],
    clock: Clock,
    is_judged: npt.NDArray[np.bool_],
    *,
    time: str,
    value: str,
) -> tuple[Integers, Integers, Floats] | None:
    """The judged rows within the window, with their stamps and values, where times are moments and
    values numbers; None where they are not, or have to be counted."""
    times, cells = columns[time], columns[value]
    is_moments = isinstance(times.dtype, pd.DatetimeTZDtype)
    if reading.counted or not is_moments or not pd.api.types.is_numeric_dtype(cells.dtype):
        return None
    rows = np.flatnonzero(is_judged)
    times = _taken(times, rows)
    when, bad = stamps(times, clock)
    if bad is not None:
        return None
    if len(rows):
        reading.see(times.iloc[:DAYS_LOOKED_AT], when, clock)
    inside = reading.inside(when)
    if not inside.all():
        rows, when = rows[inside], when[inside]
    return rows, when, cells.to_numpy(dtype=np.float64, na_value=np.nan)[rows]


def _taken(cells: pd.Series, rows: Integers) -> pd.Series:
    """The cells in some rows, that are in order and not there twice."""
    return cells if len(rows) == len(cells) else cells.iloc[rows]


@dataclass(frozen=True, slots=True)
class Forms:
    """How numbers and dates are written in a table: the decimal sign, and the form of dates that
    are not ISO-8601, None without any. `problem` is a record that allows two readings, and what to
    set."""

    decimal: Decimal | None
    dates: Dates | None
    problem: tuple[int, str] | None


def forms(
    table: Table,
    *,
    time: str,
    values: Sequence[str],
    is_standard: bool,
    decimal: Decimal | None,
    clock: Clock,
) -> Forms:
    """The forms that the cells of a table tell, where `decimal` and `clock.dates` do not say them
    yet. In a standard file, `1.234` has a decimal point."""
    dates, digits = written_dates.Evidence(), written_numbers.Evidence()
    for records, columns in _filled(table.chunks(_once([time, *values]))):
        if clock.dates is None:
            words = _texts_of(columns[time], records)
            dates.add(each for each in words if not is_moment(each[1]))
        for name in () if decimal is not None else values:
            digits.add(_texts_of(columns[name], records))
    problems: list[tuple[int, str]] = []
    written = clock.dates
    if written is None and dates.met:
        order, unclear = _order(table, dates)
        written = Dates(order, example=plain(dates.met, SHOWN))
        problems += unclear
    if decimal is None:
        decimal, unclear = _decimal(table, digits, is_standard=is_standard)
        problems += unclear
    if not problems:
        return Forms(decimal, written, None)
    record, text = problems[0]
    more = [f"; {table.place(at)}: {other}" for at, other in problems[1:]]
    return Forms(decimal, written, (record, "".join([text, *more])))


def _texts_of(cells: pd.Series, records: SmallIntegers) -> Iterator[tuple[int, str]]:
    """The distinct texts with the first record of each; none of what is typed."""
    if pd.api.types.is_numeric_dtype(cells.dtype) or pd.api.types.is_datetime64_any_dtype(
        cells.dtype
    ):
        return
    if cells.dtype == object:  # the cells of a sheet have types of their own
        is_text = cells.map(lambda cell: isinstance(cell, str)).to_numpy(dtype=bool)
        cells, records = cells[is_text], records[is_text]
    words = texts(cells)
    first = ~words.duplicated().to_numpy()
    yield from zip(records[first].tolist(), words[first].tolist(), strict=True)


def _order(table: Table, dates: written_dates.Evidence) -> tuple[Order, list[tuple[int, str]]]:
    """Whether the day or the month comes first, and what to set if that is not clear."""
    if len(dates.only) > 1:
        (record, text), (other, more) = dates.only.values()
        return Order.DAY, [
            (
                record,
                f"{plain(text, SHOWN)!r} and {plain(more, SHOWN)!r} at {table.place(other)} have "
                "day and month in different orders; export dates in one form, or set date_format",
            )
        ]
    if dates.only:
        return next(iter(dates.only)), []
    if dates.either is None or dates.sign == ".":
        return Order.DAY, []
    record, text = dates.either
    readings = " or ".join(written_dates.spoken(text, order) for order in Order)
    settings = " or ".join(f'"{written_dates.format_of(text, order)}"' for order in Order)
    return Order.DAY, [
        (record, f"{plain(text, SHOWN)!r} is {readings}; set date_format to {settings}")
    ]


def _decimal(
    table: Table, digits: written_numbers.Evidence, *, is_standard: bool
) -> tuple[Decimal, list[tuple[int, str]]]:
    """The decimal sign, and what to set if that is not clear."""
    if len(digits.only) > 1:
        (record, text), (other, more) = digits.only.values()
        return Decimal.POINT, [
            (
                record,
                f"{plain(text, SHOWN)!r} and {plain(more, SHOWN)!r} at {table.place(other)} have "
                'different decimal signs; set decimal to "," or "."',
            )
        ]
    if digits.only:
        return next(iter(digits.only)), []
    if digits.either is None or (is_standard and Decimal.COMMA not in digits.either[1]):
        return Decimal.POINT, []
    record, text = digits.either
    choices = " or ".join(
        f'{reading.value:.12g} (decimal: "{decimal}")'
        for decimal in Decimal
        if (reading := written_numbers.read(text, decimal)) is not None
    )
    return Decimal.POINT, [(record, f"{plain(text, SHOWN)!r} is {choices}; set decimal")]


def rows(table: Table, columns: Sequence[str], records: SmallIntegers) -> pd.DataFrame:
    """The cells of some records as text, indexed by their numbers."""
    parts = []
    for chunk in table.chunks(columns):
        numbers = np.arange(
            chunk.first, chunk.first + len(next(iter(chunk.columns.values()))), dtype=np.int32
        )
        is_record = np.isin(numbers, records)
        cells = {
            column: texts(cells[is_record]).to_numpy() for column, cells in chunk.columns.items()
        }
        parts.append(pd.DataFrame(cells, index=numbers[is_record]))
    return pd.concat(parts)


def _filled(chunks: Iterator[Chunk]) -> Iterator[Cells]:
    """Per chunk the numbers of its records and the columns, without the records that are empty in
    every column."""
    for chunk in chunks:
        records = np.arange(
            chunk.first, chunk.first + len(next(iter(chunk.columns.values()))), dtype=np.int32
        )
        columns = iter(chunk.columns.values())
        blank = np.flatnonzero(empty(next(columns)))
        for cells in columns:
            if not len(blank):
                break
            blank = blank[empty(cells.iloc[blank])]
        if not len(blank):
            yield records, chunk.columns
        else:
            keep = np.ones(len(records), dtype=bool)
            keep[blank] = False
            yield records[keep], {column: cells[keep] for column, cells in chunk.columns.items()}


def _once(columns: Sequence[str]) -> list[str]:
    return [*dict.fromkeys(columns)]
