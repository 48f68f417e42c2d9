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
        "name the columns that tell the rows apart in by, or, if each row is an event, set "
        f"resample to one of {', '.join(Resample)}"
    )


def _two_moments(at: int, records: SmallIntegers, place: Callable[[int], str]) -> str:
    earlier, later = sorted(records[at : at + 2].tolist())
    return (
        f"{place(later)}: a second moment in the step of {place(earlier)}; set resample to "
        "sum (amounts), count (rows), mean (gauges), max or last"
    )
