"""A catastrophe never passes."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from anomaly import Report, Verdict
from tests.obvious.catalogue import (
    CERTAIN,
    DOWN,
    EITHER,
    HALVED,
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
    is_left_open,
    kind,
    noisy,
    only,
    passes,
    ratio,
    regresses,
    weekend,
)

GROUP = "catastrophes"
SATURDAY = pd.Timestamp("2025-06-07T10:00Z")


def _after_earlier_step(rng: Rng, left: float) -> Case:
    """A KPI that moved by 5 to 20 % up to five days ago."""
    index, after = grid(TUESDAY, 28, 6)
    earlier = index >= TUESDAY - pd.Timedelta(days=float(rng.uniform(1, 5)))
    step = 1 + rng.choice([-1, 1]) * rng.uniform(0.05, 0.2)
    level = 1e4 * day(index, 0.5) * np.where(earlier, step, 1)
    return Case(counted(rng, level * np.where(after, left, 1.0)), index, TUESDAY, EITHER)


kind("after an earlier step", GROUP, passes, lambda rng: _after_earlier_step(rng, 1.0))
for _left in (0.4, 0.01, 2.0):
    kind(
        f"after an earlier step, × {_left}",
        GROUP,
        regresses,
        partial(_after_earlier_step, left=_left),
        harmful=True,
        at_least=CERTAIN,
    )


def _fall_after_a_rise(rng: Rng, left: float) -> Case:
    """An hourly KPI that rose two to six days ago, by as much as a release takes away; sometimes
    released within a step."""
    at = TUESDAY + pd.Timedelta(minutes=int(rng.choice([0, 15, 40])))
    index, after = grid(at.floor("h"), 35, float(rng.integers(12, 24)), "1h")
    rose = index >= at - pd.Timedelta(days=float(rng.uniform(2, 6)))
    level = 1e4 * day(index) * np.where(rose, 1 + rng.uniform(0.1, 0.2), 1.0)
    values = noisy(rng, level * np.where(after, left, 1.0), rng.uniform(0.015, 0.03))
    return Case(values, index, at, DOWN)


kind("after a rise, hourly", GROUP, passes, lambda rng: _fall_after_a_rise(rng, 1.0))
kind(
    "after a rise, hourly, 20 % less",
    GROUP,
    regresses,
    lambda rng: _fall_after_a_rise(rng, 0.8),
    harmful=True,
)


def _last_bursts(rng: Rng, times: float) -> Case:
    """A KPI that moved up to five days ago; in the last hour of the watch, every other step is a
    burst."""
    case = _after_earlier_step(rng, 1.0)
    last = np.asarray(case.index >= case.index[-1] - pd.Timedelta("1h"))
    burst = last & (np.arange(len(case.index)) % 2 == 0)
    return Case(case.values * np.where(burst, times, 1.0), case.index, case.released, UP)


kind(
    "bursts at the end, × 1.5",
    GROUP,
    regresses,
    lambda rng: _last_bursts(rng, 1.5),
    harmful=True,
)
kind(
    "bursts at the end, × 10",
    GROUP,
    regresses,
    lambda rng: _last_bursts(rng, 10.0),
    harmful=True,
    at_least=CERTAIN,
)


def _into_the_night(rng: Rng, left: float) -> Case:
    """Released at 18:00; at midnight, when the watch ends, hardly anything is expected."""
    at = pd.Timestamp("2025-06-03T18:00Z")
    index, after = grid(at, 28, 6)
    usual = rng.uniform(15, 40) * (
        0.02 + 0.98 * np.maximum(np.cos((hour(index) - 15) / 24 * 2 * np.pi), 0) ** 0.7
    )
    values = counted(rng, usual * np.where(after, left, 1.0))
    return Case(values, index, at, DOWN | {"tolerance": 0.05})


kind("into a quiet night", GROUP, passes, lambda rng: _into_the_night(rng, 1.0))
kind(
    "an outage into the night",
    GROUP,
    regresses,
    lambda rng: _into_the_night(rng, 0.0),
    harmful=True,
    at_least=CERTAIN,
)
kind(
    "half into the night",
    GROUP,
    regresses,
    lambda rng: _into_the_night(rng, HALVED),
    harmful=True,
)


def _lasting(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 21, 6)
    level = 50 * day(index) * np.where(after, rng.uniform(0.89, 0.92), 1.0)
    return Case(counted(rng, level), index, TUESDAY, DOWN)


def _has_not_recovered(report: Report) -> bool:
    return only(report).verdict is not Verdict.RECOVERED


kind(
    "a fall by 10 % that lasts is not over",
    GROUP,
    _has_not_recovered,
    _lasting,
    harmful=True,
    at_least=CERTAIN,
)


def _outliers(rng: Rng, times: float) -> Case:
    index, after = grid(TUESDAY, 28, 6)
    values = 300 * np.exp(0.05 * rng.normal(size=len(index)))
    values *= np.where(rng.random(len(index)) < 0.02, rng.uniform(5, 30, len(index)), 1.0)
    values *= np.where(after, times, 1.0)
    return Case(values, index, TUESDAY, UP | {"tolerance": 0.05})


kind("a p99 with outliers", GROUP, passes, lambda rng: _outliers(rng, 1.0))
kind(
    "a p99 with outliers, 50 % up",
    GROUP,
    regresses,
    lambda rng: _outliers(rng, 1.5),
    harmful=True,
    at_least=CERTAIN,
)


def _bursty_counts(rng: Rng, left: float) -> Case:
    """Counts of which one step in fifty has five to thirty times as many."""
    index, after = grid(TUESDAY, 28, 6)
    level = rng.uniform(50, 200) * day(index) * np.where(after, left, 1.0)
    level *= np.where(rng.random(len(index)) < 0.02, rng.uniform(5, 30, len(index)), 1.0)
    return Case(counted(rng, level), index, TUESDAY, DOWN | {"tolerance": 0.05})


kind("bursty counts", GROUP, passes, lambda rng: _bursty_counts(rng, 1.0))
kind(
    "bursty counts, 30 % less",
    GROUP,
    regresses,
    lambda rng: _bursty_counts(rng, 0.7),
    harmful=True,
)


def _failing_before(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 28, float(rng.uniform(1, 6)))
    failing = index >= TUESDAY - pd.Timedelta(hours=float(rng.uniform(4, 10)))
    return Case(counted(rng, 10 * np.where(failing, 5.0, 1.0)), index, TUESDAY, UP)


kind(
    "already failing before the release",
    GROUP,
    does_not_pass,
    _failing_before,
    harmful=True,
    at_least=CERTAIN,
)


def _failing_for_hours(rng: Rng) -> Case:
    """Steps of a minute, watched for longer than the errors last when the release comes."""
    index, _ = grid(TUESDAY, 14, float(rng.uniform(12, 24)), "1min")
    failing = index >= TUESDAY - pd.Timedelta(hours=float(rng.uniform(9, 16)))
    level = rng.uniform(20, 60) * day(index) * np.where(failing, rng.uniform(3, 6), 1.0)
    return Case(counted(rng, level), index, TUESDAY, UP)


kind(
    "failing for hours before the release, by minutes",
    GROUP,
    is_left_open,
    _failing_for_hours,
    harmful=True,
    at_least=CERTAIN,
)


def _off_for_a_day(rng: Rng, step: str, *, bad: bool) -> Case:
    """Three to six times as many for up to a day and a half when the release comes."""
    index, _ = grid(TUESDAY, 28, float(rng.uniform(6, 24)), step)
    many = index >= TUESDAY - pd.Timedelta(hours=float(rng.uniform(20, 36)))
    level = rng.uniform(200, 600) * day(index) * np.where(many, rng.uniform(3, 6), 1.0)
    return Case(counted(rng, level), index, TUESDAY, UP if bad else DOWN)


for _step in ("5min", "1h"):
    kind(
        f"failing for a day before the release, steps of {_step}",
        GROUP,
        is_left_open,
        partial(_off_for_a_day, step=_step, bad=True),
        harmful=True,
        at_least=CERTAIN,
    )
    kind(
        f"better for a day before the release, steps of {_step}",
        GROUP,
        does_not_fail,
        partial(_off_for_a_day, step=_step, bad=False),
    )


def _precise_weekend(rng: Rng, step: str, left: float) -> Case:
    at = SATURDAY + pd.Timedelta(days=int(rng.integers(2)))
    at = at.floor("D") if step == "1D" else at
    hours = {"5min": 6, "1h": 12, "1D": 48}[step]
    index, after = grid(at, 28 if step != "1D" else 84, hours, step)
    level = 1e5 * weekend(index, 0.7) * (day(index) if step != "1D" else 1.0)
    values = noisy(rng, level * np.where(after, left, 1.0), rng.uniform(0.01, 0.02))
    return Case(values, index, at, DOWN)


for _step in ("5min", "1h", "1D"):
    kind(
        f"a precise KPI on a weekend, steps of {_step}",
        GROUP,
        passes,
        partial(_precise_weekend, step=_step, left=1.0),
    )
    kind(
        f"a precise KPI on a weekend, steps of {_step}, halved",
        GROUP,
        regresses,
        partial(_precise_weekend, step=_step, left=HALVED),
        harmful=True,
        at_least=CERTAIN,
    )


def _weekend_after_drift(rng: Rng, left: float) -> Case:
    """A KPI that drifted by 10 to 30 % in four weeks, up or down."""
    index, after = grid(SATURDAY, 28, 6)
    drift = 1 + rng.choice([-1, 1]) * rng.uniform(0.1, 0.3) * np.arange(len(index)) / len(index)
    level = 1e5 * drift * weekend(index, 0.7) * day(index) * np.where(after, left, 1.0)
    return Case(noisy(rng, level, rng.uniform(0.01, 0.02)), index, SATURDAY, DOWN)


def _weekend_after_holiday(rng: Rng, left: float) -> Case:
    """A Thursday like a Sunday, two days before, of which the calendar knows nothing."""
    index, after = grid(SATURDAY, 28, 6)
    holiday = index.normalize() == SATURDAY.normalize() - pd.Timedelta(days=2)
    quiet = np.where(holiday, 0.7, weekend(index, 0.7))
    level = 1e5 * quiet * day(index) * np.where(after, left, 1.0)
    return Case(noisy(rng, level, rng.uniform(0.01, 0.02)), index, SATURDAY, DOWN)


def _weekend_of_ratio(rng: Rng, left: float) -> Case:
    """The share of visits with an order, a third lower on weekends."""
    index, after = grid(SATURDAY, 28, 6)
    share = 0.1 * weekend(index, rng.uniform(0.6, 0.7)) * np.where(after, left, 1.0)
    orders, visits = ratio(rng, index, 5000 * day(index), share)
    return Case(orders, index, SATURDAY, DOWN | {"denominators": visits})


for _name, _make in (
    ("a drifting KPI on a Saturday", _weekend_after_drift),
    ("a Saturday after a holiday", _weekend_after_holiday),
    ("a ratio on a Saturday", _weekend_of_ratio),
):
    kind(_name, GROUP, passes, partial(_make, left=1.0))
    kind(
        f"{_name}, halved",
        GROUP,
        regresses,
        partial(_make, left=HALVED),
        harmful=True,
        at_least=CERTAIN,
    )


def _sparse(rng: Rng, left: float) -> Case:
    index, after = grid(TUESDAY, 28, 72)
    return Case(counted(rng, np.where(after, 0.1 * left, 0.1)), index, TUESDAY, DOWN)


kind("sparse counts", GROUP, passes, lambda rng: _sparse(rng, 1.0))


def _very_sparse(rng: Rng, left: float) -> Case:
    """An event in about 20 steps; the watch has room for 30 to 60."""
    level = rng.uniform(0.04, 0.06)
    index, after = grid(TUESDAY, 7 * int(rng.integers(4, 7)), rng.uniform(30, 60) / level / 12)
    return Case(counted(rng, np.where(after, left * level, level)), index, TUESDAY, DOWN)


kind("very sparse counts", GROUP, passes, lambda rng: _very_sparse(rng, 1.0))
kind("very sparse counts stop", GROUP, regresses, lambda rng: _very_sparse(rng, 0.0), harmful=True)
kind("sparse counts stop", GROUP, regresses, lambda rng: _sparse(rng, 0.0), harmful=True)


def _growth(rng: Rng, left: float) -> Case:
    index, after = grid(TUESDAY, 35, 6)
    weeks = np.arange(len(index)) / (7 * 288)
    level = 300 * 1.05**weeks * weekend(index, 0.7) * day(index)
    return Case(counted(rng, level * np.where(after, left, 1.0)), index, TUESDAY, DOWN)


kind("growth and weekends", GROUP, passes, lambda rng: _growth(rng, 1.0))
kind(
    "growth and weekends, 30 % less", GROUP, regresses, lambda rng: _growth(rng, 0.7), harmful=True
)


def _old_step(rng: Rng, left: float) -> Case:
    index, after = grid(TUESDAY, 35, 6)
    old = index >= TUESDAY - pd.Timedelta(days=14)
    level = 300 * np.where(old, rng.uniform(0.75, 1.35), 1.0) * weekend(index, 0.7) * day(index)
    return Case(counted(rng, level * np.where(after, left, 1.0)), index, TUESDAY, DOWN)


kind("a step two weeks ago", GROUP, passes, lambda rng: _old_step(rng, 1.0))
kind(
    "a step two weeks ago, 30 % less",
    GROUP,
    regresses,
    lambda rng: _old_step(rng, 0.7),
    harmful=True,
)


def _old_step_amid_weekends(rng: Rng, left: float) -> Case:
    """A step in the middle of four weeks that have a deep weekend, in hours."""
    at = TUESDAY.normalize() + pd.Timedelta(hours=int(rng.integers(24)))
    index, after = grid(at, 28, 20, "1h")
    step = np.where(index >= at - pd.Timedelta(days=14), rng.choice([0.75, 1.2]), 1.0)
    level = 5000 * weekend(index, rng.uniform(0.5, 0.8)) * day(index) * step
    return Case(noisy(rng, level * np.where(after, left, 1.0), 0.02), index, at, DOWN)


kind("a step amid four weekends", GROUP, passes, lambda rng: _old_step_amid_weekends(rng, 1.0))
kind(
    "a step amid four weekends, 30 % less",
    GROUP,
    regresses,
    lambda rng: _old_step_amid_weekends(rng, 0.7),
    harmful=True,
)
