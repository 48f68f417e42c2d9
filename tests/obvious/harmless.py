"""No harm is seen where there is none, and harm where there is."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from anomaly import Report, Verdict
from tests.obvious.catalogue import (
    CERTAIN,
    DOWN,
    EITHER,
    TUESDAY,
    UP,
    Case,
    Rng,
    counted,
    day,
    does_not_fail,
    does_not_pass,
    grid,
    hour,
    is_over,
    kind,
    noisy,
    only,
    passes,
    passes_surely,
    ratio,
    regresses,
)

GROUP = "no harm"
MIDNIGHT = TUESDAY.normalize()


def _memory(rng: Rng) -> Case:
    """Memory that grew for two weeks and starts over at the release."""
    index, after = grid(TUESDAY, 14, 6)
    hours = np.asarray((index - TUESDAY) / pd.Timedelta("1h"), float)
    level = 1e9 * np.where(after, 1 + 0.001 * hours, 1 + 0.001 * (hours + 336))
    return Case(noisy(rng, level, 0.004), index, TUESDAY, UP | {"tolerance": 0.1})


kind("memory falls at the restart", GROUP, passes, _memory)


def _improves(report: Report) -> bool:
    return only(report).verdict is Verdict.IMPROVED


def _rhythm(rng: Rng, times: float) -> Case:
    """Traffic with a deep night, released at any hour and watched for up to a day."""
    at = TUESDAY.normalize() + pd.Timedelta(minutes=5 * int(rng.integers(288)))
    index, after = grid(at, 28, float(rng.uniform(3, 24)))
    level = 2000 * day(index, rng.uniform(0.5, 0.9)) * np.where(after, times, 1.0)
    return Case(counted(rng, level), index, at, (UP if times < 1 else DOWN))


def _week(rng: Rng, times: float) -> Case:
    """Daily values of little noise, released on any day and watched for up to two weeks."""
    at = MIDNIGHT + pd.Timedelta(days=int(rng.integers(7)))
    index, after = grid(at, 7 * int(rng.integers(8, 50)), 24 * int(rng.integers(3, 15)), "1D")
    level = 5000 * np.where(index.day_of_week >= 5, rng.uniform(0.1, 0.9), 1.0)
    return Case(
        noisy(rng, level * np.where(after, times, 1.0), 0.02),
        index,
        at,
        (UP if times < 1 else DOWN),
    )


for _name, _make, _ups in (("a deep night", _rhythm, (1.5, 5.0)), ("a week", _week, (1.5,))):
    for _times in (0.03, 0.6, *_ups):
        kind(
            f"× {_times:g} under {_name}, where that is good",
            GROUP,
            _improves,
            partial(_make, times=_times),
            harmful=True,
            at_least=CERTAIN,
        )


def _empty_nights(rng: Rng, *, dies: bool) -> Case:
    at = pd.Timestamp("2025-06-03T20:00Z" if not dies else "2025-06-03T09:00Z")
    index, after = grid(at, 28, 6)
    values = noisy(rng, np.full(len(index), 0.3), 0.05)
    values[(hour(index) < 6) | (hour(index) >= 20)] = np.nan
    if dies:
        values[after] = np.nan
    return Case(values, index, at, UP | {"no_data": "fail"})


def _fails(report: Report) -> bool:
    return report.verdict == "fail"


kind(
    "no samples at night, as every night",
    GROUP,
    does_not_fail,
    lambda rng: _empty_nights(rng, dies=False),
)
kind("no samples by day", GROUP, _fails, lambda rng: _empty_nights(rng, dies=True), harmful=True)


def _one_error(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 28, 6)
    errors = np.zeros(len(index))
    errors[int(rng.choice(np.flatnonzero(after)))] = 1
    requests = pd.Series(counted(rng, np.full(len(index), 3000.0)), index)
    return Case(errors, index, TUESDAY, UP | {"denominators": requests})


def _errors_in_100(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 28, 6)
    errors, requests = ratio(rng, index, np.full(len(index), 3000.0), np.where(after, 0.01, 0.0))
    return Case(errors, index, TUESDAY, UP | {"denominators": requests})


def _one_error_in_days(rng: Rng) -> Case:
    index, after = grid(MIDNIGHT, 60, 72, "1D")
    errors = np.zeros(len(index))
    errors[int(rng.choice(np.flatnonzero(after)))] = 1
    requests = pd.Series(counted(rng, np.full(len(index), 2e5)), index)
    return Case(errors, index, MIDNIGHT, UP | {"denominators": requests})


def _errors_in_1000_in_days(rng: Rng) -> Case:
    index, after = grid(MIDNIGHT, 60, 72, "1D")
    errors, requests = ratio(rng, index, np.full(len(index), 2e5), np.where(after, 0.001, 0.0))
    return Case(errors, index, MIDNIGHT, UP | {"denominators": requests})


def _has_not_regressed(report: Report) -> bool:
    return not regresses(report)


kind("one error in 200,000 requests", GROUP, _has_not_regressed, _one_error)
kind(
    "errors in one of 100 requests, never before",
    GROUP,
    regresses,
    _errors_in_100,
    harmful=True,
    at_least=CERTAIN,
)
kind("one error in three days", GROUP, _has_not_regressed, _one_error_in_days)
kind(
    "errors in one of 1,000 requests of three days, never before",
    GROUP,
    regresses,
    _errors_in_1000_in_days,
    harmful=True,
    at_least=CERTAIN,
)


def _blip(rng: Rng) -> Case:
    """Two to four times as high for 20 minutes of the first two hours."""
    index, after = grid(TUESDAY, 21, 6)
    start = int(rng.choice(np.flatnonzero(after)[:24]))
    values = noisy(rng, 100 * day(index), 0.03)
    values[start : start + 4] *= rng.uniform(2, 4)
    return Case(values, index, TUESDAY, UP)


kind("a blip of 20 minutes", GROUP, is_over, _blip)


def _one_step(rng: Rng, times: float, spikes: int = 1) -> Case:
    """So many steps of the watch far off, under a day, where the noise may remember."""
    index, after = grid(TUESDAY, 28, float(rng.uniform(6, 24)), rng.choice(["5min", "15min"]))
    phi = rng.choice([0.0, 0.6])
    noise = lfilter([np.sqrt(1 - phi**2)], [1, -phi], rng.normal(size=len(index) + 50))[50:]
    values = 1000 * day(index, 0.4) * (1 + 0.03 * noise)
    inside = np.flatnonzero(after)[1:-1]
    values[rng.choice(inside, spikes, replace=False)] *= times
    return Case(values, index, TUESDAY, [UP, DOWN, EITHER][int(rng.integers(3))])


for _times in (0.0, 5.0, 20.0):
    kind(f"one step × {_times:g}", GROUP, passes, partial(_one_step, times=_times))


def _is_found(report: Report) -> bool:
    """Spikes are told, whether or not the last part of the watch has any."""
    return only(report).verdict in (Verdict.REGRESSED, Verdict.RECOVERED)


def _bursts(rng: Rng) -> Case:
    case = _one_step(rng, 5.0, spikes=8)
    return Case(case.values, case.index, case.released, UP)


kind("eight steps × 5", GROUP, _is_found, _bursts, harmful=True)


def _never_matched(_: Rng) -> Case:
    index, _after = grid(TUESDAY, 14, 6)
    return Case(np.full(len(index), np.nan), index, TUESDAY, {"no_data": "fail"})


kind("a query that never matched", GROUP, does_not_fail, _never_matched)


def _tenth(rng: Rng, direction: str, times: float) -> Case:
    """An error ratio of which only a tenth of the requests is left."""
    index, after = grid(TUESDAY, 21, 6)
    errors, requests = ratio(
        rng,
        index,
        1000 * day(index) * np.where(after, 0.1, 1.0),
        0.02 * np.where(after, times, 1.0),
    )
    return Case(errors, index, TUESDAY, {"direction": direction, "denominators": requests})


kind(
    "a ratio at a tenth of the traffic, up is bad",
    GROUP,
    passes,
    lambda rng: _tenth(rng, "up", 1.0),
)
kind(
    "a ratio at a tenth of the traffic, down is bad",
    GROUP,
    passes,
    lambda rng: _tenth(rng, "down", 1.0),
)
kind(
    "a ratio at a tenth of the traffic, times three",
    GROUP,
    regresses,
    lambda rng: _tenth(rng, "up", 3.0),
    harmful=True,
)


def _last_bit(_: Rng) -> Case:
    index, after = grid(TUESDAY, 14, 6)
    return Case(np.where(after, 0.1 + 0.2, 0.3), index, TUESDAY)


def _share_of_all(rng: Rng) -> Case:
    """All requests succeed; the last bit of some shares says more than all."""
    index, _ = grid(TUESDAY, 14, 6)
    values = np.where(rng.random(len(index)) < 0.5, 1.0, 1.0 + 2e-16)
    return Case(values, index, TUESDAY, DOWN | {"kind": "share"})


kind("the last bit of a constant", GROUP, passes, _last_bit)
kind("the last bit of a share of 1", GROUP, passes, _share_of_all)


def _sawtooth(rng: Rng, faster: float) -> Case:
    """A gauge that grows from each start of the process on; the release is one."""
    index, after = grid(TUESDAY, 21, 12)
    starts = np.sort(TUESDAY.value - rng.uniform(0, 21, 9) * 86_400e9)
    starts = np.append(starts, TUESDAY.value)
    at = index.as_unit("ns").asi8
    began = starts[np.clip(np.searchsorted(starts, at, "right") - 1, 0, None)]
    hours = np.maximum(at - began, 0) / 3600e9
    level = 1e8 * (1 + 0.02 * hours * np.where(after, faster, 1.0))
    return Case(noisy(rng, level, 0.01), index, TUESDAY, UP)


kind(
    "a gauge that starts over with the process",
    GROUP,
    does_not_fail,
    lambda rng: _sawtooth(rng, 1.0),
)
kind("a leak five times as fast", GROUP, regresses, lambda rng: _sawtooth(rng, 5.0), harmful=True)
kind(
    "a leak twenty times as fast", GROUP, regresses, lambda rng: _sawtooth(rng, 20.0), harmful=True
)


def _around_zero(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 14, 6)
    return Case(rng.uniform(1, 100) * rng.normal(size=len(index)), index, TUESDAY, DOWN)


def _below_zero(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 14, 6)
    values = np.where(after, -30, 50) + 5 * rng.normal(size=len(index))
    return Case(values, index, TUESDAY, DOWN)


def _regresses_by_80(report: Report) -> bool:
    size = only(report).effect_absolute
    return regresses(report) and size is not None and abs(size + 80) < 4


kind("values around zero", GROUP, passes, _around_zero)
kind("from +50 to −30", GROUP, _regresses_by_80, _below_zero, harmful=True, at_least=CERTAIN)


def _unit(rng: Rng) -> Case:
    """Milliseconds that become seconds."""
    index, after = grid(TUESDAY, 14, 6)
    values = 200 * np.exp(rng.normal(0, 0.1, len(index))) / np.where(after, 1000, 1)
    return Case(values, index, TUESDAY, UP | {"kind": "latency"})


def _says_unit(report: Report) -> bool:
    return does_not_pass(report) or any("unit" in note for note in only(report).notes)


def _unit_of_a_rhythm(rng: Rng, times: float) -> Case:
    """The same, of any KPI with a rhythm, whose kind is not declared."""
    index, after = grid(TUESDAY, 21, float(rng.uniform(1, 12)))
    level = rng.uniform(20, 2000) * day(index, rng.uniform(0, 0.8)) * np.where(after, times, 1.0)
    return Case(noisy(rng, level, rng.uniform(0.02, 0.1)), index, TUESDAY, UP)


def _names_unit(report: Report) -> bool:
    return "unit" in only(report).reason


kind("the unit changed", GROUP, _says_unit, _unit, harmful=True, at_least=CERTAIN)
for _times in (1e-3, 1e3, 1e-6):
    kind(
        f"a unit changed, × {_times:g}",
        GROUP,
        _names_unit,
        partial(_unit_of_a_rhythm, times=_times),
        harmful=True,
    )


def _cumulative(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 14, 6)
    return Case(np.cumsum(counted(rng, np.full(len(index), 100.0))), index, TUESDAY, UP)


def _falls_at_the_release(rng: Rng) -> Case:
    case = _cumulative(rng)
    since = np.where(case.after, case.values[~case.after][-1], 0.0)
    return Case(case.values - since, case.index, TUESDAY, case.options)


def _says_counter(report: Report) -> bool:
    return report.verdict == "inconclusive" and "counter" in only(report).reason


kind("a counter without rate", GROUP, _says_counter, _cumulative)
kind("a counter that starts over at the release", GROUP, _says_counter, _falls_at_the_release)


def _constant(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 14, 6)
    return Case(np.full(len(index), float(rng.integers(1, 200))), index, TUESDAY)


def _claims_nothing_small(report: Report) -> bool:
    interval = only(report).effect_interval
    return passes(report) and (interval is None or interval[0] <= 0 <= interval[1])


kind("a constant", GROUP, _claims_nothing_small, _constant)


def _constant_with_gaps(rng: Rng, left: float) -> Case:
    """A constant on any scale, of which up to a fifth of the steps are missing."""
    index, after = grid(TUESDAY, 21, 6)
    values = np.where(after, left, 1.0) * 10 ** rng.uniform(-2, 3)
    missing = rng.random(len(index)) < rng.uniform(0.05, 0.2)
    return Case(np.where(missing, np.nan, values), index, TUESDAY, DOWN)


kind(
    "a constant with missing steps",
    GROUP,
    passes_surely(0.0, 0.0),
    lambda rng: _constant_with_gaps(rng, 1.0),
)
kind(
    "a constant with missing steps, and a fall by 5 to 20 %",
    GROUP,
    regresses,
    lambda rng: _constant_with_gaps(rng, rng.uniform(0.8, 0.95)),
    harmful=True,
    at_least=CERTAIN,
)
