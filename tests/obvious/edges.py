"""A. The edges of the calendar: what recurs at the time of the release is not its work."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.obvious.catalogue import (
    Answer,
    Case,
    Floats,
    Rng,
    day,
    grid,
    hour,
    kind,
    no_alarm,
    noisy,
    quiet,
    regressed,
    weekend,
)

GROUP = "edges of the calendar"
SATURDAY, MONDAY = pd.Timestamp("2025-06-07T00:00Z"), pd.Timestamp("2025-06-09T00:00Z")


def _pair(
    name: str, level, released, *, days=(21, 36), hours=6.0, fall=(0.2, 0.4), right: Answer = quiet
) -> None:
    def make(rng: Rng, share: float) -> Case:
        at = released(rng) if callable(released) else released
        index, after = grid(at, int(rng.integers(*days)), hours)
        values = noisy(rng, level(rng, index), rng.uniform(0.01, 0.04))
        options = {"direction": "down" if share < 1 else "either"}
        return Case(np.where(after, share, 1.0) * values, index, at, options)

    kind(name, GROUP, right, lambda rng: make(rng, 1.0))
    kind(
        f"{name}, and a fall",
        GROUP,
        regressed,
        lambda rng: make(rng, 1 - rng.uniform(*fall)),
        harmful=True,
    )


def _weekend(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    return 100 * weekend(index, rng.uniform(0.5, 0.8))


def _weekend_and_day(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    return _weekend(rng, index) * day(index, rng.uniform(0.2, 0.5))


def _opens(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    return np.where((hour(index) >= 9) & (hour(index) < 20), 100.0, rng.uniform(10, 40))


def _opens_on_weekdays(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    return np.where(index.dayofweek < 5, _opens(rng, index), 15.0)


def _nightly_job(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    job = (hour(index) >= 2) & (hour(index) < 2.5)
    return 100 * np.where(job, rng.uniform(2.5, 3.5), 1.0) * day(index, 0.2)


def _weekly_job(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    job = (index.dayofweek == 6) & (hour(index) >= 22)
    return 100 * np.where(job, rng.uniform(1.5, 2.5), 1.0) * day(index, 0.2)


def _first_of_month(rng: Rng, index: pd.DatetimeIndex) -> Floats:
    return 100 * np.where(index.day == 1, 1.5, 1.0) * day(index, 0.2)


_pair("a weekend, released as it begins", _weekend, SATURDAY)
_pair("a weekend and a day, released on Monday at 0:00", _weekend_and_day, MONDAY)
_pair("a weekend and a day, released as the weekend begins", _weekend_and_day, SATURDAY)
_pair(
    "a weekend and a day, released on Friday night",
    _weekend_and_day,
    lambda rng: SATURDAY - pd.Timedelta(minutes=5 * int(rng.integers(12, 36))),
)
_pair("opens at 9, released just before", _opens, pd.Timestamp("2025-06-04T08:30Z"))
_pair(
    "opens at 9 on weekdays, released on Monday just before",
    _opens_on_weekdays,
    MONDAY + pd.Timedelta("8h30min"),
)
_pair("a nightly job, released just before", _nightly_job, pd.Timestamp("2025-06-04T01:45Z"))
_pair(
    "a weekly job, released just before", _weekly_job, pd.Timestamp("2025-06-08T21:30Z"), hours=2.5
)
_pair(
    "the first of the month, seen twice",
    _first_of_month,
    pd.Timestamp("2025-07-01T00:00Z"),
    days=(62, 70),
    right=no_alarm,
)
