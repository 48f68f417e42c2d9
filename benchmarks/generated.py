"""Releases with known answers, generated: series as hard as real KPIs are, most of them with an
effect after the release.

Every series is judged as it is and with effects added. Sizes are in robust standard deviations of
the series without its profile of the day, as an eye would measure them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.quiet import KINDS, remembering

Floats = NDArray[np.float64]
START, WEEK = pd.Timestamp("2025-03-03T00:00Z"), 7 * 24  # series begin at any hour of a week
SHAPES = (  # step in seconds, steps of history, steps of the observation
    (300, 14 * 288, 288),
    (300, 21 * 288, 72),
    (3600, 28 * 24, 24),
    (3600, 40 * 24, 24),
    (900, 14 * 96, 96),
    (60, 500, 180),
    (300, 430, 144),
    (15, 130, 48),
)
SIZES = (1.0, 2.0, 3.0, 5.0)
PER_SERIES = 3  # effects added to each series
BURSTS, BURST = 0.15, 3  # share of the steps in bursts, and their longest
LOST = 0.35  # share of the observation that an outage takes away
LOST_RHYTHM = "lost rhythm"  # of series whose day stands out of their noise; it has one size
MAD_TO_SIGMA = 1.4826  # 1 / Φ⁻¹(3/4)
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Case:
    """A series with `before` steps of history; `effect` is empty for a harmless release, `size` in
    standard deviations."""

    entity: str
    values: Floats
    index: pd.DatetimeIndex
    before: int
    effect: str
    size: float


def cases(count: int, seed: int) -> list[Case]:
    """At least `count` cases, whole series at a time."""
    out: list[Case] = []
    for number in range(-(-count // (PER_SERIES + 1))):
        out += _of_series(number, seed)
    return out


def _of_series(number: int, seed: int) -> Iterator[Case]:
    names = list(SERIES)
    name, shape = names[number % len(names)], SHAPES[number * 5 % len(SHAPES)]
    rng = np.random.default_rng([seed, number])
    seconds, before, after = shape
    start = START + pd.Timedelta(hours=int(rng.integers(WEEK)))
    index = pd.DatetimeIndex(
        pd.date_range(start, periods=before + after, freq=pd.Timedelta(seconds=seconds), unit="ns")
    )
    values = SERIES[name](rng, index)
    entity = f"{name} {number}"
    yield Case(entity, values, index, before, "", 0.0)
    profile = _profile(values[:before], len(values), DAY // seconds)
    sigma = _sigma(values[:before] - profile[:before])
    possible = [effect for effect in EFFECTS if effect != LOST_RHYTHM or profile.std() > sigma]
    for effect in rng.choice(possible, PER_SERIES, replace=False):
        size = float(rng.choice(SIZES))
        changed = values.copy()
        changed[before:] = EFFECTS[effect](rng, values[before:], size * sigma, profile[before:])
        if np.nanmin(values) >= 0:
            changed = np.maximum(changed, 0.0)
        yield Case(entity, changed, index, before, str(effect), size)


def _profile(history: Floats, steps: int, day: int) -> Floats:
    """The median day of the history, around 0; nothing where there are not two days."""
    if len(history) < 2 * day:
        return np.zeros(steps)
    phase = np.arange(len(history)) % day
    medians = pd.Series(history - np.nanmedian(history)).groupby(phase).median().to_numpy()
    return np.asarray(medians[np.arange(steps) % day])


def _sigma(rest: Floats) -> float:
    spread = MAD_TO_SIGMA * float(np.nanmedian(np.abs(rest - np.nanmedian(rest))))
    return spread or float(np.nanstd(rest)) or 1.0


def _one(kind: str) -> Callable[[np.random.Generator, pd.DatetimeIndex], Floats]:
    return lambda rng, index: KINDS[kind](rng, index, (len(index), 1))[:, 0]


def _incidents(rng: np.random.Generator, index: pd.DatetimeIndex) -> Floats:
    """A latency that remembers, with incidents of some hours and a spread that comes and goes."""
    out = np.exp(
        4
        + 0.25
        * remembering(rng, 0.6, (len(index), 1))[:, 0]
        * np.exp(0.6 * remembering(rng, 0.99, (len(index), 1))[:, 0])
    )
    for start in rng.integers(0, len(index), 4):
        out[start : start + int(rng.integers(2, 20))] *= rng.uniform(1.5, 4)
    return np.asarray(out)


def _regimes(rng: np.random.Generator, index: pd.DatetimeIndex) -> Floats:
    """A gauge that changes its level now and then, and drifts."""
    jumps = np.where(rng.random(len(index)) < 4 / len(index), rng.normal(0, 12, len(index)), 0.0)
    return np.asarray(
        200
        + np.cumsum(jumps + 0.05 * rng.standard_normal(len(index)))
        + 3 * remembering(rng, 0.5, (len(index), 1))[:, 0]
    )


def _batches(rng: np.random.Generator, index: pd.DatetimeIndex) -> Floats:
    """Work that comes in bursts, near zero between them."""
    # an eighth of the steps
    busy = remembering(rng, 0.9, (len(index), 1))[:, 0] > 1.2  # noqa: PLR2004
    return np.asarray(np.where(busy, rng.gamma(2, 50, len(index)), rng.gamma(1, 2, len(index))))


def _purchases(rng: np.random.Generator, index: pd.DatetimeIndex) -> Floats:
    """Few a step, none in many, more by day, and on some days more than on others."""
    hour = index.hour.to_numpy() + index.minute.to_numpy() / 60
    daily = np.exp(0.3 * remembering(rng, 0.7, (len(index), 1))[:, 0])
    return rng.poisson(0.8 * (1 + np.sin(2 * np.pi * (hour - 9) / 24)) * daily).astype(float)


def _errors(rng: np.random.Generator, index: pd.DatetimeIndex) -> Floats:
    """A share of requests that fail, with a heavy tail."""
    return np.asarray(
        0.01
        * np.exp(
            0.35 * rng.standard_t(3, len(index)).clip(-8, 8)
            + 0.2 * remembering(rng, 0.9, (len(index), 1))[:, 0]
        )
    )


def _moody(rng: np.random.Generator, index: pd.DatetimeIndex) -> Floats:
    """A rhythm whose height changes from day to day."""
    day = (index.as_unit("s").asi8 // DAY - index.as_unit("s").asi8[0] // DAY).astype(int)
    height = np.exp(0.25 * remembering(rng, 0.5, (int(day.max()) + 1, 1))[:, 0])[day]
    rhythm = 1 + 0.4 * np.sin(2 * np.pi * (index.as_unit("s").asi8 % DAY) / DAY)
    return np.asarray(
        500 * rhythm * height * (1 + 0.05 * remembering(rng, 0.7, (len(index), 1))[:, 0])
    )


SERIES: dict[str, Callable[[np.random.Generator, pd.DatetimeIndex], Floats]] = {
    "incidents": _incidents,
    "regimes": _regimes,
    "batches": _batches,
    "purchases": _purchases,
    "errors": _errors,
    "moody": _moody,
    **{
        kind: _one(kind)
        for kind in (
            "weekly",
            "bursty counts",
            "drifting",
            "spiky",
            "restless",
            "quantised",
            "gappy",
        )
    },
}


def _bursts(rng: np.random.Generator, values: Floats, sigma: float, _profile: Floats) -> Floats:
    out, left = values.copy(), max(1, int(BURSTS * len(values)))
    while left > 0:
        start, length = int(rng.integers(len(values))), min(left, int(rng.integers(1, BURST + 1)))
        out[start : start + length] = values[start : start + length] + sigma * rng.uniform(1, 1.5)
        left -= length
    return out


def _outage(rng: np.random.Generator, values: Floats, _sigma: float, _profile: Floats) -> Floats:
    out, length = values.copy(), max(2, int(LOST * len(values)))
    start = int(rng.integers(0, len(values) - length + 1))
    out[start : start + length] = np.nan if rng.random() < 0.5 else 0.0  # noqa: PLR2004  a coin
    return out


EFFECTS: dict[str, Callable[[np.random.Generator, Floats, float, Floats], Floats]] = {
    "level up": lambda _rng, values, sigma, _profile: values + sigma,
    "level down": lambda _rng, values, sigma, _profile: values - sigma,
    "ramp": lambda _rng, values, sigma, _profile: (
        values + sigma * np.arange(1, len(values) + 1) / len(values)
    ),
    "spread": lambda rng, values, sigma, _profile: (
        values + sigma * rng.standard_normal(len(values))
    ),
    "bursts": _bursts,
    "outage": _outage,
    LOST_RHYTHM: lambda _rng, values, _sigma, profile: values - profile,
}
