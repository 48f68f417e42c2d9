"""D. No harm is seen where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd

from anomaly import Report, Verdict
from tests.obvious.catalogue import (
    TUESDAY,
    Case,
    Rng,
    day,
    grid,
    hour,
    kind,
    no_alarm,
    noisy,
    not_a_pass,
    only,
    over,
    quiet,
    regressed,
)

GROUP = "no harm"


def _memory(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 14, 6)
    hours = np.asarray((index - TUESDAY) / pd.Timedelta("1h"), float)
    level = 1e9 * np.where(after, 1 + 0.001 * hours, 1 + 0.001 * (hours + 336))
    return Case(noisy(rng, level, 0.004), index, TUESDAY, {"direction": "up", "tolerance": 0.1})


kind("memory falls at the restart", GROUP, quiet, _memory)


def _empty_nights(rng: Rng, *, dies: bool) -> Case:
    at = pd.Timestamp("2025-06-03T20:00Z" if not dies else "2025-06-03T09:00Z")
    index, after = grid(at, 28, 6)
    values = noisy(rng, np.full(len(index), 0.3), 0.05)
    values[(hour(index) < 6) | (hour(index) >= 20)] = np.nan
    if dies:
        values[after] = np.nan
    return Case(values, index, at, {"direction": "up", "no_data": "fail"})


kind(
    "no samples at night, as every night",
    GROUP,
    no_alarm,
    lambda rng: _empty_nights(rng, dies=False),
)
kind(
    "no samples by day",
    GROUP,
    lambda report: report.verdict == "fail",
    lambda rng: _empty_nights(rng, dies=True),
    harmful=True,
)


def _requests(rng: Rng, errors: np.ndarray, index: pd.DatetimeIndex, total: np.ndarray) -> Case:
    denominators = pd.Series(total.astype(float), index)
    return Case(
        errors.astype(float), index, TUESDAY, {"direction": "up", "denominators": denominators}
    )


def _one_error(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 28, 6)
    errors = np.zeros(len(index))
    errors[int(rng.choice(np.flatnonzero(after)))] = 1
    return _requests(rng, errors, index, rng.poisson(3000, len(index)))


def _many_errors(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 28, 6)
    total = rng.poisson(3000, len(index))
    return _requests(rng, rng.binomial(total, np.where(after, 0.01, 0.0)), index, total)


kind("one error in 200,000 requests", GROUP, lambda report: not regressed(report), _one_error)
kind(
    "errors in one of 100 requests, never before",
    GROUP,
    regressed,
    _many_errors,
    harmful=True,
    at_least=0.95,
)


def _blip(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 21, 6)
    start = int(rng.choice(np.flatnonzero(after)[:24]))
    values = noisy(rng, 100 * day(index), 0.03)
    values[start : start + 4] *= rng.uniform(2, 4)
    return Case(values, index, TUESDAY, {"direction": "up"})


kind("a blip of 20 minutes", GROUP, over, _blip)


def _never_matched(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 14, 6)
    return Case(np.full(len(index), np.nan), index, TUESDAY, {"no_data": "fail"})


kind("a query that never matched", GROUP, no_alarm, _never_matched)


def _tenth(rng: Rng, direction: str, times: float) -> Case:
    index, after = grid(TUESDAY, 21, 6)
    total = rng.poisson(1000 * day(index) * np.where(after, 0.1, 1.0))
    errors = rng.binomial(total, 0.02 * np.where(after, times, 1.0))
    options = {"direction": direction, "denominators": pd.Series(total.astype(float), index)}
    return Case(errors.astype(float), index, TUESDAY, options)


kind(
    "a ratio at a tenth of the traffic, up is bad", GROUP, quiet, lambda rng: _tenth(rng, "up", 1.0)
)
kind(
    "a ratio at a tenth of the traffic, down is bad",
    GROUP,
    quiet,
    lambda rng: _tenth(rng, "down", 1.0),
)
kind(
    "a ratio at a tenth of the traffic, times three",
    GROUP,
    regressed,
    lambda rng: _tenth(rng, "up", 3.0),
    harmful=True,
)


def _last_bit(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 14, 6)
    return Case(np.where(after, 0.1 + 0.2, 0.3), index, TUESDAY)


kind("the last bit of a constant", GROUP, quiet, _last_bit)


def _sawtooth(rng: Rng, faster: float) -> Case:
    index, after = grid(TUESDAY, 21, 12)
    starts = np.sort(TUESDAY.value - rng.uniform(0, 21, 9) * 86_400e9)
    starts = np.append(starts, TUESDAY.value)
    at = index.as_unit("ns").asi8
    began = starts[np.clip(np.searchsorted(starts, at, "right") - 1, 0, None)]
    hours = np.maximum(at - began, 0) / 3600e9
    level = 1e8 * (1 + 0.02 * hours * np.where(after, faster, 1.0))
    return Case(noisy(rng, level, 0.01), index, TUESDAY, {"direction": "up"})


kind("a gauge that starts over with the process", GROUP, no_alarm, lambda rng: _sawtooth(rng, 1.0))
kind(
    "a leak twenty times as fast", GROUP, regressed, lambda rng: _sawtooth(rng, 20.0), harmful=True
)


def _below_zero(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 14, 6)
    return Case(
        np.where(after, -30, 50) + 5 * rng.normal(size=len(index)),
        index,
        TUESDAY,
        {"direction": "down"},
    )


def _eighty_less(report: Report) -> bool:
    size = only(report).effect_absolute
    return regressed(report) and size is not None and abs(size + 80) < 4


kind("from +50 to −30", GROUP, _eighty_less, _below_zero, harmful=True, at_least=0.95)


def _unit(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 14, 6)
    values = 200 * np.exp(rng.normal(0, 0.1, len(index))) / np.where(after, 1000, 1)
    return Case(values, index, TUESDAY, {"direction": "up", "kind": "latency"})


def _says_unit(report: Report) -> bool:
    return not_a_pass(report) or any("unit" in note for note in only(report).notes)


kind("the unit changed", GROUP, _says_unit, _unit, harmful=True, at_least=0.95)


def _cumulative(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 14, 6)
    return Case(
        np.cumsum(rng.poisson(100, len(index))).astype(float), index, TUESDAY, {"direction": "up"}
    )


def _not_improved(report: Report) -> bool:
    return only(report).verdict not in (Verdict.IMPROVED, Verdict.REGRESSED)


kind("a counter without rate", GROUP, _not_improved, _cumulative)


def _constant(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 14, 6)
    return Case(np.full(len(index), float(rng.integers(1, 200))), index, TUESDAY)


def _claims_nothing_small(report: Report) -> bool:
    interval = only(report).effect_interval
    return quiet(report) and (interval is None or interval[0] <= 0 <= interval[1])


kind("a constant", GROUP, _claims_nothing_small, _constant)
