"""Robust location and spread of many series at once; NaN is missing, rows are series."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

MAD_TO_SIGMA = 1.4826  # 1 / Φ⁻¹(3/4)
ROUNDING = 1e-9
RANGE_TO_SIGMA = 3.29  # 5–95 % range of a normal distribution in standard deviations


def median(values: Floats) -> Floats:
    """Median of each row, NaN for an empty one."""
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], np.nan)
    missing = np.isnan(values)
    if not missing.any():
        low, high = (values.shape[-1] - 1) // 2, values.shape[-1] // 2
        ranked = np.partition(values, (low, high), axis=-1)
        return np.asarray(
            ranked[..., low] / 2 + ranked[..., high] / 2
        )  # their sum may be too large a number
    ranked = np.sort(values, axis=-1)  # NaN last
    size = (~missing).sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ranked, np.maximum(size - 1, 0) // 2, axis=-1)[..., 0]
    high = np.take_along_axis(ranked, size // 2, axis=-1)[..., 0]
    return np.asarray(low / 2 + high / 2)


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


def running_sums(values: Floats | Bools) -> Floats:
    """Sums of the first 0, 1, 2 … values of each row, so that any window's is a difference."""
    out = np.empty((values.shape[0], values.shape[1] + 1))
    out[:, 0] = 0.0
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
    return np.asarray(convolve1d(values, kernel, axis=-1, mode="wrap"))
