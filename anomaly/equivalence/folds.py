"""Spread and level of two environments: how many times that of the second the first has."""

from __future__ import annotations

import math

import numpy as np

from anomaly.baseline.robust import Floats
from anomaly.equivalence.days import Days
from anomaly.equivalence.margins import TWO_SIDED, aspect_within
from anomaly.equivalence.result import Aspect, Likeness
from anomaly.model import Interval
from anomaly.scoring.student import t_quantile

SPREAD = 2.0  # fold
LEVEL = 1.25  # fold: the margin of bioequivalence (FDA 1992)
NOISY = 5.0  # medians: a day's variance counts for at most so many
MOST_AUTOCORRELATION = 0.8  # of days, that is reckoned with
# −ln 0.025: where so many events were expected, none is seen with a chance of 2.5 % (Hanley 1983)
NONE_SEEN = 3.689
ROUNDING = 1e-18  # a relative variance below this is none


def level(first: Days, second: Days) -> Aspect:
    """How many times the mean of `second` that of `first` is; the interval allows for days that are
    autocorrelated."""
    levels = first.level, second.level
    if not all(levels):
        return _from_nothing(first, second)
    errors = [
        _error(_influences(side), parameters=len(np.unique(side.weekday)))
        for side in (first, second)
    ]
    return _fold(math.log(levels[0] / levels[1]), errors, (1 / LEVEL, LEVEL), "")


def _from_nothing(first: Days, second: Days) -> Aspect:
    """The same where one side has no event at all."""
    if first.level == second.level or not (first.counts and second.counts):
        return Aspect(Likeness.UNCLEAR, reason="it is always 0")
    none, some = (first, second) if first.level == 0 else (second, first)
    most = NONE_SEEN / (some.level * float(np.nansum(none.volume)))
    if none is first:
        return aspect_within(0.0, (0.0, most), (1 / LEVEL, LEVEL), "")
    return aspect_within(math.inf, (1 / most, math.inf), (1 / LEVEL, LEVEL), "")


def spread(first: Days, second: Days) -> Aspect:
    """How many times the noise of `second` that of `first` is, both as shares of the level, from
    one slot to the next.

    The variance is half of the mean squared difference of neighbours (von Neumann 1941), the
    profile of the day taken out. Few events scatter more: the margin begins where the smaller
    volume explains it, whether all of the noise is that of counting or only as much as a Poisson
    process has.
    """
    variances = [_variances(side) for side in (first, second)]
    mean = [float(each.mean()) for each, _ in variances]
    flat = [each < ROUNDING for each in mean]
    if any(flat):
        verdict = Likeness.ALIKE if all(flat) else Likeness.DIFFERS
        return Aspect(
            verdict, reason="constant on both sides" if all(flat) else "constant on one side alone"
        )
    low = high = 0.0
    if first.counts and second.counts:
        counted = [float(each.mean()) for _, each in variances]
        ends = max(mean[1] - counted[1], 0.0) + counted[0], mean[1] * counted[0] / counted[1]
        low = math.log(min(ends) / mean[1]) / 2
        high = math.log(max(ends) / mean[1]) / 2
    elif first.grows:
        low, high = sorted((0.0, math.log(second.level / first.level) / 2))
    errors = [_error(each / each.mean() - 1) for each, _ in variances]
    reason = (
        ""
        if max(abs(low), abs(high)) < math.log(SPREAD) / 2
        else f"its volume explains ×{math.exp(high):.2g}"
    )
    size = math.log(mean[0] / mean[1]) / 2
    return _fold(
        size,
        [(error / 2, freedom) for error, freedom in errors],
        (math.exp(low) / SPREAD, math.exp(high) * SPREAD),
        reason,
    )


def _fold(size: float, errors: list[tuple[float, float]], margin: Interval, reason: str) -> Aspect:
    """A logarithm with the standard errors (and degrees of freedom) of both sides, as a fold."""
    half = t_quantile(min(freedom for _, freedom in errors), TWO_SIDED) * math.hypot(
        *(error for error, _ in errors)
    )
    return aspect_within(
        math.exp(size), (math.exp(size - half), math.exp(size + half)), margin, reason
    )


def _influences(days: Days) -> Floats:
    """How much each day moves the logarithm of the level (the delta method), what is usual for its
    weekday taken out."""
    amount, volume = np.nansum(days.amount, axis=1), np.nansum(days.volume, axis=1)
    out = (amount - days.level * volume) / (days.level * volume.mean())
    for weekday in np.unique(days.weekday):
        out[days.weekday == weekday] -= out[days.weekday == weekday].mean()
    return np.asarray(out)


def _error(influences: Floats, *, parameters: int = 1) -> tuple[float, float]:
    """Standard error of the mean of autocorrelated days, and its degrees of freedom.

    So many `parameters` were taken out. The effective number of days is that of an AR(1) (Bayley
    and Hammersley 1946), its autocorrelation corrected for the bias of few days (Marriott and Pope
    1954).
    """
    n, z = len(influences), influences
    square = float((z**2).sum())
    lag_one = float((z[1:] * z[:-1]).sum()) / square if square > 0 else 0.0
    autocorrelation = min(max(0.0, lag_one + (1 + 3 * lag_one) / n), MOST_AUTOCORRELATION)
    inflation = (1 + autocorrelation) / (1 - autocorrelation)
    freedom = max(n - parameters, 1)
    return math.sqrt(square / (n * freedom) * inflation), max(1.0, freedom / inflation)


def _variances(days: Days) -> tuple[Floats, Floats]:
    """Relative variance of a slot on each day, and as much of it as counting events would have
    alone; `(days,)`."""
    n = len(days.date)
    value = days.value / days.level
    rest = value - np.nanmean(value, axis=0)
    weight = 1 / (
        1 / days.volume[:, 1:] + 1 / days.volume[:, :-1]
    )  # a difference of two thin slots says less
    present = np.isfinite(weight)
    total = np.maximum(np.where(present, weight, 0.0).sum(axis=1), 1e-300)
    squares = (
        np.where(present, weight * np.diff(rest, axis=1) ** 2 / 2, 0.0).sum(axis=1)
        / total
        * n
        / (n - 1)
    )
    counting = present.sum(axis=1) / total / 2 * (1 - days.level if days.part else 1.0) / days.level
    used = present.any(axis=1)
    middle = float(np.median(squares[used]))
    squares = np.minimum(squares, NOISY * middle) if middle > 0 else squares
    return squares[used], counting[used]
