"""Series from a CSV or Parquet file, or from the standard input.

Two layouts. Wide: a row per moment and a column per KPI (`time, orders, sessions`), with columns of
labels where a KPI has segments (`time, country, requests, errors`). Long: a row per KPI, moment and
segment (`time, kpi, value, country`); every column beside those three is a label. A KPI's `query`
and `denominator` are names of columns, or values of the kpi column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd

from anomaly.collectors.cells import Clock, Floats, Integers, TimeUnit
from anomaly.collectors.reading import Reading, read_long, read_wide, rows
from anomaly.collectors.steps import ADDITIVE, Resample, Samples, to_steps
from anomaly.collectors.tables import Table, open_table
from anomaly.contracts import Collected, Provenance
from anomaly.errors import CollectError, UsageError
from anomaly.model import Empty, Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble, edges, grid, segment_text
from anomaly.steps import CalendarStep
from anomaly.timing.durations import duration_text
from anomaly.wording import plain, stamp

NAMES_SHOWN = 12
SHORT_BY = 0.01  # of the window: a history that begins later than this is worth a note
LARGEST_FILE = 1 << 30


class Layout(StrEnum):
    """A column per KPI, or a row per KPI."""

    WIDE = "wide"
    LONG = "long"


class FilesCollector:
    """Reads KPIs from one file, once per `collect`; only the asked window is kept.

    `path` is the file, or `-` for the standard input. A stamp without a zone needs `timezone` (an
    IANA name), a number needs `time_unit` (s, ms). Several samples in one step need `resample`: sum
    for counts, mean for gauges. Empty cells, `nan`, `null` and infinities are missing; any other
    text that is no number is an error with its line. A step without a row is missing too, but in a
    long file a numerator without a row is 0 where its denominator has one.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"stdin"})

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
        resample: Resample | None = None,
        max_bytes: int = LARGEST_FILE,
        stdin: BinaryIO | None = None,
    ) -> None:
        self._path = Path(path)
        self._layout = Layout(layout)
        self._names = (time_column, kpi_column, value_column)
        self._resample = None if resample is None else Resample(resample)
        self._clock = Clock(
            None if timezone is None else _zone(timezone),
            None if time_unit is None else TimeUnit(time_unit),
        )
        self._max_bytes = max_bytes
        self._stdin = stdin

    def collect(self, kpis: Sequence[Kpi], window: Window, step: timedelta, /) -> Collected:
        """The panel of `kpis` over the whole steps of `window`; what can't be read is an error of
        the KPIs concerned."""
        try:
            with open_table(self._path, self._stdin, self._max_bytes) as table:
                return self.collect_table(table, kpis, window, step)
        except CollectError as error:
            return Collected(
                assemble({}, grid(window, step)),
                _provenance(kpis, {}),
                {kpi.name: error for kpi in kpis},
            )

    def collect_table(
        self, table: Table, kpis: Sequence[Kpi], window: Window, step: timedelta
    ) -> Collected:
        """As `collect`, from an open table; raises CollectError when no KPI can be read from it."""
        index = grid(window, step)
        source = _Source(
            self._read(table, kpis, index, step),
            self._layout,
            index,
            step,
            self._resample,
            self._names[0],
        )
        columns: dict[tuple[str, str, str], Floats] = {}
        notes: dict[str, tuple[str, ...]] = {}
        errors: dict[str, CollectError] = {}
        for kpi in kpis:
            try:
                mine, notes[kpi.name] = source.columns(kpi)
            except CollectError as error:  # one KPI that can't be read must not hide the others
                errors[kpi.name] = error
            else:
                columns |= mine
        return Collected(assemble(columns, index), _provenance(kpis, notes), errors)

    def _read(
        self, table: Table, kpis: Sequence[Kpi], index: pd.DatetimeIndex, step: timedelta
    ) -> Reading:
        """Everything that the KPIs need of the table, in one pass."""
        time, kpi_column, value_column = self._names
        names = [
            *dict.fromkeys(
                name for kpi in kpis for name in (kpi.query, kpi.denominator) if name is not None
            )
        ]
        by = [*dict.fromkeys(label for kpi in kpis for label in kpi.by)]
        start, end = edges(index, step)[[0, -1]].tolist() if len(index) else (0, 0)
        counted, additive = self._resample is Resample.COUNT, self._resample in ADDITIVE
        if self._layout is Layout.LONG:
            _require(table, (time, kpi_column, value_column))
            labels = [
                column
                for column in table.header
                if column not in {time, kpi_column, value_column, ""}
                and (column in by or not additive)
            ]
            reading = Reading(table, tuple(labels), start, end, counted)
            read_long(reading, names, self._clock, time=time, kpi=kpi_column, value=value_column)
            return reading
        _require(table, (time,))
        labels = [label for label in by if label in table.header]
        reading = Reading(table, tuple(labels), start, end, counted)
        read_wide(
            reading,
            [name for name in names if table.header.count(name) == 1],
            self._clock,
            time=time,
        )
        return reading


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
    layout: Layout
    index: pd.DatetimeIndex
    step: timedelta
    resample: Resample | None
    time_column: str

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
            dict.fromkeys([*notes, *self._begins_late(whole), *self._silent(whole, kpi)])
        )

    def _side(self, name: str, by: tuple[str, ...]) -> _Side:
        if self.layout is Layout.WIDE:
            _require(self.reading.table, (name,))
        samples = self.reading.samples(name)
        if samples is None:
            return _Side({}, {}, (self._nothing(name),))
        samples = self._by_segment(samples, name, by)
        on_grid = to_steps(samples, self.index, self.resample, self.reading.table.place)
        self._expect_alike(on_grid.repeats, name, by)
        spacing = _spacing(samples)
        partial_steps = (
            self._incomplete(samples.stamps, spacing)
            if self.resample in ADDITIVE
            else np.zeros(len(self.index), dtype=bool)
        )
        values = np.where(partial_steps, np.nan, on_grid.values)
        present = on_grid.present & ~partial_steps
        segments = [segment_text(dict(zip(by, labels, strict=True))) for labels in samples.labels]
        notes = self._notes(name, samples, spacing, partial_steps)
        if len(on_grid.repeats):
            notes.insert(0, f"{len(on_grid.repeats):,} repeated rows count once")
        return _Side(
            dict(zip(segments, values, strict=True)),
            dict(zip(segments, present, strict=True)),
            tuple(notes),
        )

    def _by_segment(self, samples: Samples, name: str, by: tuple[str, ...]) -> Samples:
        """The samples numbered by segment, with the values of `by` as labels; raises CollectError
        where a segment holds two series whose rows do not add up."""
        columns = self.reading.label_columns
        at = [columns.index(label) for label in by]
        present_numbers, numbers = np.unique(samples.numbers, return_inverse=True)
        full = [samples.labels[number] for number in present_numbers]
        short = [tuple(labels[position] for position in at) for labels in full]
        if self.resample in ADDITIVE:
            segments = [*dict.fromkeys(short)]
            merged = np.array([segments.index(labels) for labels in short], dtype=np.int32)
            return replace(samples, numbers=merged[numbers], labels=segments)
        for position, labels in enumerate(short):
            if (first := short.index(labels)) < position:
                differing = [
                    c
                    for c, one, other in zip(columns, full[first], full[position], strict=True)
                    if one != other
                ]
                labels_of_all = plain(", ".join([*by, *differing]), 80)
                examples = " and ".join(
                    segment_text({c: part[columns.index(c)] for c in differing})
                    for part in (full[first], full[position])
                )
                raise CollectError(
                    f"{self.reading.table.name}: {name!r} holds several series "
                    f"({plain(examples, 80)}); "
                    f"write by: [{labels_of_all}], or resample: sum to add them up"
                )
        return replace(samples, numbers=numbers.astype(np.int32), labels=short)

    def _joined(self, numerator: _Side, denominator: _Side, kpi: Kpi) -> _Side:
        """The numerator with 0 where a long file has a row of the denominator alone: nothing
        happened there."""
        if self.layout is Layout.WIDE:
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

    def _expect_alike(self, repeats: npt.NDArray[np.int32], name: str, by: tuple[str, ...]) -> None:
        """Raises CollectError unless the rows of a wide table that count once are equal in every
        column."""
        table = self.reading.table
        if not len(repeats) or self.layout is not Layout.WIDE:
            return
        others = [
            column
            for column in table.header
            if column != name
            and column not in self.reading.label_columns
            and table.header.count(column) == 1
        ]
        cells = rows(table, others, np.unique(repeats))
        before, after = (cells.loc[repeats[:, side]].reset_index(drop=True) for side in (0, 1))
        differing = (before != after).drop(columns=self.time_column)
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

    def _incomplete(self, stamps: Integers, spacing: timedelta | None) -> npt.NDArray[np.bool_]:
        """The steps at the ends of the file that it covers only in part: their sums would be too
        small. The file ends earlier within them than rows usually do."""
        partial_steps = np.zeros(len(self.index), dtype=bool)
        first, last = self.reading.first, self.reading.last
        bounds = edges(self.index, self.step)
        gap = 0 if spacing is None else _nanoseconds(spacing)
        if first is None or last is None or not 0 < gap < np.diff(bounds).min(initial=gap + 1):
            return partial_steps
        begins, ends = bounds[:-1], bounds[1:]
        moments = np.unique(stamps)
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
        samples: Samples,
        spacing: timedelta | None,
        partial_steps: npt.NDArray[np.bool_],
    ) -> list[str]:
        notes = []
        if endless := self.reading.infinite.get(name):
            notes.append(f"{endless:,} infinite values of {name!r} count as missing")
        bounds = edges(self.index, self.step)
        lengths, gap = np.diff(bounds), 0 if spacing is None else _nanoseconds(spacing)
        if (
            isinstance(self.step, CalendarStep)
            and gap >= lengths.min(initial=gap + 1)
            and not np.isin(samples.stamps, bounds).all()
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
        if self.layout is Layout.LONG and name not in reading.names:
            names = ", ".join(plain(names, 40) for names in [*reading.names][:NAMES_SHOWN])
            return f"no series matched: no row of {name!r}; the file holds {names or 'no rows'}"
        if reading.first is None or reading.last is None:
            return f"no series matched: no rows of {name!r}"
        return (
            f"no series matched: {name!r} has no rows in this window; the file holds "
            f"{_moment(reading.first)} to {_moment(reading.last)}"
        )

    def _begins_late(self, columns: Sequence[Floats]) -> list[str]:
        if not columns or not len(self.index):
            return []
        present = np.isfinite(np.vstack(columns)).any(axis=0)
        first = int(present.argmax())
        if not present.any() or first <= SHORT_BY * len(self.index):
            return []
        return [f"history begins {stamp(self.index[first])}, asked from {stamp(self.index[0])}"]

    def _silent(self, columns: Sequence[Floats], kpi: Kpi) -> list[str]:
        """That steps without a row are missing, where rows are events."""
        if self.resample not in ADDITIVE or kpi.empty is Empty.ZERO or not columns:
            return []
        present = np.isfinite(np.vstack(columns)).any(axis=0)
        between = np.flatnonzero(present)[[0, -1]] if present.any() else (0, -1)
        silent = int((~present[between[0] : between[1] + 1]).sum())
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


def _require(table: Table, columns: Sequence[str]) -> None:
    """Raises CollectError unless each of `columns` is once in the table."""
    for column in columns:
        if (count := table.header.count(column)) == 1:
            continue
        if count:
            raise CollectError(f"{table.name}: column {column!r} is there {count} times")
        names = ", ".join(plain(name, 40) for name in table.header[:NAMES_SHOWN])
        more = (
            f" and {len(table.header) - NAMES_SHOWN} more"
            if len(table.header) > NAMES_SHOWN
            else ""
        )
        raise CollectError(f"{table.name}: no column {column!r}; the columns are {names}{more}")


def _spacing(samples: Samples) -> timedelta | None:
    """The usual time from one moment to the next; None with fewer than two."""
    gaps = np.diff(np.sort(samples.stamps))
    gaps = gaps[gaps > 0]
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


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"timezone is {name!r}; use an IANA name like UTC or Europe/Berlin"
        ) from None
