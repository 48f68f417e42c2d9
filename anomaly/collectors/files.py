"""Series from a CSV or Parquet file, a workbook, or from the standard input.

Three layouts. Wide: a row per moment and a column per KPI (`time, orders, sessions`), with columns
of labels where a KPI has segments (`time, country, requests, errors`). Long: a row per KPI, moment
and segment (`time, kpi, value, country`); every column beside those three is a label. Pivot: a row
per KPI and a column per moment (`kpi, 2025-06-02, 2025-06-03`). A KPI's `query` and `denominator`
are names of columns, or values of the kpi column.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import BinaryIO, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd

from anomaly.collectors import pivot
from anomaly.collectors.cells import (
    Clock,
    Floats,
    Integers,
    SmallIntegers,
    TimeUnit,
    decoded,
    is_moment,
    texts,
)
from anomaly.collectors.reading import Reading, Shared, forms, read_long, read_wide, rows
from anomaly.collectors.steps import ADDITIVE, Labels, Resample, Stepped, to_steps
from anomaly.collectors.table_form import Table, TextForm
from anomaly.collectors.tables import STDIN, ParquetTable, open_table
from anomaly.collectors.written_dates import Dates, checked_format
from anomaly.collectors.written_numbers import Decimal
from anomaly.contracts import Collected, Provenance
from anomaly.errors import CollectError, UsageError
from anomaly.model import Empty, Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble, edges, grid, segment_text
from anomaly.steps import CalendarStep
from anomaly.timing.durations import duration_text
from anomaly.wording import plain, stamp

NAMES_SHOWN = 12
UNLIKELY = int(datetime(1980, 1, 1, tzinfo=UTC).timestamp()) * 10**9  # before: of a wrong unit
SHORT_BY = 0.01  # of the window: a history that begins later than this is worth a note
LARGEST_FILE = 1 << 30
MOST_SHARED = 1 << 25  # bytes of a file of which the cells are held for several windows


class Layout(StrEnum):
    """A column per KPI, a row per KPI and moment, or a row per KPI and a column per moment."""

    WIDE = "wide"
    LONG = "long"
    PIVOT = "pivot"


class FilesCollector:
    """Reads KPIs from one file, once per `collect`; only the asked window is kept.

    `path` is the file, or `-` for the standard input. A stamp without a zone needs `timezone` (an
    IANA name; `calendar_zone` where there is none), a number needs `time_unit` (s, ms, us, ns).
    Several rows in one step need `resample`. How cells, numbers and dates are written is found out,
    and said; where two readings are possible, `delimiter`, `encoding`, `decimal` or `date_format`
    must say which. Empty cells, `nan`, `null` and infinities are missing; any other text that is no
    number is an error with its line. A step without a row is missing too, but in a long file a
    numerator without a row is 0 where its denominator has one.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"stdin", "calendar_zone", "shared", "now"})

    def __init__(
        self,
        *,
        path: Path,
        layout: Layout = Layout.WIDE,
        time_column: str = "time",
        kpi_column: str = "kpi",
        value_column: str = "value",
        timezone: str | None = None,
        time_unit: TimeUnit | None = None,
        date_format: str | None = None,
        decimal: Decimal | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        sheet: str | None = None,
        resample: Resample | None = None,
        max_bytes: int = LARGEST_FILE,
        stdin: BinaryIO | None = None,
        calendar_zone: str | None = None,
        shared: Callable[[Hashable, Callable[[], Shared]], Shared | None] = lambda *_: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path, self._shared, self._now = Path(path), shared, now
        self._layout = Layout(layout)
        self._names = (time_column, kpi_column, value_column)
        self._resample = None if resample is None else Resample(resample)
        zone = timezone or calendar_zone
        self._clock = Clock(
            None if zone is None else _zone(zone),
            None if time_unit is None else TimeUnit(time_unit),
            None if date_format is None else Dates(format=checked_format(date_format)),
        )
        self._zone_is_given = timezone is not None
        self._decimal = None if decimal is None else Decimal(decimal)
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
            raise UsageError(f"delimiter is {delimiter!r}; give one sign, like ; or | or \\t")
        self._form = TextForm(
            None if encoding is None else _encoding(encoding), delimiter, sheet=sheet
        )
        self._max_bytes = max_bytes
        self._stdin = stdin

    @property
    def zone(self) -> ZoneInfo | None:
        """The time zone of times without one."""
        return self._clock.timezone

    def collect(self, kpis: Sequence[Kpi], window: Window, step: timedelta, /) -> Collected:
        """The panel of `kpis` over the whole steps of `window`; what can't be read is an error of
        the KPIs concerned."""
        try:
            form = replace(self._form, names=(*self._names, *_names(kpis), *_labels(kpis)))
            shared = self._shared_now(form)
            with open_table(self._path, self._stdin, self._max_bytes, form) as table:
                return self.collect_table(table, kpis, window, step, shared)
        except CollectError as error:
            return Collected(
                assemble({}, grid(window, step)),
                _provenance(kpis, {}),
                {kpi.name: error for kpi in kpis},
            )

    def cells(self, rows: int) -> pd.DataFrame:
        """The first rows of the file as they stand there, text from CSV. Raises CollectError."""
        with open_table(self._path, self._stdin, self._max_bytes, self._form) as table:
            parts: list[pd.DataFrame] = []
            for chunk in table.chunks([*dict.fromkeys(name for name in table.header if name)]):
                columns = {name: decoded(cells) for name, cells in chunk.columns.items()}
                parts.append(pd.DataFrame(columns))
                if chunk.first + len(parts[-1]) >= rows:
                    break
            return pd.concat(parts, ignore_index=True)[:rows] if parts else pd.DataFrame()

    def _shared_now(self, form: TextForm) -> Shared | None:
        """What several windows share of the file as it is now, if it is not too large for that."""
        if str(self._path) == STDIN:
            return None
        try:
            about = self._path.stat()
        except OSError:  # the one that opens it says why
            return None
        if about.st_size > MOST_SHARED:
            return None
        is_now = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        return self._shared((self._path, is_now, form, self._layout), Shared)

    def collect_table(
        self,
        table: Table,
        kpis: Sequence[Kpi],
        window: Window,
        step: timedelta,
        shared: Shared | None = None,
    ) -> Collected:
        """As `collect`, from an open table; raises CollectError when no KPI can be read from it."""
        index = grid(window, step)
        table, shape = self._shaped(table, kpis)
        bounds = edges(index, step)
        names = _names(kpis)
        part: Table = table
        if isinstance(table, ParquetTable) and shape.layout is Layout.LONG and shared is None:
            part = table.where(shape.kpi, names) if table.header.count(shape.kpi) == 1 else table
        reading, clock = self._read(part, shape, kpis, bounds, shared)
        if part is not table and not names.keys() <= reading.names.keys():
            reading, clock = self._read(table, shape, kpis, bounds, shared)
        read_as = self._read_as(reading, clock)
        source = _Source(reading, shape, index, bounds, step, self._resample, read_as, clock)
        columns: dict[tuple[str, str, str], Floats] = {}
        notes: dict[str, tuple[str, ...]] = {}
        errors: dict[str, CollectError] = {}
        ahead = self._ahead(reading)
        for kpi in kpis:
            try:
                mine, more = source.columns(kpi)
                notes[kpi.name] = (*more, *ahead)
            except CollectError as error:  # one KPI that can't be read must not hide the others
                errors[kpi.name] = error
            else:
                columns |= mine
        return Collected(assemble(columns, index), _provenance(kpis, notes), errors)

    def _shaped(self, table: Table, kpis: Sequence[Kpi]) -> tuple[Table, _Shape]:
        """The table with a row per moment, and what its columns are. A wide table without the
        column of times whose header holds moments has its KPIs in rows."""
        time, kpi, value = self._names
        layout = self._layout
        if layout is Layout.WIDE and time not in table.header and TextForm().fit(table.header):
            layout = Layout.PIVOT
        if layout is not Layout.PIVOT:
            return table, _Shape(layout, time, kpi, value)
        table = pivot.Pivot(table, time=time, value=value)
        others = [name for name in table.labels if name not in _labels(kpis)]
        if kpi not in table.labels:
            if len(others) != 1:
                names = ", ".join(plain(name, 40) for name in others[:NAMES_SHOWN])
                raise CollectError(
                    f"{table.name}: the KPIs are in rows; set kpi_column to the column of their "
                    f"names, one of {names or 'none'}"
                )
            kpi = others[0]
        return table, _Shape(Layout.LONG, time, kpi, value)

    def _read(
        self,
        table: Table,
        shape: _Shape,
        kpis: Sequence[Kpi],
        bounds: npt.NDArray[np.int64],
        shared: Shared | None,
    ) -> tuple[Reading, Clock]:
        """Everything that the KPIs need of the table, and how its times were read: as programs
        write numbers and dates, or else as people do."""
        names = [*_names(kpis)]
        by = [*_labels(kpis)]
        additive = self._resample in ADDITIVE
        if shape.layout is Layout.LONG:
            _require(table, (shape.time, shape.kpi, shape.value))
            own = {shape.time, shape.kpi, shape.value, ""}
            labels = [
                column
                for column in table.header
                if column not in own and (column in by or not additive)
            ]
            columns = [shape.value]
        else:
            _require(table, (shape.time,), "; set time_column to the one with the times")
            labels = [label for label in by if label in table.header]
            columns = [name for name in names if table.header.count(name) == 1]

        def attempt(clock: Clock, decimal: Decimal | None) -> Reading:
            counted = self._resample is Resample.COUNT
            for on_grid in (self._resample is None, False):
                reading = Reading(
                    table, tuple(labels), bounds, counted, decimal, shared, on_grid=on_grid
                )
                if shape.layout is Layout.LONG:
                    read_long(
                        reading, names, clock, time=shape.time, kpi=shape.kpi, value=shape.value
                    )
                else:
                    read_wide(reading, columns, clock, time=shape.time)
                if not reading.crowded:
                    break
            return reading

        reading = attempt(self._clock, self._decimal)
        is_standard = table.delimiter in ("", ",")
        if not reading.bad and is_standard:
            return reading, self._clock
        form = forms(
            table,
            time=shape.time,
            values=[] if self._resample is Resample.COUNT else columns,
            is_standard=is_standard,
            decimal=self._decimal,
            clock=self._clock,
        )
        if form.problem is not None:
            for name in [*reading.bad] if is_standard else names:
                reading.unclear(name, form.problem)
            return reading, self._clock
        clock = replace(self._clock, dates=form.dates)
        if (clock, form.decimal) == (self._clock, self._decimal):
            return reading, clock
        return attempt(clock, form.decimal), clock

    def _ahead(self, reading: Reading) -> list[str]:
        """That times without a zone lie in the future, as those of another zone may."""
        zone, last = self._clock.timezone, reading.last
        if not reading.naive or zone is None or last is None:
            return []
        if last <= pd.Timestamp(self._now()).value:
            return []
        return [
            f"times go on until {_moment(last)}, still to come: is {zone.key} the right timezone?"
        ]

    def _read_as(self, reading: Reading, clock: Clock) -> tuple[str, ...]:
        """What was found out about the form of the table."""
        remarks = [*reading.table.read_as]
        if reading.decimal is Decimal.COMMA and self._decimal is None:
            remarks.append("decimal comma")
        if reading.percent:
            remarks.append("percent as shares of 1")
        if clock.dates is not None and clock.dates != self._clock.dates:
            remarks.append(f"dates like {clock.dates.example}")
        if reading.naive and clock.timezone is not None and (remarks or not self._zone_is_given):
            remarks.append(str(clock.timezone))
        notes = [f"read as: {', '.join(remarks)}"] if remarks else []
        if reading.totals:
            record, text = next(iter(reading.totals.items()))
            more = f" and {len(reading.totals) - 1} more" if len(reading.totals) > 1 else ""
            notes.append(
                f"{reading.table.place(record)}: {plain(text, 40)!r} is a row of totals{more}, "
                "left out"
            )
        if reading.lost:
            notes.append(
                f"{reading.lost:,} rows in an hour that clocks show twice can't be told apart and "
                "are left out; write such times with an offset"
            )
        return tuple(notes)


@dataclass(frozen=True, slots=True)
class _Shape:
    """The layout of a table with a row per moment, and the names of its columns."""

    layout: Layout
    time: str
    kpi: str
    value: str


@dataclass(frozen=True, slots=True)
class _Sampled:
    """The samples of one name: the values of `by` of each segment, the distinct moments, and what
    gives the values by segment and step."""

    labels: Sequence[Labels]
    moments: Integers
    stepped: Callable[[], Stepped]


@dataclass(frozen=True, slots=True)
class _Side:
    """One role of a KPI: per segment its values by step and whether the file says anything of that
    step."""

    values: Mapping[str, Floats]
    present: Mapping[str, npt.NDArray[np.bool_]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Source:
    """A table that has been read, and how its samples come onto the grid."""

    reading: Reading
    shape: _Shape
    index: pd.DatetimeIndex
    bounds: Integers  # `edges` of the index
    step: timedelta
    resample: Resample | None
    read_as: tuple[str, ...]
    clock: Clock

    def columns(self, kpi: Kpi) -> tuple[dict[tuple[str, str, str], Floats], tuple[str, ...]]:
        """The panel columns of one KPI and what is worth knowing; raises CollectError when it can't
        be read."""
        _require(self.reading.table, kpi.by)
        value = self._side(kpi.query, kpi.by)
        if kpi.denominator is None:
            sides = {VALUE: value}
        else:
            denominator = self._side(kpi.denominator, kpi.by)
            sides = {NUMERATOR: self._joined(value, denominator, kpi), DENOMINATOR: denominator}
        segments = [*dict.fromkeys(segment for side in sides.values() for segment in side.values)]
        nothing = np.full(len(self.index), np.nan)
        columns = {
            (kpi.name, segment, role): side.values.get(segment, nothing)
            for segment in segments
            for role, side in sides.items()
        }
        notes = [note for side in sides.values() for note in side.notes]
        whole = [*columns.values()]
        return columns, tuple(
            dict.fromkeys(
                [*self.read_as, *notes, *self._begins_late(whole), *self._silent(whole, kpi)]
            )
        )

    def _side(self, name: str, by: tuple[str, ...]) -> _Side:
        if self.shape.layout is Layout.WIDE:
            _require(self.reading.table, (name,), self._where_else(name))
        sampled = self._on_grid(name, by) if self.reading.on_grid else self._at_hand(name, by)
        if sampled is None:
            return _Side({}, {}, (self._nothing(name),))
        spacing = _spacing(sampled.moments)
        self._expect_own_days(spacing)
        on_grid = sampled.stepped()
        self._expect_alike(on_grid.repeats, name, by)
        values, present = on_grid.values, on_grid.present
        partial_steps = np.zeros(len(self.index), dtype=bool)
        if self.resample in ADDITIVE:
            partial_steps = self._incomplete(sampled.moments, spacing)
            values = np.where(partial_steps, np.nan, values)
            present = present & ~partial_steps
        segments = [segment_text(dict(zip(by, labels, strict=True))) for labels in sampled.labels]
        notes = self._notes(name, sampled.moments, spacing, partial_steps)
        if len(on_grid.repeats):
            notes.insert(0, f"{len(on_grid.repeats):,} repeated rows count once")
        return _Side(
            dict(zip(segments, values, strict=True)),
            dict(zip(segments, present, strict=True)),
            tuple(notes),
        )

    def _on_grid(self, name: str, by: tuple[str, ...]) -> _Sampled | None:
        """What was read of `name`, if it was put onto the steps at once."""
        self.reading.expect_read(name)
        grid = self.reading.grids.get(name)
        if grid is None or not grid.numbers:
            return None
        every = tuple(self.reading.labels)
        labels, _ = self._segments([every[number] for number in grid.numbers], name, by)
        return _Sampled(labels, grid.moments, grid.stepped)

    def _at_hand(self, name: str, by: tuple[str, ...]) -> _Sampled | None:
        """What was read of `name`, if all of it is at hand."""
        samples = self.reading.samples(name)
        if samples is None:
            return None
        present_numbers, numbers = np.unique(samples.numbers, return_inverse=True)
        full = [samples.labels[number] for number in present_numbers]
        labels, segments = self._segments(full, name, by)
        samples = replace(samples, numbers=segments[numbers], labels=labels)
        place = self.reading.table.place
        return _Sampled(
            labels,
            np.unique(samples.stamps),
            partial(to_steps, samples, self.index, self.resample, place),
        )

    def _where_else(self, name: str) -> str:
        """What to set where a wide table has no column of this name, but cells that hold it."""
        table = self.reading.table
        if name in table.header:
            return ""
        for column in table.header:
            if table.header.count(column) != 1:
                continue
            chunk = next(iter(table.chunks([column])), None)
            if chunk is not None and (texts(chunk.columns[column]) == name).any():
                own = "" if column == self.shape.kpi else f", kpi_column: {plain(column, 40)}"
                return f"; column {column!r} holds it in its rows: set layout: long{own}"
        return ""

    def _segments(
        self, full: Sequence[Labels], name: str, by: tuple[str, ...]
    ) -> tuple[list[Labels], SmallIntegers]:
        """The values of `by` of each segment, and the number of the segment of each series, by its
        `full` labels; raises CollectError where a segment holds two series whose rows do not add
        up."""
        columns = self.reading.label_columns
        at = [columns.index(label) for label in by]
        short = [tuple(labels[position] for position in at) for labels in full]
        first: dict[Labels, int] = {}
        numbers: dict[Labels, int] = {}
        for position, labels in enumerate(short):
            numbers.setdefault(labels, len(numbers))
            if first.setdefault(labels, position) < position and self.resample not in ADDITIVE:
                one, other = full[first[labels]], full[position]
                differing = [c for c, a, b in zip(columns, one, other, strict=True) if a != b]
                labels_of_all = plain(", ".join([*by, *differing]), 80)
                examples = " and ".join(
                    segment_text({c: part[columns.index(c)] for c in differing})
                    for part in (one, other)
                )
                raise CollectError(
                    f"{self.reading.table.name}: {name!r} holds several series "
                    f"({plain(examples, 80)}); "
                    f"write by: [{labels_of_all}], or resample: sum to add them up"
                )
        return [*numbers], np.array([numbers[labels] for labels in short], dtype=np.int32)

    def _joined(self, numerator: _Side, denominator: _Side, kpi: Kpi) -> _Side:
        """The numerator with 0 where a long file has a row of the denominator alone: nothing
        happened there."""
        if self.shape.layout is Layout.WIDE:
            return numerator
        nothing, never = np.full(len(self.index), np.nan), np.zeros(len(self.index), dtype=bool)
        values = dict(numerator.values)
        for segment, counts in denominator.values.items():
            silent = ~numerator.present.get(segment, never) & np.isfinite(counts)
            values[segment] = np.where(silent, 0.0, values.get(segment, nothing))
        notes = numerator.notes
        if not numerator.values and values:
            notes = (*notes, f"{kpi.query!r} counts as 0 wherever {kpi.denominator!r} has a row")
        return replace(numerator, values=values, notes=notes)

    def _expect_own_days(self, spacing: timedelta | None) -> None:
        """Raises CollectError where rows that stand for whole days, weeks or months name another
        day than the one that they start in by the calendar of the steps."""
        if not isinstance(self.step, CalendarStep) or spacing is None:
            return
        shortest = np.diff(self.bounds).min(initial=np.iinfo(np.int64).max)
        if _nanoseconds(spacing) < shortest:
            return
        for stamps, written in self.reading.days:
            local = pd.DatetimeIndex(pd.to_datetime(stamps, utc=True)).tz_convert(self.step.zone)
            differs = local.tz_localize(None).normalize().as_unit("ns").asi8 != written
            if differs.any():
                at = int(differs.argmax())
                day = pd.Timestamp(int(written[at])).date()
                zone = self.clock.timezone if self.reading.naive else None
                raise CollectError(
                    f"{self.reading.table.name}: the rows are days of "
                    f"{zone or 'another time zone'}, the steps days of {self.step.zone}: "
                    f"{day} begins {_moment(int(stamps[at]))}; set timezone of the checklist to "
                    f"{zone or 'that of the rows'}"
                )

    def _expect_alike(self, repeats: npt.NDArray[np.int32], name: str, by: tuple[str, ...]) -> None:
        """Raises CollectError unless the rows of a wide table that count once are equal in every
        column."""
        table = self.reading.table
        if not len(repeats) or self.shape.layout is not Layout.WIDE:
            return
        others = [
            column
            for column in table.header
            if column != name
            and column not in self.reading.label_columns
            and table.header.count(column) == 1
        ]
        cells = rows(table, others, np.unique(repeats))
        before = cells.loc[repeats[:, 0]].reset_index(drop=True)
        after = cells.loc[repeats[:, 1]].reset_index(drop=True)
        differing = (before != after).drop(columns=self.shape.time)
        if differing.empty or not (rows_differ := differing.any(axis=1)).any():
            return
        at = int(rows_differ.to_numpy().argmax())
        column = str(differing.columns[int(differing.iloc[at].to_numpy().argmax())])
        values = (plain(str(side.loc[at, column]), 40) for side in (before, after))
        raise CollectError(
            f"{table.place(int(repeats[at, 1]))}: the same time and value as at "
            f"{table.place(int(repeats[at, 0]))}, but another {column} ({' and '.join(values)}); "
            f"write by: [{', '.join([*by, column])}], or, if each row is an event, set resample to "
            f"one of {', '.join(Resample)}"
        )

    def _incomplete(self, moments: Integers, spacing: timedelta | None) -> npt.NDArray[np.bool_]:
        """The steps at the ends of the file that it covers only in part: their sums would be too
        small. The file ends earlier within them than rows usually do."""
        partial_steps = np.zeros(len(self.index), dtype=bool)
        first, last = self.reading.first, self.reading.last
        bounds = self.bounds
        gap = 0 if spacing is None else _nanoseconds(spacing)
        if first is None or last is None or not 0 < gap < np.diff(bounds).min(initial=gap + 1):
            return partial_steps
        begins, ends = bounds[:-1], bounds[1:]
        at = np.searchsorted(begins, moments, "right") - 1
        starts_step = np.concatenate([[True], np.diff(at) > 0])
        ends_step = np.concatenate([np.diff(at) > 0, [True]])
        lead = moments[starts_step] - begins[at[starts_step]]
        rest = ends[at[ends_step]] - moments[ends_step]
        partial_steps |= (begins < first - _usual(lead[1:], gap - 1)) & (first < ends)
        partial_steps |= (begins <= last) & (last < ends - _usual(rest[:-1], gap))
        return partial_steps

    def _notes(
        self,
        name: str,
        moments: Integers,
        spacing: timedelta | None,
        partial_steps: npt.NDArray[np.bool_],
    ) -> list[str]:
        notes = []
        if endless := self.reading.infinite.get(name):
            notes.append(f"{endless:,} infinite values of {name!r} count as missing")
        bounds = self.bounds
        lengths, gap = np.diff(bounds), 0 if spacing is None else _nanoseconds(spacing)
        if (
            isinstance(self.step, CalendarStep)
            and gap >= lengths.min(initial=gap + 1)
            and not np.isin(moments, bounds).all()
        ):
            notes.append(
                f"samples of {name!r} are not stamped by the starts of the steps "
                f"({duration_text(self.step)}, {self.step.zone}); each is taken for the step that "
                "it lies in"
            )
        if spacing is not None and gap > lengths.max(initial=0):
            notes.append(
                f"samples of {name!r} come every {duration_text(spacing)}, the step is "
                f"{duration_text(self.step)}"
            )
        notes += [
            f"the step of {stamp(moment)} is covered in part and left out"
            for moment in self.index[partial_steps]
        ]
        return notes

    def _nothing(self, name: str) -> str:
        """Why there are no samples of `name`."""
        reading = self.reading
        if self.shape.layout is Layout.LONG and name not in reading.names:
            names = ", ".join(plain(names, 40) for names in [*reading.names][:NAMES_SHOWN])
            return f"no series matched: no row of {name!r}; the file holds {names or 'no rows'}"
        if reading.first is None or reading.last is None:
            return f"no series matched: no rows of {name!r}"
        unit = self.clock.unit
        is_early = unit is not None and reading.last < UNLIKELY
        return (
            f"no series matched: {name!r} has no rows in this window; the file holds "
            f"{_moment(reading.first)} to {_moment(reading.last)}"
            f"{f', which time_unit {unit} makes of its numbers' if is_early else ''}"
        )

    def _begins_late(self, columns: Sequence[Floats]) -> list[str]:
        if not columns or not len(self.index):
            return []
        present = _any_value(columns)
        first = int(present.argmax())
        if not present.any() or first <= SHORT_BY * len(self.index):
            return []
        return [f"history begins {stamp(self.index[first])}, asked from {stamp(self.index[0])}"]

    def _silent(self, columns: Sequence[Floats], kpi: Kpi) -> list[str]:
        """That steps without a row are missing, where rows are events."""
        if self.resample not in ADDITIVE or kpi.empty is Empty.ZERO or not columns:
            return []
        positions = np.flatnonzero(_any_value(columns))
        silent = positions[-1] - positions[0] + 1 - len(positions) if len(positions) else 0
        if not silent:
            return []
        return [
            f"{silent:,} steps between the first and the last row have none and count as missing; "
            "write empty: zero if nothing happened in them"
        ]


def _provenance(kpis: Sequence[Kpi], notes: Mapping[str, tuple[str, ...]]) -> dict[str, Provenance]:
    return {
        kpi.name: Provenance(kpi.query, kpi.denominator, notes.get(kpi.name, ())) for kpi in kpis
    }


def _names(kpis: Sequence[Kpi]) -> dict[str, None]:
    """The names that the KPIs ask for."""
    names = (name for kpi in kpis for name in (kpi.query, kpi.denominator))
    return dict.fromkeys(name for name in names if name is not None)


def _labels(kpis: Sequence[Kpi]) -> dict[str, None]:
    """The labels that the KPIs split by."""
    return dict.fromkeys(label for kpi in kpis for label in kpi.by)


def _require(table: Table, columns: Sequence[str], advice: str = "") -> None:
    """Raises CollectError, with some advice, unless each of `columns` is once in the table."""
    for column in columns:
        if (count := table.header.count(column)) == 1:
            continue
        if count:
            raise CollectError(
                f"{table.name}: column {column!r} is there {count} times; rename the others"
            )
        names = ", ".join(plain(name, 40) for name in table.header[:NAMES_SHOWN])
        more = (
            f" and {len(table.header) - NAMES_SHOWN} more"
            if len(table.header) > NAMES_SHOWN
            else ""
        )
        if is_moment(table.header[0]):
            advice = "; the first line must name the columns"
        form = f" (read as: {', '.join(table.read_as)})" if table.read_as else ""
        raise CollectError(
            f"{table.name}: no column {column!r}; the columns are {names}{more}{form}{advice}"
        )


def _any_value(columns: Sequence[Floats]) -> npt.NDArray[np.bool_]:
    """At which steps any of the columns has a value."""
    out = np.zeros(len(columns[0]), dtype=bool)
    for column in columns:
        out |= np.isfinite(column)
    return out


def _spacing(moments: Integers) -> timedelta | None:
    """The usual time from one moment to the next; None with fewer than two."""
    gaps = np.diff(moments)
    return timedelta(microseconds=int(np.median(gaps)) // 1000) if len(gaps) else None


def _usual(silence: Integers, least: int) -> int:
    """How long rows are silent at an end of a step, but for one step in a hundred; at least
    `least`."""
    if not len(silence):
        return least
    return max(least, int(np.quantile(silence, 0.99, method="higher")))


def _nanoseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1) * 1000


def _moment(nanoseconds: int) -> str:
    return stamp(datetime.fromtimestamp(nanoseconds / 1e9, tz=UTC).replace(microsecond=0))


def _encoding(name: str) -> str:
    """The name of an encoding of text as Python knows it. Raises UsageError."""
    try:
        codec = codecs.lookup(name)
        with suppress(UnicodeError):
            b" ".decode(codec.name)
    except LookupError:
        raise UsageError(
            f"encoding is {name!r}; use one that Python knows, like utf-8, cp1252 or utf-16"
        ) from None
    return codec.name


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"timezone is {name!r}; use an IANA name like UTC or Europe/Berlin"
        ) from None
