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
MOST_DECIMALS = 300  # ten to this power is a float

Series = Mapping[str, Any]  # the points of a series, as `archive.series_data` gives them
Whole = Mapping[str, Any]  # the same as whole numbers
Floats = NDArray[np.float64]


def whole(series: Series) -> Whole:
    """The points as whole numbers."""
    decimals = _decimals(series)

    def units(values: Iterable[Any]) -> list[int | None]:
        return _listed(_units(values, decimals))

    observed, expected, lower, upper = (
        _units(series[name], decimals) for name in ("observed", "expected", "lower", "upper")
    )
    middle = np.nan_to_num(expected)
    return {
        **series,
        "decimals": decimals,
        "observed": _listed(observed),
        "expected": _listed(expected - np.concatenate(([0.0], middle[:-1]))[: len(middle)]),
        "lower": _listed(middle - lower),
        "upper": _listed(upper - middle),
        "z": _listed(_units(series["z"], Z_DECIMALS)),
        **{name: _beside(series[name], units) for name in ("around", "earlier")},
    }


def restored(numbers: Whole) -> Series:
    """The points that `whole` made whole numbers of. Raises TypeError, ValueError, LookupError or
    ArithmeticError for anything else."""
    decimals = int(numbers["decimals"])

    def values(units: Iterable[Any]) -> list[float | None]:
        return _values(_floats(units), decimals)

    expected = _sums(_floats(numbers["expected"]))
    middle = np.nan_to_num(expected)
    return {
        **numbers,
        "observed": values(numbers["observed"]),
        "expected": _values(expected, decimals),
        "lower": _values(middle - _floats(numbers["lower"]), decimals),
        "upper": _values(middle + _floats(numbers["upper"]), decimals),
        "z": _values(_floats(numbers["z"]), Z_DECIMALS),
        **{name: _beside(numbers[name], values) for name in ("around", "earlier")},
    }


def until(series: Series, last: float) -> Series:
    """The points up to the time `last`, in seconds since 1970."""
    points = {name: series[name] for name in ("time", *NUMBERS, "flagged")}
    return {
        **series,
        **_until(points, last),
        **{
            name: None if series[name] is None else _until(series[name], last)
            for name in ("around", "earlier")
        },
    }


def is_observed(numbers: Whole, later: Series) -> bool:
    """Whether `later`, the points of a later look, observed the same up to the end of `numbers`."""
    part = until(later, max(numbers["time"], default=-math.inf))
    observed = _listed(_units(part["observed"], int(numbers["decimals"])))
    return bool(part["time"] == numbers["time"] and observed == numbers["observed"])


def _until(lists: Mapping[str, list[Any]], last: float) -> dict[str, list[Any]]:
    inside = [moment <= last for moment in lists["time"]]
    return {name: [*compress(values, inside)] for name, values in lists.items()}


def _beside(
    lists: Mapping[str, list[Any]] | None, change: Callable[[Iterable[Any]], list[Any]]
) -> dict[str, list[Any]] | None:
    """The lists of `around` or `earlier`, changed but for the times."""
    if lists is None:
        return None
    return {name: each if name == "time" else change(each) for name, each in lists.items()}


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
