"""Quiet series of many kinds, seeded: what a KPI does when nothing happens. Shapes are `(steps,
series)`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]
SATURDAY = 5
WARM_UP = 500
SPIKES, GAPS = 0.003, 0.1  # shares of the steps


def remembering(rng: np.random.Generator, phi: float, shape: tuple[int, int]) -> Floats:
    """Autoregressive noise of unit variance."""
    noise = rng.standard_normal((shape[0] + WARM_UP, shape[1]))
    return np.asarray(lfilter([np.sqrt(1 - phi**2)], [1, -phi], noise, axis=0)[WARM_UP:])


def rhythm(index: pd.DatetimeIndex) -> tuple[Floats, Floats]:
    """A ±30 % day and a week whose weekends are at 60 %, as factors `(steps, 1)`."""
    second = (index.as_unit("s").asi8 % 86_400)[:, None]
    weekend = (index.day_of_week >= SATURDAY)[:, None]
    return 1 + 0.3 * np.sin(2 * np.pi * second / 86_400), np.where(weekend, 0.6, 1.0)


def _gauge(phi: float) -> Callable[..., Floats]:
    return lambda rng, _index, shape: 100 + 5 * remembering(rng, phi, shape)


def _daily(rng: np.random.Generator, index: pd.DatetimeIndex, shape: tuple[int, int]) -> Floats:
    return 100 * rhythm(index)[0] * (1 + 0.05 * remembering(rng, 0.3, shape))


def _weekly(rng: np.random.Generator, index: pd.DatetimeIndex, shape: tuple[int, int]) -> Floats:
    day, week = rhythm(index)
    return 100 * day * week * (1 + 0.05 * remembering(rng, 0.5, shape))


def _counts(mean: float) -> Callable[..., Floats]:
    def make(rng: np.random.Generator, index: pd.DatetimeIndex, shape: tuple[int, int]) -> Floats:
        day, week = rhythm(index)
        return rng.poisson(mean * day * week, shape).astype(float)

    return make


def _bursty_counts(
    rng: np.random.Generator, index: pd.DatetimeIndex, shape: tuple[int, int]
) -> Floats:
    return rng.poisson(3 * rhythm(index)[0] * np.exp(0.7 * remembering(rng, 0.7, shape))).astype(
        float
    )


def _heavy(rng: np.random.Generator, _index: pd.DatetimeIndex, shape: tuple[int, int]) -> Floats:
    return 100 + 5 * rng.standard_t(3, shape)


def _skewed(rng: np.random.Generator, _index: pd.DatetimeIndex, shape: tuple[int, int]) -> Floats:
    return np.exp(3 + 0.6 * remembering(rng, 0.6, shape))


def _drifting(rng: np.random.Generator, _index: pd.DatetimeIndex, shape: tuple[int, int]) -> Floats:
    return (
        100 + np.cumsum(rng.standard_normal(shape), axis=0) * 0.3 + 3 * rng.standard_normal(shape)
    )


def _spiky(rng: np.random.Generator, _index: pd.DatetimeIndex, shape: tuple[int, int]) -> Floats:
    return (
        100
        + remembering(rng, 0.7, shape)
        + np.where(rng.random(shape) < SPIKES, rng.exponential(15, shape), 0.0)
    )


def _restless(rng: np.random.Generator, _index: pd.DatetimeIndex, shape: tuple[int, int]) -> Floats:
    return 100 + 5 * remembering(rng, 0.3, shape) * np.exp(0.5 * remembering(rng, 0.98, shape))


def _quantised(
    rng: np.random.Generator, _index: pd.DatetimeIndex, shape: tuple[int, int]
) -> Floats:
    return np.round(20 + 1.5 * remembering(rng, 0.6, shape))


def _gappy(rng: np.random.Generator, index: pd.DatetimeIndex, shape: tuple[int, int]) -> Floats:
    return np.where(rng.random(shape) < GAPS, np.nan, _daily(rng, index, shape))


KINDS: dict[str, Callable[[np.random.Generator, pd.DatetimeIndex, tuple[int, int]], Floats]] = {
    "independent": _gauge(0.0),
    "memory 0.5": _gauge(0.5),
    "memory 0.8": _gauge(0.8),
    "memory 0.95": _gauge(0.95),
    "daily": _daily,
    "weekly": _weekly,
    "counts of 20": _counts(20),
    "counts of 2": _counts(2),
    "counts of 0.1": _counts(0.1),
    "bursty counts": _bursty_counts,
    "heavy tails": _heavy,
    "skewed": _skewed,
    "drifting": _drifting,
    "spiky": _spiky,
    "restless": _restless,
    "quantised": _quantised,
    "gappy": _gappy,
}
