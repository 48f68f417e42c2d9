"""Samples at any moment, brought onto the steps of a panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pandas as pd

from anomaly.collectors.cells import Floats, Integers, SmallIntegers
from anomaly.errors import CollectError

Labels = tuple[str, ...]


class Resample(StrEnum):
    """What becomes of several rows in one step: amounts are summed, rows counted, gauges averaged,
    or the largest or the last value taken."""

    SUM = "sum"
    COUNT = "count"
    MEAN = "mean"
    MAX = "max"
    LAST = "last"


MOMENTS_AT_ONCE = 100_000  # distinct stamps of parts, before they are joined
ROWS_TOGETHER = 64
ADDITIVE = (Resample.SUM, Resample.COUNT)  # every row is a part of its step


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of several series: nanoseconds since 1970, value, record in the file, and the number
    of the series.

    `labels[number]` are the values of the label columns of a series. Arrays are equally long, in
    the order of the file.
    """

    stamps: Integers
    values: Floats
    records: SmallIntegers
    numbers: SmallIntegers
    labels: Sequence[Labels]


@dataclass(frozen=True, slots=True)
class Stepped:
    """Per series (in the order of its samples' `labels`) and step: the value, and whether there was
    any sample. `repeats` are the records that count once: the one before and the repeating one,
    `(repeats, 2)`."""

    values: Floats
    present: npt.NDArray[np.bool_]
    repeats: SmallIntegers


