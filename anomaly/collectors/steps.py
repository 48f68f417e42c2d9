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
    """What becomes of several samples in one step: counts are summed, gauges averaged."""

    SUM = "sum"
    MEAN = "mean"


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
    any sample."""

    values: Floats
    present: npt.NDArray[np.bool_]
    notes: tuple[str, ...]


def to_steps(
    samples: Samples,
    index: pd.DatetimeIndex,
    resample: Resample | None,
    place: Callable[[int], str],
) -> Stepped:
    """The samples per series and step of `index`; a step without a sample, or with an empty one in
    a sum, is NaN.

    Equal samples at one moment count once. Raises CollectError, naming both records by `place`, for
    two different values at one moment, and for two moments in one step unless `resample` says what
    becomes of them.
    """
    samples = _sorted(samples)
    stamps, values, records, numbers = (
        samples.stamps,
        samples.values,
        samples.records,
        samples.numbers,
    )
    again = (np.diff(stamps) == 0) & (np.diff(numbers) == 0)
    differing = again & ~(
        (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    )
    if differing.any():
        raise CollectError(_two_values(int(differing.argmax()), records, values, place))
    if again.any():
        keep = np.concatenate([[True], ~again])
        stamps, values, records, numbers = stamps[keep], values[keep], records[keep], numbers[keep]
    starts = index.as_unit("ns").asi8
    cells = numbers.astype(np.int64) * len(index) + np.searchsorted(starts, stamps, "right") - 1
    crowded = np.diff(cells) == 0
    if crowded.any() and resample is None:
        raise CollectError(_two_moments(int(crowded.argmax()), records, place))
    out = _gathered(cells, values, len(samples.labels) * len(index), resample)
    shape = (len(samples.labels), len(index))
    present = np.zeros(shape[0] * shape[1], dtype=bool)
    present[cells] = True
    repeats = int(again.sum())
    notes = (f"{repeats:,} repeated rows count once",) if repeats else ()
    return Stepped(out.reshape(shape), present.reshape(shape), notes)


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
    """One value per cell of the panel: the sum of its samples, or the mean of those that are
    numbers."""
    out = np.full(size, np.nan)
    if resample is Resample.SUM:
        out[cells] = np.bincount(cells, weights=values, minlength=size)[cells]
    elif resample is Resample.MEAN:
        present = ~np.isnan(values)
        count = np.bincount(cells[present], minlength=size)
        total = np.bincount(cells[present], weights=values[present], minlength=size)
        np.divide(total, count, out=out, where=count > 0)
    else:
        out[cells] = values
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
        "keep one row per moment and "
        "series, or name the columns that tell the rows apart in by"
    )


def _two_moments(at: int, records: SmallIntegers, place: Callable[[int], str]) -> str:
    earlier, later = sorted(records[at : at + 2].tolist())
    return (
        f"{place(later)}: a second moment in the step of {place(earlier)}; set resample to "
        "sum (counts) or mean (gauges)"
    )
