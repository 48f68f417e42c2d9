"""Robust location and spread of many series at once; NaN is missing, rows are series."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

MAD_TO_SIGMA = 1.4826  # 1 / Φ⁻¹(3/4)
ROUNDING = 1e-9
WORTH_A_CALL = 1024  # values for which one more call to numpy pays
RANGE_TO_SIGMA = 3.29  # 5–95 % range of a normal distribution in standard deviations


def median(values: Floats) -> Floats:
    """Median of each row, NaN for an empty one."""
    length = values.shape[-1]
    if length == 0:
        return np.full(values.shape[:-1], np.nan)
    missing = np.isnan(values)
    if not missing.any():
        return _middle(values, length)
    rows = values.reshape(-1, length)
    size = length - missing.reshape(-1, length).sum(axis=1)
    sizes = np.unique(size)
    out = np.full(len(rows), np.nan)
    if len(sizes) * WORTH_A_CALL > rows.size:  # so many different ones are faster sorted
        ranked, each, some = np.sort(rows, axis=1), np.arange(len(rows)), size > 0  # NaN last
        low, high = ranked[each, np.maximum(size - 1, 0) // 2], ranked[each, size // 2]
        out[some] = (low / 2 + high / 2)[some]
    else:
        for every in sizes[sizes > 0]:
            mine = size == every
            out[mine] = _middle(rows[mine], int(every))
    return out.reshape(values.shape[:-1])


def _middle(values: Floats, size: int) -> Floats:
    """Median of each row of `size` values, NaN beyond."""
    at = size // 2
    ranked = np.partition(values, at, axis=-1)  # NaN last
    high = ranked[..., at]
    low = high if size % 2 else ranked[..., :at].max(axis=-1)
    return np.asarray(low / 2 + high / 2)  # their sum may be too large a number


def running_median(values: Floats, size: int, *, mirrored: bool = False) -> Floats:
    """Median of the `size` values `(time,)` around each, an odd number, none of them NaN. Beyond an
    end stands the last value, or what is `mirrored` there."""
    padded = np.pad(values, size // 2, mode="reflect" if mirrored else "edge")
    return _middle(np.lib.stride_tricks.sliding_window_view(padded, size), size)


def quantiles(values: Floats, shares: Floats) -> Floats:
    """Quantiles `(..., shares)` of each row, linear between its values, NaN for an empty one."""
    ranked = np.sort(values, axis=-1)  # NaN last
    size = (~np.isnan(values)).sum(axis=-1, keepdims=True)
    at = np.maximum(size - 1, 0) * shares
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, np.maximum(size - 1, 0))
    below = np.take_along_axis(ranked, low, axis=-1)
    above = np.take_along_axis(ranked, high, axis=-1)
    return np.asarray(below + (above - below) * (at - low))


def mostly_tied(values: Floats) -> Bools:
    """Which rows have half of their values at their median, up to rounding: their MAD is 0, or
    nothing but rounding."""
    away = np.abs(values - median(values)[..., None])
    return _tied(away, median(away))


def _tied(away: Floats, middle: Floats) -> Bools:
    with np.errstate(invalid="ignore"):
        largest = np.fmax.reduce(away, axis=-1)
        if np.isinf(largest).any():
            largest = np.where(np.isfinite(away), away, 0.0).max(axis=-1)
        return np.asarray(~(middle > ROUNDING * largest))


def spread(values: Floats) -> Floats:
    """Standard deviation of each row, robustly: MAD; where that is 0 the 5–95 % range; where that
    is 0 too, the plain one."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        away = np.abs(values - median(values)[..., None])
        middle = median(away)
        out, flat = MAD_TO_SIGMA * middle, _tied(away, middle)
        if flat.any():
            low, high = np.nanpercentile(values[flat], [5, 95], axis=-1)
            by_range = (high - low) / RANGE_TO_SIGMA
            out[flat] = np.where(by_range > 0, by_range, np.nanstd(values[flat], axis=-1))
    return np.where(np.isfinite(out), out, 0.0)


def choice(mask: Bools, one: Floats, other: Floats) -> Floats:
    """`np.where` of numbers, faster where the mask follows no pattern."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return np.where(mask, one, other)
    return one * mask + other * ~mask


def running_sums(values: Floats | Bools) -> Floats:
    """Sums of the first 0, 1, 2 … values of each row, so that any window's is a difference; not to
    be written to."""
    if values.dtype == np.bool_ and values.all():
        steps = np.arange(float(values.shape[1] + 1))
        return np.broadcast_to(steps, (len(values), len(steps)))
    out = np.empty((values.shape[0], values.shape[1] + 1))
    out[:, 0] = 0.0
    if values.dtype == np.bool_:  # counted in whole numbers, which is faster
        out[:, 1:] = np.cumsum(values, axis=1, dtype=np.int32)
    else:
        np.cumsum(values, axis=1, out=out[:, 1:])
    return out


def skewness(values: Floats) -> Floats:
    """Sample skewness of each row, 0 for a constant one."""
    present = ~np.isnan(values)
    size = present.sum(axis=-1)
    with np.errstate(all="ignore"):
        mean = np.where(present, values, 0.0).sum(axis=-1) / size
        centred = np.where(present, values - mean[..., None], 0.0)
        square = centred * centred
        second, third = square.sum(axis=-1) / size, (square * centred).sum(axis=-1) / size
        out = third / second**1.5
    return np.where(np.isfinite(out), out, 0.0)


def smooth_cyclic(values: Floats, half: int) -> Floats:
    """Rows smoothed around the clock with a Hann kernel reaching `half` steps to each side."""
    period = values.shape[-1]
    half = min(half, (period - 1) // 2)
    if half < 1:
        return values
    kernel = np.hanning(2 * half + 3)[1:-1]
    kernel /= kernel.sum()
    around = np.concatenate([values[..., -half:], values, values[..., :half]], axis=-1)
    out, pair = values * kernel[half], np.empty_like(values)
    for away in range(half, 0, -1):  # the kernel is symmetric
        first = half - away
        last = half + away
        np.add(around[..., first : first + period], around[..., last : last + period], out=pair)
        pair *= kernel[first]
        out += pair
    return np.asarray(out)