class Grid:
    """Samples of one name, put onto the steps as they are read, of which no two share a step.

    `starts` are the starts of the steps (nanoseconds since 1970). Mutable, for it grows.
    """

    def __init__(self, starts: Integers) -> None:
        self._starts = starts
        lengths = np.diff(starts)
        self._length = int(lengths[0]) if len(lengths) and (lengths == lengths[0]).all() else None
        self._rows = np.empty(0, dtype=np.int64)  # of each number of a series, -1 without any
        self._values = np.zeros((0, len(starts)))
        self._present = np.zeros((0, len(starts)), dtype=bool)
        self._moments: list[Integers] = []
        self._whole = np.zeros(len(starts), dtype=bool)  # steps with a sample at their start
        self._stepped: Stepped | None = None
        self.numbers: list[int] = []  # of the series that it holds, in the order of its rows

    def add(self, when: Integers, values: Floats, series: SmallIntegers) -> bool:
        """Put samples of these series onto the steps; False where two share one."""
        if not len(when):
            return True
        steps = (
            np.searchsorted(self._starts, when, "right") - 1
            if self._length is None
            else (when - self._starts[0]) // self._length
        )
        is_whole = self._starts[steps] == when
        if is_whole.all():
            self._whole[steps] = True
        else:
            self._whole[steps[is_whole]] = True
            self._remember(when[~is_whole])
        rows, count = self._rows_of(series), len(self._starts)
        cells = rows * count + steps
        present = self._present.reshape(-1)
        in_order = _ascends(cells) or _ascends(steps * len(self.numbers) + rows)
        if present[cells].any() or not (in_order or len(pd.unique(cells)) == len(cells)):
            return False
        present[cells] = True
        self._values.reshape(-1)[cells] = values
        return True

    def _remember(self, when: Integers) -> None:
        self._moments.append(np.asarray(pd.unique(when)))
        if sum(map(len, self._moments)) > MOMENTS_AT_ONCE:
            self._moments = [np.unique(np.concatenate(self._moments))]

    def _rows_of(self, series: SmallIntegers) -> Integers:
        """The rows of these series, which are made where there are none yet."""
        most = int(series.max()) + 1
        if most > len(self._rows):
            self._rows = np.concatenate([self._rows, np.full(most - len(self._rows), -1)])
        is_here = np.zeros(len(self._rows), dtype=bool)
        is_here[series] = True
        fresh = np.flatnonzero(is_here & (self._rows < 0))
        if len(fresh):
            self._rows[fresh] = len(self.numbers) + np.arange(len(fresh))
            self.numbers += fresh.tolist()
            if len(self.numbers) > len(self._values):
                self._resize(max(len(self.numbers), len(self._values) * 5 // 4))
        return self._rows[series]

    def _resize(self, rows: int) -> None:
        shape = (rows, len(self._starts))
        self._values.resize(shape, refcheck=False)  # what there is stays in its place
        self._present.resize(shape, refcheck=False)

    @property
    def moments(self) -> Integers:
        """The distinct stamps, in order of time."""
        stamps = np.concatenate([self._starts[self._whole], *self._moments])
        return stamps if _ascends(stamps) else np.unique(stamps)

    def stepped(self) -> Stepped:
        """The values by series and step; nothing can be added after that."""
        if self._stepped is not None:
            return self._stepped
        self._resize(len(self.numbers))
        for row in range(0, len(self._values), ROWS_TOGETHER):
            part = slice(row, row + ROWS_TOGETHER)
            self._values[part][~self._present[part]] = np.nan
        self._values.flags.writeable = False
        self._stepped = Stepped(self._values, self._present, np.empty((0, 2), dtype=np.int32))
        return self._stepped


def _ascends(numbers: Integers) -> bool:
    """Whether each number is greater than the one before: no two are equal."""
    return bool((numbers[1:] > numbers[:-1]).all())


def to_steps(
    samples: Samples,
    index: pd.DatetimeIndex,
    resample: Resample | None,
    place: Callable[[int], str],
) -> Stepped:
    """The samples per series and step of `index`; a step without a sample, or with an empty one in
    a sum, is NaN.

    Under `resample` every row counts. Without it a row is the sample of a step, and equal ones at
    one moment count once. Raises CollectError, naming both records by `place`, for two different
    values at one moment and for two moments in one step, and for rows of which most are equal:
    `resample` must say what they are.
    """
    samples = _sorted(samples)
    repeats = np.empty((0, 2), dtype=np.int32)
    if resample is None:
        samples, repeats = _distinct(samples, place)
    starts = index.as_unit("ns").asi8
    series = samples.numbers.astype(np.int64) * len(index)
    cells = series + np.searchsorted(starts, samples.stamps, "right") - 1
    crowded = np.diff(cells) == 0
    if crowded.any() and resample is None:
        raise CollectError(_two_moments(int(crowded.argmax()), samples.records, place))
    out = _gathered(cells, samples.values, len(samples.labels) * len(index), resample)
    shape = (len(samples.labels), len(index))
    present = np.zeros(shape[0] * shape[1], dtype=bool)
    present[cells] = True
    return Stepped(out.reshape(shape), present.reshape(shape), repeats)


def _distinct(samples: Samples, place: Callable[[int], str]) -> tuple[Samples, SmallIntegers]:
    """Sorted samples without those that repeat the one before, and the records of these pairs."""
    stamps, values, records = samples.stamps, samples.values, samples.records
    again = (np.diff(stamps) == 0) & (np.diff(samples.numbers) == 0)
    differing = again & ~(
        (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    )
    if differing.any():
        raise CollectError(_two_values(int(differing.argmax()), records, values, place))
    pairs = np.column_stack([records[:-1][again], records[1:][again]])
    if 2 * len(pairs) > len(stamps):
        before, after = pairs[0].tolist()
        raise CollectError(
            f"{place(after)}: the same time and value as at {place(before)}, like most rows; if "
            f"each row is an event, set resample to {Resample.SUM} or {Resample.COUNT}"
        )
    keep = np.concatenate([[True], ~again])
    distinct = Samples(
        stamps[keep], values[keep], records[keep], samples.numbers[keep], samples.labels
    )
    return distinct, pairs


def _sorted(samples: Samples) -> Samples:
    """The samples by series, then moment, then record."""
    behind, later = np.diff(samples.numbers), np.diff(samples.stamps) >= 0
    if bool(((behind > 0) | ((behind == 0) & later)).all()):
        return samples
    order = np.lexsort((samples.records, samples.stamps, samples.numbers))
    return Samples(
        samples.stamps[order],
        samples.values[order],
        samples.records[order],
        samples.numbers[order],
        samples.labels,
    )


def _gathered(cells: Integers, values: Floats, size: int, resample: Resample | None) -> Floats:
    """One value per cell of the panel, whose samples stand together and in order of time: their
    sum, or what `resample` makes of those that are numbers."""
    out = np.full(size, np.nan)
    present = ~np.isnan(values)
    match resample:
        case Resample.SUM:
            out[cells] = np.bincount(cells, weights=values, minlength=size)[cells]
        case Resample.COUNT:
            out[cells] = np.bincount(cells[present], minlength=size)[cells]
        case Resample.MEAN:
            count = np.bincount(cells[present], minlength=size)
            total = np.bincount(cells[present], weights=values[present], minlength=size)
            np.divide(total, count, out=out, where=count > 0)
        case Resample.MAX:
            np.fmax.at(out, cells, values)
        case _:  # of several the last one stays
            out[cells[present]] = values[present]
    return out


def _two_values(
    at: int, records: SmallIntegers, values: Floats, place: Callable[[int], str]
) -> str:
    earlier, later = sorted(records[at : at + 2].tolist())
    both = " and ".join(
        "nothing" if np.isnan(value) else f"{value:g}" for value in values[at : at + 2]
    )
    return (
        f"{place(later)}: the same moment as at {place(earlier)} with another value ({both}); "
        "name the columns that tell the rows apart in by; if each row is an event, set resample to "
        f"one of {', '.join(Resample)}; if another column has the time of day, join it with the "
        "date in one column, like 2025-06-03 14:00"
    )


def _two_moments(at: int, records: SmallIntegers, place: Callable[[int], str]) -> str:
    earlier, later = sorted(records[at : at + 2].tolist())
    return (
        f"{place(later)}: a second moment in the step of {place(earlier)}; set resample to "
        "sum (amounts), count (rows), mean (gauges), max or last"
    )
