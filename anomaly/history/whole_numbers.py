"""The points of a series as whole numbers, which take few bytes.

What is observed is in units of the last decimal, what is expected are differences from step to
step, and the ends of the band are distances from it: these hardly change, and compress well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomaly.reporting.archive import NUMBERS

BAND_DECIMALS = 2  # decimals below the first digit of the band's width
SIGNIFICANT = 6  # digits where there is no band
Z_DECIMALS = 2
WHOLE_DIGITS = 15  # of a whole number that a float holds exactly
AS_THEY_ARE = {"time", "flagged"}  # columns
MOST_DECIMALS = 300  # ten to this power is a float

Series = Mapping[str, Any]  # the points of a series, as `archive.series_data` gives them
Whole = Mapping[str, Any]  # the same as whole numbers
Lists = Mapping[str, list[Any]]  # a column each
Floats = NDArray[np.float64]


def whole(series: Series) -> Whole:
    """The points as whole numbers."""
    decimals = _decimals(series)
    return {
        **_changed(series, lambda lists: _whole(lists, decimals)),
        "decimals": decimals,
    }


def restored(numbers: Whole) -> Series:
    """The points that `whole` made whole numbers of. Raises TypeError, ValueError, LookupError or
    ArithmeticError for anything else."""
    decimals = int(numbers["decimals"])
    return _changed(numbers, lambda lists: _restored(lists, decimals))


def until(series: Series, last: float) -> Series:
    """The points up to the time `last`, in seconds since 1970."""

    def cut(lists: Lists) -> Lists:
        inside = [moment <= last for moment in lists["time"]]
        return {name: [*compress(values, inside)] for name, values in lists.items()}

    return _changed(series, cut)


def is_observed(numbers: Whole, later: Series) -> bool:
    """Whether `later`, the points of a later look, observed the same up to the end of `numbers`."""
    part = until(later, max(numbers["time"], default=-math.inf))
    observed = _listed(_units(part["observed"], int(numbers["decimals"])))
    return bool(part["time"] == numbers["time"] and observed == numbers["observed"])


def _changed(series: Mapping[str, Any], change: Callable[[Lists], Lists]) -> dict[str, Any]:
    """The series with its points changed, and the steps beside them likewise."""
    points = {name: series[name] for name in ("time", *NUMBERS, "flagged")}
    beside = {name: series[name] for name in ("around", "earlier")}
    return {
        **series,
        **change(points),
        **{name: None if lists is None else change(lists) for name, lists in beside.items()},
    }


def _whole(lists: Lists, decimals: int) -> Lists:
    out = dict(lists)
    for name in lists.keys() - AS_THEY_ARE:
        out[name] = _listed(_units(lists[name], Z_DECIMALS if name == "z" else decimals))
    if "expected" in lists:
        expected = _units(lists["expected"], decimals)
        middle = np.nan_to_num(expected)
        out["expected"] = _listed(expected - np.concatenate(([0.0], middle))[:-1])
        out["lower"] = _listed(middle - _units(lists["lower"], decimals))
        out["upper"] = _listed(_units(lists["upper"], decimals) - middle)
    return out


def _restored(lists: Lists, decimals: int) -> Lists:
    out = dict(lists)
    for name in lists.keys() - AS_THEY_ARE:
        out[name] = _values(_floats(lists[name]), Z_DECIMALS if name == "z" else decimals)
    if "expected" in lists:
        expected = _sums(_floats(lists["expected"]))
        middle = np.nan_to_num(expected)
        out["expected"] = _values(expected, decimals)
        out["lower"] = _values(middle - _floats(lists["lower"]), decimals)
        out["upper"] = _values(middle + _floats(lists["upper"]), decimals)
    return out


def _decimals(series: Series) -> int:
    """The decimals that show a hundredth of the band where it is narrowest; without a band six
    digits of the largest value. Never so many that a float can't hold the whole number."""
    names = ("observed", "expected", "lower", "upper")
    size = np.abs(np.concatenate([_floats(series[name]) for name in names]))
    largest = float(np.max(size, initial=0.0, where=np.isfinite(size)))
    if not largest:
        return 0
    before = math.floor(math.log10(largest)) + 1  # digits before the point
    width = _floats(series["upper"]) - _floats(series["lower"])
    widths = width[width > 0]
    digits = (
        BAND_DECIMALS - math.floor(math.log10(widths.min()))
        if len(widths)
        else SIGNIFICANT - before
    )
    return int(np.clip(min(max(digits, 0), WHOLE_DIGITS - before), -MOST_DECIMALS, MOST_DECIMALS))


def _floats(values: Iterable[Any]) -> Floats:
    return np.array([*values], dtype=np.float64)  # None becomes NaN


def _units(values: Iterable[Any], decimals: int) -> Floats:
    return np.rint(_floats(values) * 10.0**decimals)


def _listed(units: Floats) -> list[int | None]:
    if np.isfinite(units).all():
        return [*units.astype(np.int64).tolist()]
    return [int(each) if math.isfinite(each) else None for each in units.tolist()]


def _values(units: Floats, decimals: int) -> list[float | None]:
    values = units / 10.0**decimals if decimals >= 0 else units * 10.0**-decimals
    return [each if math.isfinite(each) else None for each in values.tolist()]


def _sums(changes: Floats) -> Floats:
    """What `changes` are the differences of; they start anew after a gap."""
    sums, before = [], 0.0
    for change in changes.tolist():
        sums.append(before + change)
        before = 0.0 if math.isnan(sums[-1]) else sums[-1]
    return np.array(sums, dtype=np.float64)
