"""Series of which there is little to see: values now and then, jobs of the hour and of the night,
gaps and single steps."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from anomaly import Report, Verdict
from anomaly.model import ChangeKind
from tests.obvious.catalogue import (
    CERTAIN,
    DOWN,
    EITHER,
    TUESDAY,
    UP,
    Case,
    Floats,
    Rng,
    counted,
    day,
    does_not_fail,
    grid,
    hour,
    is_left_open,
    is_over,
    kind,
    noisy,
    only,
    passes,
    ratio,
    regresses,
)

GROUP = "gaps, jobs and lone steps"
MIDNIGHT = TUESDAY.normalize()
STEPS = ("5min", "15min", "1h")


def _some_time(rng: Rng) -> pd.Timestamp:
    return MIDNIGHT + pd.Timedelta(minutes=5 * int(rng.integers(7 * 288)))


# --- values now and then -----------------------------------------------------------------------


def _office_errors(rng: Rng, times: float) -> Case:
    """Errors of an office product without requests at night and at weekends, released in the
    evening and watched until the next morning."""
    at = MIDNIGHT + pd.Timedelta(hours=18, days=int(rng.integers(3)))
    index, after = grid(at, 35, 17, str(rng.choice(STEPS)))
    is_shut = (index.day_of_week >= 5) | (hour(index) < 8) | (hour(index) >= 18)
    errors, requests = ratio(
        rng, index, np.where(is_shut, 0.0, 400.0), np.where(after, 0.005 * times, 0.005)
    )
    return Case(errors, index, at, UP | {"denominators": requests})


def _office_latency(rng: Rng, times: float) -> Case:
    """A latency of working hours alone, released on Friday evening and watched until Monday."""
    at = MIDNIGHT + pd.Timedelta(days=3, hours=int(rng.integers(18, 20)))
    index, after = grid(at, 35, 66, str(rng.choice(STEPS)))
    values = noisy(rng, np.where(after, 50.0 * times, 50.0), 0.08)
    values[(index.day_of_week >= 5) | (hour(index) < 9) | (hour(index) >= 17)] = np.nan
    return Case(values, index, at, UP)


def _now_and_then(rng: Rng, times: float, step: str, every: int, days: int) -> Case:
    """One value every so many steps, and nothing between."""
    at = _some_time(rng)
    watched = every * int(rng.integers(4, 11)) * (pd.Timedelta(step) / pd.Timedelta("1h"))
    index, after = grid(at, days, watched, step)
    values = noisy(rng, np.where(after, 40 * times, 40.0), 0.06)
    values[(np.arange(len(index)) - int((~after).sum())) % every != every // 2] = np.nan
    return Case(values, index, at, UP)


for _name, _make, _broken, _times in (
    ("errors of an office product, overnight", _office_errors, ", 60 times as many", 60.0),
    ("a latency of working hours, over a weekend", _office_latency, ", doubled", 2.0),
    (
        "a value an hour on steps of five minutes",
        partial(_now_and_then, step="5min", every=12, days=28),
        ", × 2.5",
        2.5,
    ),
    (
        "a value a night on steps of an hour",
        partial(_now_and_then, step="1h", every=24, days=60),
        ", × 2.5",
        2.5,
    ),
):
    kind(_name, GROUP, does_not_fail, partial(_make, times=1.0))
    kind(
        _name + _broken,
        GROUP,
        regresses,
        partial(_make, times=_times),
        harmful=True,
        at_least=CERTAIN,
    )


# --- jobs --------------------------------------------------------------------------------------


def _job_of_the_night(rng: Rng, *, runs: bool) -> Case:
    """A job that moves a hundred times as much for an hour, released two hours before."""
    at = MIDNIGHT + pd.Timedelta(hours=int(rng.integers(0, 2)))
    index, after = grid(at, 28, 7, str(rng.choice(STEPS[:2])))
    is_job = (hour(index) >= 2) & (hour(index) < 3) & (runs | ~after)
    return Case(
        5 + rng.normal(0, 0.5, len(index)) + noisy(rng, np.where(is_job, 500.0, 0.0), 0.03),
        index,
        at,
        DOWN,
    )


def _job_of_the_hour(rng: Rng, times: float) -> Case:
    """A job at every full hour, that takes so many times as much from the release on."""
    at = _some_time(rng)
    index, after = grid(at, 28, int(rng.integers(4, 9)))
    height = np.where(index.minute == 0, 5.0, 0.0) * np.where(after, times, 1.0)
    return Case(noisy(rng, counted(rng, 300 * day(index) * (1 + height)), 0.03), index, at, UP)


kind("a job of the night that runs", GROUP, passes, partial(_job_of_the_night, runs=True))
kind(
    "a job of the night that does not run",
    GROUP,
    regresses,
    partial(_job_of_the_night, runs=False),
    harmful=True,
    at_least=CERTAIN,
)
kind("a job of the hour", GROUP, passes, partial(_job_of_the_hour, times=1.0))
kind(
    "a job of the hour, doubled",
    GROUP,
    regresses,
    partial(_job_of_the_hour, times=2.2),
    harmful=True,
)


def _hours_since(rng: Rng, *, comes: bool) -> Case:
    """The age of a backup that comes at three every night, released two hours before."""
    at = MIDNIGHT + pd.Timedelta(hours=1)
    index, after = grid(at, 28, 9, str(rng.choice(STEPS)))
    age = (hour(index) - 3) % 24
    return Case(age + 24 * (after & (hour(index) >= 3) & (not comes)), index, at, UP)


def _so_far_today(rng: Rng, times: float) -> Case:
    """Orders so far today."""
    at = MIDNIGHT + pd.Timedelta(hours=int(rng.integers(8, 11)))
    index, after = grid(at, 28, 8, str(rng.choice(STEPS)))
    orders = counted(rng, 500 * day(index) * np.where(after, times, 1.0))
    so_far = pd.Series(orders, index).groupby(index.date).cumsum()
    return Case(np.asarray(so_far), index, at, DOWN)


kind("hours since the last backup", GROUP, passes, partial(_hours_since, comes=True))
kind(
    "hours since the last backup, and tonight's does not come",
    GROUP,
    regresses,
    partial(_hours_since, comes=False),
    harmful=True,
    at_least=CERTAIN,
)
kind("orders so far today", GROUP, passes, partial(_so_far_today, times=1.0))
kind(
    "orders so far today, and hardly any more",
    GROUP,
    regresses,
    partial(_so_far_today, times=0.02),
    harmful=True,
)


# --- gaps and lone steps -----------------------------------------------------------------------


def _traffic(rng: Rng, step: str = "5min") -> tuple[Floats, pd.DatetimeIndex, pd.Timestamp, int]:
    """Counts under a day, and the first row after the release."""
    at = _some_time(rng)
    index, after = grid(at, 28, int(rng.integers(3, 9)), step)
    values = noisy(rng, counted(rng, 300 * day(index)), 0.03)
    return values, index, at, int((~after).sum())


def _gap(rng: Rng) -> Case:
    """Two or three samples missing at the restart."""
    values, index, at, first = _traffic(rng, str(rng.choice(STEPS[:2])))
    values[first : first + int(rng.integers(2, 4))] = np.nan
    return Case(values, index, at, DOWN)


def _lone_step(rng: Rng, place: int, low: float, high: float) -> Case:
    values, index, at, first = _traffic(rng)
    values[first + place if place >= 0 else place] *= rng.uniform(low, high)
    return Case(values, index, at, UP if low > 1 else DOWN)


def _down_at_the_restart(rng: Rng) -> Case:
    """`up`, at 0 for two or three steps."""
    _, index, at, first = _traffic(rng)
    values = np.ones(len(index))
    values[first : first + int(rng.integers(2, 4))] = 0
    return Case(values, index, at, DOWN)


kind("samples missing at the restart", GROUP, is_over, _gap)
kind("the last step half ingested", GROUP, passes, partial(_lone_step, place=-1, low=0.1, high=0.7))
kind("a bad last step", GROUP, passes, partial(_lone_step, place=-1, low=2.0, high=5.0))
kind("a bad first step", GROUP, is_over, partial(_lone_step, place=0, low=2.0, high=5.0))
kind("down at the restart", GROUP, is_over, _down_at_the_restart)


# --- only just begun, or already over ----------------------------------------------------------


def _went_live(rng: Rng, times: float) -> Case:
    """Traffic of a feature that went live hours before the release, nothing before that."""
    at = _some_time(rng)
    index, after = grid(at, int(rng.integers(7, 29)), int(rng.integers(1, 5)), STEPS[0])
    is_live = index >= at - pd.Timedelta(hours=int(rng.integers(2, 17)))
    level = 10 ** rng.uniform(2, 4) * day(index, 0.2) * is_live * np.where(after, times, 1.0)
    return Case(np.round(noisy(rng, level, 0.06)), index, at, DOWN)


def _failing_for_hours(rng: Rng, times: float) -> Case:
    """Errors that began hours before the release, none before that."""
    at = _some_time(rng)
    index, after = grid(at, int(rng.integers(7, 29)), int(rng.integers(1, 5)), STEPS[0])
    fails = index >= at - pd.Timedelta(hours=int(rng.integers(3, 25)))
    share = np.where(fails, rng.uniform(0.01, 0.05), 0.0) * np.where(after, times, 1.0)
    errors, requests = ratio(rng, index, 1000 * day(index), share)
    return Case(errors, index, at, UP | {"denominators": requests})


def _silent(rng: Rng, before: bool) -> Case:
    """A KPI without samples, from the release on or since hours `before` it."""
    values, index, at, first = _traffic(rng, str(rng.choice(STEPS)))
    values[first - before * int(rng.integers(6, 25)) :] = np.nan
    return Case(values, index, at, DOWN | {"no_data": "fail"})


def _fails(report: Report) -> bool:
    return report.verdict == "fail"


kind("live since hours before the release", GROUP, does_not_fail, partial(_went_live, times=1.0))
kind(
    "live since hours before the release, and gone",
    GROUP,
    regresses,
    partial(_went_live, times=0.0),
    harmful=True,
    at_least=CERTAIN,
)
kind(
    "failing for the first time, for hours",
    GROUP,
    is_left_open,
    partial(_failing_for_hours, times=1.0),
)
kind(
    "failing for the first time, for hours, and three times as much",
    GROUP,
    regresses,
    partial(_failing_for_hours, times=3.0),
    harmful=True,
)
kind(
    "no samples since hours before the release", GROUP, is_left_open, partial(_silent, before=True)
)
kind(
    "no samples since the release",
    GROUP,
    _fails,
    partial(_silent, before=False),
    harmful=True,
    at_least=CERTAIN,
)


# --- what it is called -------------------------------------------------------------------------


def _noisier(rng: Rng) -> Case:
    """Noise that is five times as wide around the same mean."""
    index, after = grid(TUESDAY, 28, int(rng.integers(6, 13)), str(rng.choice(STEPS[:2])))
    return Case(
        100 + np.where(after, 5.0, 1.0) * rng.normal(size=len(index)), index, TUESDAY, EITHER
    )


def _is_wider(report: Report) -> bool:
    return regresses(report) and only(report).kind is ChangeKind.SPREAD


def _below_zero(rng: Rng) -> Case:
    """A balance around 100 that falls by 300."""
    index, after = grid(TUESDAY, 28, int(rng.integers(6, 13)), "1h")
    return Case(noisy(rng, 100 * day(index), 0.2) - 300.0 * after, index, TUESDAY, DOWN)


def _fell_by_300(report: Report) -> bool:
    size = only(report).effect_absolute
    return regresses(report) and size is not None and abs(size + 300) < 40


def _a_tenth_left(rng: Rng) -> Case:
    """Counts of which 3 to 10 % are left, in a short watch."""
    index, after = grid(TUESDAY, 28, float(rng.choice([0.25, 0.5, 1])))
    return Case(
        counted(rng, rng.uniform(200, 900) * day(index) * np.where(after, 0.06, 1.0)),
        index,
        TUESDAY,
        DOWN,
    )


def _holds_the_size(report: Report) -> bool:
    interval = only(report).effect_interval
    return (
        only(report).verdict is Verdict.REGRESSED
        and interval is not None
        and interval[0] <= -0.94 <= interval[1]
    )


kind("five times the spread, by its name", GROUP, _is_wider, _noisier, harmful=True)
kind("a balance that falls below zero", GROUP, _fell_by_300, _below_zero, harmful=True)
kind("a few per cent are left, by how much", GROUP, _holds_the_size, _a_tenth_left, harmful=True)
