"""The edges of the calendar: what recurs at the time of the release is not its work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial

import numpy as np
import pandas as pd

from anomaly import Report
from tests.obvious.catalogue import (
    CERTAIN,
    DOWN,
    EITHER,
    HALVED,
    UP,
    Answer,
    Case,
    Floats,
    Rng,
    day,
    does_not_fail,
    does_not_pass,
    grid,
    hour,
    kind,
    noisy,
    only,
    passes,
    passes_within,
    ratio,
    regresses,
    weekend,
)

GROUP = "edges of the calendar"
SATURDAY, MONDAY = pd.Timestamp("2025-06-07T00:00Z"), pd.Timestamp("2025-06-09T00:00Z")
WEDNESDAY = pd.Timestamp("2025-06-04T00:00Z")
BERLIN = "Europe/Berlin"
HOUR_CHANGE = pd.Timestamp("2025-03-30", tz=BERLIN)  # a Sunday, whose clocks go forward at 2:00

Level = Callable[[Rng, pd.DatetimeIndex], Floats]
Moment = Callable[[Rng], pd.Timestamp]


def _twins(
    name: str,
    level: Level,
    released: pd.Timestamp | Moment,
    *,
    days: tuple[int, int] = (21, 36),
    hours: float = 6.0,
    right: Answer = passes,
) -> None:
    """A harmless release at this moment of a series, and one after which 20 to 40 % are gone."""

    def make(rng: Rng, left: float) -> Case:
        at = released(rng) if callable(released) else released
        index, after = grid(at, int(rng.integers(*days)), hours)
        values = noisy(rng, level(rng, index), rng.uniform(0.01, 0.04))
        return Case(np.where(after, left, 1.0) * values, index, at, DOWN if left < 1 else EITHER)

    kind(name, GROUP, right, lambda rng: make(rng, 1.0))
    kind(
        f"{name}, and a fall",
        GROUP,
        regresses,
        lambda rng: make(rng, 1 - rng.uniform(0.2, 0.4)),
        harmful=True,
    )


def _weekend(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    return 100 * weekend(index, rng.uniform(0.5, 0.8))


def _weekend_and_day(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    return _weekend(rng, index) * day(index, rng.uniform(0.2, 0.5))


def _opens(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    is_open = (hour(index) >= 9) & (hour(index) < 20)
    return np.where(is_open, 100.0, rng.uniform(10, 40))


def _opens_on_weekdays(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    return np.where(index.day_of_week < 5, _opens(rng, index), 15.0)


def _opens_by_local_time(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    return _opens(rng, index.tz_convert(BERLIN))


def _nightly_job(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    job = (hour(index) >= 2) & (hour(index) < 2.5)
    return 100 * np.where(job, rng.uniform(2.5, 3.5), 1.0) * day(index, 0.2)


def _weekly_job(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    job = (index.day_of_week == 6) & (hour(index) >= 22)
    return 100 * np.where(job, rng.uniform(1.5, 2.5), 1.0) * day(index, 0.2)


def _short_weekly_job(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    """Half an hour or an hour of a Sunday night."""
    hours = rng.uniform(0.5, 1.0)
    job = (index.day_of_week == 6) & (hour(index) >= 2) & (hour(index) < 2 + hours)
    return 100 * np.where(job, rng.uniform(2.5, 3.5), 1.0) * day(index, 0.2)


def _first_of_month(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    return 100 * np.where(index.day == 1, 1.5, 1.0) * day(index, 0.2)


_twins("a weekend, released as it begins", _weekend, SATURDAY)
_twins("a weekend and a day, released on Monday at 0:00", _weekend_and_day, MONDAY)
_twins("a weekend and a day, released as the weekend begins", _weekend_and_day, SATURDAY)
_twins(
    "a weekend and a day, released on Friday night",
    _weekend_and_day,
    lambda rng: SATURDAY - pd.Timedelta(minutes=5 * int(rng.integers(12, 36))),
)
_twins("opens at 9, released just before", _opens, WEDNESDAY + pd.Timedelta("8h30min"))
_twins(
    "opens at 9 on weekdays, released on Monday just before",
    _opens_on_weekdays,
    MONDAY + pd.Timedelta("8h30min"),
)
_twins(
    "opens at 9 on weekdays, released on Saturday just before",
    _opens_on_weekdays,
    SATURDAY + pd.Timedelta("8h30min"),
)
_twins(
    "opens at 9 on weekdays, released on Friday just before it closes",
    _opens_on_weekdays,
    SATURDAY - pd.Timedelta("4h15min"),
)
_twins(
    "a nightly job, released just before",
    _nightly_job,
    WEDNESDAY + pd.Timedelta("1h45min"),
)
_twins(
    "a weekly job, released just before", _weekly_job, MONDAY - pd.Timedelta("2h30min"), hours=2.5
)
_twins(
    "a short weekly job, released just before",
    _short_weekly_job,
    MONDAY - pd.Timedelta("22h15min"),
    right=passes_within(0.04),
)
_twins(
    "the first of the month, seen twice",
    _first_of_month,
    pd.Timestamp("2025-07-01T00:00Z"),
    days=(62, 70),
    right=does_not_fail,
)


def _busy_first(rng: Rng, seen: int, step: str, *, left: float, hours: float, share: bool) -> Case:
    """The first of each month half as high again, under a day and a weekend, released at midnight
    as any month begins; the history has so many of them."""
    at = pd.Timestamp("2024-03-01T00:00Z") + pd.DateOffset(months=int(rng.integers(18)))
    days = (at - (at - pd.DateOffset(months=seen))).days + int(rng.integers(6, 20))
    index, after = grid(at, days, hours, step)
    level = day(index, 0.0 if step == "1D" else rng.uniform(0.1, 0.5))
    level = level * weekend(index, rng.uniform(0.5, 1.0)) * np.where(index.day == 1, 1.5, 1.0)
    level = level * np.where(after, left, 1.0)
    if share:
        values, requests = ratio(rng, index, np.full(len(index), 3000.0), 0.06 * level)
        return Case(values, index, at, EITHER | {"denominators": requests})
    return Case(noisy(rng, 3000 * level, 0.03), index, at, EITHER)


def _does_not_fail_or_pass_unsaid(report: Report) -> bool:
    """It passes where it can be known, and says what it cannot know otherwise."""
    return passes(report) or "day of the month" in only(report).reason


for _seen, _step, _hours, _share in (
    (1, "1h", 20.0, False),
    (2, "1h", 20.0, False),
    (2, "15min", 12.0, True),
    (2, "1D", 72.0, False),
    (3, "1h", 20.0, False),
    (5, "1D", 72.0, False),
):
    _what = "a ratio" if _share else {"1h": "hours", "1D": "days"}[_step]
    for _left in (1.0, 0.5):
        kind(
            f"the first of a month, seen {_seen} times before, {_what}"
            + ("" if _left == 1 else ", halved"),
            GROUP,
            regresses if _left != 1 else _does_not_fail_or_pass_unsaid,
            partial(_busy_first, seen=_seen, step=_step, hours=_hours, share=_share, left=_left),
            harmful=_left != 1,
        )


def _hour_change(rng: Rng, left: float) -> Case:
    """Released just before it opens by local time, on the first to third day of summer time."""
    at = HOUR_CHANGE + pd.Timedelta(days=int(rng.integers(3)))
    at = (at.normalize() + pd.DateOffset(hours=8, minutes=30)).tz_convert("UTC")
    index, after = grid(at, int(rng.integers(21, 36)), 6)
    values = noisy(rng, _opens_by_local_time(rng, index), rng.uniform(0.01, 0.04))
    return Case(np.where(after, left, 1.0) * values, index, at, DOWN | {"timezone": BERLIN})


kind("opens at 9 by clocks that went forward", GROUP, passes, lambda rng: _hour_change(rng, 1.0))
kind(
    "opens at 9 by clocks that went forward, and a fall",
    GROUP,
    regresses,
    lambda rng: _hour_change(rng, rng.uniform(0.6, 0.8)),
    harmful=True,
)


def _holiday(rng: Rng, left: float) -> Case:
    """Released the day after a holiday that the calendar has, which was as quiet as a Sunday."""
    holiday = date(2025, 6, 9)
    at = pd.Timestamp("2025-06-10T00:00Z") + pd.Timedelta(hours=int(rng.integers(6, 12)))
    index, after = grid(at, int(rng.integers(21, 36)), 6)
    off = (index.day_of_week >= 5) | np.asarray(index.date == holiday)
    level = 100 * np.where(off, rng.uniform(0.5, 0.8), 1.0) * day(index, rng.uniform(0.2, 0.4))
    values = noisy(rng, np.where(after, left, 1.0) * level, rng.uniform(0.01, 0.04))
    return Case(values, index, at, DOWN | {"special_days": {holiday: "a holiday"}})


kind("the day after a holiday", GROUP, passes, lambda rng: _holiday(rng, 1.0))
kind(
    "the day after a holiday, halved",
    GROUP,
    regresses,
    lambda rng: _holiday(rng, HALVED),
    harmful=True,
    at_least=CERTAIN,
)


def _local_days(rng: Rng, left: float) -> Case:
    """Daily values of local days, a week of them with the hour change after the release."""
    at = HOUR_CHANGE - pd.DateOffset(days=int(rng.integers(1, 7)))
    days = int(rng.integers(56, 120))
    index = pd.date_range(at - pd.DateOffset(days=days), periods=days + 7, freq="D")
    level = 1000 * weekend(index, rng.uniform(0.4, 0.8)) * np.where(index >= at, left, 1.0)
    return Case(noisy(rng, level, 0.02), index, at, DOWN | {"timezone": BERLIN})


kind("days of a calendar with an hour change", GROUP, passes, lambda rng: _local_days(rng, 1.0))
kind(
    "days of a calendar with an hour change, halved",
    GROUP,
    regresses,
    lambda rng: _local_days(rng, HALVED),
    harmful=True,
    at_least=CERTAIN,
)


def _months(rng: Rng, left: float) -> Case:
    """Four to six years of months with a December, watched for a quarter."""
    years = int(rng.integers(4, 7))
    at = pd.Timestamp("2025-04-01T00:00Z")
    index = pd.date_range(at - pd.DateOffset(years=years), at + pd.DateOffset(months=2), freq="MS")
    level = 1e5 * (1 + 0.2 * np.cos(2 * np.pi * (index.month - 12) / 12))
    values = noisy(rng, level * np.where(index >= at, left, 1.0), rng.uniform(0.01, 0.03))
    return Case(values, index, at, DOWN)


kind("months of a calendar", GROUP, passes, lambda rng: _months(rng, 1.0))
kind(
    "months of a calendar, halved",
    GROUP,
    regresses,
    lambda rng: _months(rng, HALVED),
    harmful=True,
    at_least=CERTAIN,
)


def _weeks(rng: Rng, left: float) -> Case:
    """One to three years of weeks, watched for three."""
    at = pd.Timestamp("2025-06-02T00:00Z")
    weeks = int(rng.integers(52, 156))
    index = pd.date_range(at - pd.Timedelta(weeks=weeks), periods=weeks + 3, freq="7D")
    values = noisy(rng, np.where(index >= at, left, 1.0) * 1e4, rng.uniform(0.01, 0.03))
    return Case(values, index, at, DOWN)


kind("weekly values", GROUP, passes, lambda rng: _weeks(rng, 1.0))
kind(
    "weekly values, halved",
    GROUP,
    regresses,
    lambda rng: _weeks(rng, HALVED),
    harmful=True,
    at_least=CERTAIN,
)


# --- what the history is too short to know -----------------------------------------------------


def _weekend_so_far(rng: Rng, days: int, hours: float, left: float = 1.0) -> Case:
    """Released as a weekend begins; the history holds so many days."""
    at = pd.Timestamp("2025-06-07T00:00Z") + pd.Timedelta(days=7 * int(rng.integers(20)))
    index, after = grid(at, days, hours, "15min")
    level = 1000 * day(index, 0.5) * weekend(index, rng.uniform(0.5, 0.7))
    return Case(noisy(rng, level * np.where(after, left, 1.0), 0.03), index, at, DOWN)


def _every_other_friday(rng: Rng, left: float) -> Case:
    """Four times the load for two hours of every second Friday, four times so far."""
    at = pd.Timestamp("2025-06-06T08:00Z") + pd.Timedelta(hours=int(rng.integers(2)))
    index, after = grid(at, 56, 5, str(rng.choice(["5min", "15min", "1h"])))
    weeks = np.asarray((index.normalize() - at.normalize()).days // 7)
    is_paid = (index.day_of_week == 4) & (hour(index) >= 10) & (hour(index) < 12) & (weeks % 2 == 0)
    level = 500 * day(index) * np.where(is_paid, 4.0, 1.0) * np.where(after, left, 1.0)
    return Case(noisy(rng, level, 0.04), index, at, UP if left == 1 else DOWN)


def _is_undecided(report: Report) -> bool:
    return report.verdict == "inconclusive"


kind(
    "the first weekend there is",
    GROUP,
    _is_undecided,
    lambda rng: _weekend_so_far(rng, int(rng.integers(4, 6)), 36),
)
kind(
    "the second weekend there is",
    GROUP,
    does_not_fail,
    lambda rng: _weekend_so_far(rng, int(rng.integers(8, 12)), float(rng.uniform(6, 36))),
)
kind(
    "the second weekend there is, and hardly anything comes",
    GROUP,
    does_not_pass,
    lambda rng: _weekend_so_far(rng, int(rng.integers(8, 12)), float(rng.uniform(6, 36)), 0.05),
    harmful=True,
)
kind("every other Friday", GROUP, does_not_fail, lambda rng: _every_other_friday(rng, 1.0))
kind(
    "every other Friday, and hardly anything comes",
    GROUP,
    does_not_pass,
    lambda rng: _every_other_friday(rng, 0.1),
    harmful=True,
)


def _holiday_yesterday(rng: Rng, left: float) -> Case:
    """Released the day after a holiday that nobody told, as quiet as a weekend."""
    at = pd.Timestamp("2025-06-05T14:00Z") + pd.Timedelta(hours=float(rng.integers(-6, 6)))
    index, after = grid(at, 28, 8)
    is_off = (index.day_of_week >= 5) | (index.normalize() == at.normalize() - pd.Timedelta(days=1))
    level = 5000 * day(index) * np.where(is_off, rng.uniform(0.5, 0.7), 1.0)
    return Case(noisy(rng, level * np.where(after, left, 1.0), 0.02), index, at, EITHER)


kind(
    "a holiday yesterday, any direction",
    GROUP,
    passes,
    lambda rng: _holiday_yesterday(rng, 1.0),
)
kind(
    "a holiday yesterday, halved",
    GROUP,
    regresses,
    lambda rng: _holiday_yesterday(rng, HALVED),
    harmful=True,
)
