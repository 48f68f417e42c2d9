"""The expected value: what anybody would expect is what is expected."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

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
    grid,
    hour,
    kind,
    noisy,
    passes,
    passes_surely,
    passes_within,
    regresses,
    regresses_by,
    regresses_since,
    weekend,
)

GROUP = "expected values"
ONSET, WEEKEND_ONSET = pd.Timestamp("2025-06-03T12:00Z"), pd.Timestamp("2025-06-07T08:00Z")


def _lunch(rng: Rng, left: float) -> Case:
    at = pd.Timestamp("2025-06-03T11:30Z")
    index, after = grid(at, 28, 3)
    peak = np.exp(-0.5 * ((hour(index) - 12.5) / 0.5) ** 2)
    level = rng.uniform(300, 900) * (1 + rng.uniform(3, 6) * peak)
    values = counted(rng, level * np.where(after, left, 1.0))
    return Case(values, index, at, DOWN)


kind("a lunch peak, released before it", GROUP, passes_within(0.05), lambda rng: _lunch(rng, 1.0))
kind(
    "a lunch peak, and a fall by 15 to 20 %",
    GROUP,
    regresses,
    lambda rng: _lunch(rng, rng.uniform(0.8, 0.85)),
    harmful=True,
)


def _daily(rng: Rng, first: str, watched: int, left: float) -> Case:
    days = int(rng.integers(42, 200))
    at = pd.Timestamp(first)
    index = pd.date_range(at - pd.Timedelta(days=days), periods=days + watched, freq="D")
    level = 1000 * weekend(index, rng.uniform(0.3, 0.7)) * np.where(index >= at, left, 1.0)
    return Case(noisy(rng, level, 0.02), index, at, DOWN)


kind(
    "daily values, Friday to Sunday",
    GROUP,
    passes_within(0.06),
    lambda rng: _daily(rng, "2025-06-06T00:00Z", 3, 1.0),
)
kind(
    "daily values, a weekend alone",
    GROUP,
    passes_within(0.06),
    lambda rng: _daily(rng, "2025-06-07T00:00Z", 2, 1.0),
)
kind(
    "daily values, a week",
    GROUP,
    passes_within(0.06),
    lambda rng: _daily(rng, "2025-06-02T00:00Z", 7, 1.0),
)
kind(
    "daily values, 20 % less on three to five weekdays",
    GROUP,
    regresses_by(-0.2, 0.08),
    lambda rng: _daily(rng, "2025-06-02T00:00Z", int(rng.integers(3, 6)), 0.8),
    harmful=True,
)


def _in_a_day(rng: Rng, left: float) -> Case:
    """Daily values, released at 14:00: the row of that day is partly before and partly after."""
    released = pd.Timestamp("2025-06-02T14:00Z")
    days = int(rng.integers(42, 200))
    at = released.normalize()
    index = pd.date_range(at - pd.Timedelta(days=days), periods=days + 5, freq="D")
    after = np.where(index > at, 1.0, np.where(index == at, 10 / 24, 0.0))
    level = 1000 * weekend(index, rng.uniform(0.3, 0.7)) * (1 - (1 - left) * after)
    return Case(noisy(rng, level, 0.02), index, released, DOWN)


kind("daily values, released at 14:00", GROUP, passes, lambda rng: _in_a_day(rng, 1.0))
kind(
    "daily values, released at 14:00, halved",
    GROUP,
    regresses,
    lambda rng: _in_a_day(rng, HALVED),
    harmful=True,
    at_least=CERTAIN,
)


def _two_weeks(rng: Rng, step: str, at: pd.Timestamp, lost: tuple[float, float]) -> Case:
    """Two weeks of orders with a weekend at .4 to .6, of which such a share is lost after it."""
    left = 1 - rng.uniform(*lost)
    index, after = grid(at, int(rng.integers(14, 16)), 24 if step == "1h" else 6, step)
    level = 400 * weekend(index, rng.uniform(0.4, 0.6)) * day(index, 0.4)
    values = counted(rng, level * np.where(after, left, 1.0))
    return Case(values, index, at, DOWN)


for _step in ("1h", "5min"):
    for _when, _at in (("Tuesday", TUESDAY), ("Saturday", pd.Timestamp("2025-06-07T09:00Z"))):
        kind(
            f"two weeks with a weekend, steps of {_step}, {_when}",
            GROUP,
            passes_within(0.12),
            partial(_two_weeks, step=_step, at=_at, lost=(0.0, 0.0)),
        )
        kind(
            f"two weeks with a weekend, steps of {_step}, {_when}, and a fall by 20 to 30 %",
            GROUP,
            regresses,
            partial(_two_weeks, step=_step, at=_at, lost=(0.2, 0.3)),
            harmful=True,
        )


def _one_extreme(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 28, 6)
    values = noisy(rng, 100 * day(index), 0.03)
    values[int(rng.choice(np.flatnonzero(after)))] *= rng.uniform(4, 8)
    return Case(values, index, TUESDAY, DOWN)


def _step_a_day_earlier(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 28, 6)
    earlier = index >= TUESDAY - pd.Timedelta("1D")
    values = noisy(rng, 100 * day(index) * np.where(earlier, 1.4, 1.0), 0.03)
    return Case(values, index, TUESDAY, DOWN)


def _batch(rng: Rng, at: pd.Timestamp, hours: float) -> Case:
    index, _ = grid(at, 28, hours)
    job = (hour(index) >= 1) & (hour(index) < 3)
    values = noisy(rng, 100 * np.where(job, rng.uniform(3, 6), 1.0), 0.03)
    return Case(values, index, at, EITHER)


kind("one extreme step", GROUP, passes_within(0.02), _one_extreme)
kind("a step a day earlier", GROUP, passes_within(0.05), _step_a_day_earlier)


def _large_step_days_earlier(rng: Rng) -> Case:
    """A campaign, or what ended one, a day to four days before, that goes on."""
    index, _ = grid(TUESDAY, 28, int(rng.integers(3, 9)), str(rng.choice(["5min", "15min"])))
    since = TUESDAY - pd.Timedelta(hours=float(rng.uniform(24, 96)))
    step = np.where(index >= since, float(rng.choice([0.7, 1.4, 1.6])), 1.0)
    return Case(noisy(rng, 1000 * day(index) * step, 0.02), index, TUESDAY, EITHER)


kind("a large step days earlier", GROUP, passes_within(0.1), _large_step_days_earlier)
kind(
    "a batch every night",
    GROUP,
    passes_within(0.03),
    lambda rng: _batch(rng, pd.Timestamp("2025-06-03T22:00Z"), 8),
)
kind(
    "a batch in the night before",
    GROUP,
    passes_within(0.03),
    lambda rng: _batch(
        rng, pd.Timestamp("2025-06-03T03:00Z") + pd.Timedelta(hours=int(rng.integers(4))), 6
    ),
)


def _shut(rng: Rng, step: str, left: float, *, on_weekdays: bool) -> Case:
    """Counts that are 0 whenever it is shut, at night or from Friday evening to Monday."""
    opens, hours = int(rng.integers(6, 11)), int(rng.integers(7, 13))
    at = TUESDAY.normalize() + pd.Timedelta(hours=opens + int(rng.integers(-1, 3)))
    index, after = grid(at, int(rng.integers(21, 36)), 8 if step == "1h" else 4, step)
    is_open = (hour(index) >= opens) & (hour(index) < opens + hours)
    if on_weekdays:
        is_open &= index.day_of_week < 5
    level = np.where(is_open, rng.uniform(100, 2000), 0.0) * np.where(after, left, 1.0)
    return Case(counted(rng, level), index, at, DOWN)


def _shut_days(rng: Rng, left: float) -> Case:
    """Daily counts that are 0 on Sundays, or at weekends."""
    at = TUESDAY.normalize()
    index, after = grid(at, int(rng.integers(70, 160)), 96, "1D")
    is_open = index.day_of_week < rng.integers(5, 7)
    level = np.where(is_open, rng.uniform(300, 3000), 0.0) * np.where(after, left, 1.0)
    return Case(counted(rng, level), index, at, DOWN)


for _step in ("5min", "15min", "1h"):
    for _shut_when, _on_weekdays in (("at night", False), ("at night and at weekends", True)):
        kind(
            f"shut {_shut_when}, steps of {_step}",
            GROUP,
            passes_surely(0.08, 0.3),
            partial(_shut, step=_step, left=1.0, on_weekdays=_on_weekdays),
        )
        kind(
            f"shut {_shut_when}, steps of {_step}, and a fall by 40 %",
            GROUP,
            regresses_by(-0.4, 0.06),
            partial(_shut, step=_step, left=0.6, on_weekdays=_on_weekdays),
            harmful=True,
        )


def _open_at_night(rng: Rng) -> Case:
    """Shut at night, until after the release there is something then, now and again."""
    at = TUESDAY.normalize() + pd.Timedelta(hours=21)
    index, after = grid(at, int(rng.integers(21, 36)), 6)
    is_open = (hour(index) >= 8) & (hour(index) < 20)
    at_night = after & (rng.random(len(index)) < rng.uniform(0.1, 0.5))
    level = np.where(is_open, 1000.0, np.where(at_night, rng.uniform(20, 500), 0.0))
    return Case(counted(rng, level), index, at, UP)


kind("shut at night, and open since", GROUP, regresses, _open_at_night, harmful=True)
kind("shut on some days", GROUP, passes_surely(0.08, 0.3), partial(_shut_days, left=1.0))
kind(
    "shut on some days, and a fall by 30 %",
    GROUP,
    regresses_by(-0.3, 0.06),
    partial(_shut_days, left=0.7),
    harmful=True,
)


def _late_spikes(rng: Rng) -> Case:
    """Spikes of one step, twice to four times as high, every half hour from 12:00 on."""
    index, _ = grid(TUESDAY, 21, 9)
    values = noisy(rng, 100 * day(index), 0.03)
    spikes = (index >= ONSET) & (index.minute % 30 == 0)
    return Case(values * np.where(spikes, rng.uniform(2, 4), 1.0), index, TUESDAY, UP)


def _saturday_step(rng: Rng) -> Case:
    """Released on Friday evening; from Saturday 8:00 on, 20 to 40 % are gone."""
    at = WEEKEND_ONSET - pd.Timedelta(hours=int(rng.integers(12, 18)))
    index, _ = grid(at, 28, 24)
    level = 300 * weekend(index, rng.uniform(0.5, 0.8)) * day(index)
    left = np.where(index >= WEEKEND_ONSET, rng.uniform(0.6, 0.8), 1.0)
    return Case(counted(rng, level * left), index, at, DOWN)


def _after_an_incident(rng: Rng, *, errors: bool, left: float = 1.0) -> Case:
    """An incident of some hours that was over an hour before the release."""
    index, after = grid(TUESDAY, 28, 6)
    hours = np.asarray((TUESDAY - index) / pd.Timedelta("1h"))
    incident = (hours > 1) & (hours <= float(rng.uniform(3, 7)))
    level = (50 if errors else 2000) * day(index) * np.where(after, left, 1.0)
    values = counted(rng, level * np.where(incident, 5.0 if errors else 0.4, 1.0))
    return Case(values, index, TUESDAY, UP if errors else DOWN)


for _errors, _what, _left in ((True, "errors", 2.0), (False, "a fall", 0.7)):
    kind(
        f"an hour after an incident, {_what}",
        GROUP,
        passes,
        partial(_after_an_incident, errors=_errors),
    )
    kind(
        f"an hour after an incident, {_what}, and again",
        GROUP,
        regresses,
        partial(_after_an_incident, errors=_errors, left=_left),
        harmful=True,
    )


def _fall_at_night(rng: Rng) -> Case:
    """Released on Friday; from midnight on, when least happens, 30 to 50 % are gone."""
    night = WEEKEND_ONSET.floor("D")
    at = night - pd.Timedelta(hours=float(rng.uniform(10, 15)))
    step = str(rng.choice(["5min", "15min"]))
    index, _ = grid(at.floor(step), 28, 28, step)
    rhythm = weekend(index, rng.uniform(0.6, 0.8)) * day(index, rng.uniform(0.6, 0.8))
    left = np.where(index >= night, rng.uniform(0.5, 0.7), 1.0)
    return Case(counted(rng, rng.uniform(1000, 5000) * rhythm * left), index, at.floor(step), DOWN)


kind(
    "spikes that begin three hours later",
    GROUP,
    regresses_since(ONSET, pd.Timedelta("30min")),
    _late_spikes,
    harmful=True,
)
kind(
    "a fall that begins in the night, under a strong rhythm",
    GROUP,
    regresses_since(WEEKEND_ONSET.floor("D"), pd.Timedelta("1h")),
    _fall_at_night,
    harmful=True,
)
kind(
    "a step that begins on Saturday",
    GROUP,
    regresses_since(WEEKEND_ONSET, pd.Timedelta("20min")),
    _saturday_step,
    harmful=True,
)
