"""Whether a change may be a matter of the calendar that the baseline can't know: what came on the
same day before, and what is there for the first time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np

from anomaly.baseline.robust import Bools, Floats, Ints
from anomaly.baseline.season import Clock
from anomaly.baseline.seasonal import Baseline
from anomaly.scoring.timeline import Timeline

MOST_DAYS = 10  # of an observation that may be a matter of its day
ALIKE = 0.6  # share of a move from which on an earlier one was alike
RARE = 0.03  # share of the other days on which it may have been seen, too
WEEK, FORTNIGHT = 7, 14  # days
SATURDAY, WEEKEND = 5, 2  # its number, and its days


class Period(StrEnum):
    """What a change came with: every how often."""

    MONTH = "with the day of the month"
    FORTNIGHT = "every two weeks"
    WEEK = "every week"


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The last `day` on which a series moved likewise, and what such moves came with."""

    day: date
    period: Period


def recurrence(base: Baseline, line: Timeline, i: int) -> Recurrence | None:
    """When series `i` moved alike before, for as long as it is observed, and came back, on days
    with which the release has something in common, and hardly ever on others.

    Of a month one earlier day is enough: nobody keeps many months. Every two weeks it must have
    moved twice, as a release of every sprint may fail twice in a row. A week ago counts where the
    history is too short for a baseline of weekends.
    """
    clock, n, length = base.clock(line.index), line.before, line.after
    if int(clock.day[-1] - clock.day[n]) + 1 > MOST_DAYS:
        return None
    around = clock.phases if clock.phases > 1 else length
    next_day = np.searchsorted(clock.day, clock.day, side="right")
    start = np.flatnonzero(clock.phase[:n] == clock.phase[n])
    end = next_day[start + length - 1]
    fits = (start >= around) & (end + around <= n)
    start, end = start[fits], end[fits]
    if not len(start):
        return None
    ago = clock.day[n] - clock.day[start]
    is_new_to_weekends = clock.day[n] < FORTNIGHT and (clock.weekday[n:] >= SATURDAY).any()
    kinds = [
        (Period.MONTH, clock.month_day[start] == clock.month_day[n], 1),
        (Period.FORTNIGHT, ago % FORTNIGHT == 0, 2),
        (Period.WEEK, (ago % WEEK == 0) & is_new_to_weekends, 1),
    ]
    for period, alike, least in kinds:
        if alike.sum() < least:
            continue
        # a weekend is longer than a day, and was over before the release
        over = np.full_like(end, n - around) if period is Period.WEEK else end
        as_far = _as_far(line, i, start, over, around)
        latest = np.flatnonzero(alike)[-least:]
        others = as_far[~alike]
        if as_far[latest].all() and others.sum() <= RARE * len(others):
            day: date = line.index[start[latest[-1]]].tz_convert(base.timezone).date()
            return Recurrence(day, period)
    return None


def _as_far(line: Timeline, i: int, start: Ints, over: Ints, around: int) -> Bools:
    """Whether series `i` moved as far as at the release, against the `around` steps before each
    `start` and those from `over` on, from there on for as long."""
    sums, counts, length = line.x_sums[i], line.present_sums[i], line.after

    def mean(first: Ints, stop: Ints) -> Floats:
        return np.asarray((sums[stop] - sums[first]) / np.maximum(counts[stop] - counts[first], 1))

    release = np.array([line.before])
    now = float((mean(release, release + length) - mean(release - around, release))[0])
    then = mean(start, start + length)
    moves = np.stack([then - mean(start - around, start), then - mean(over, over + around)])
    return np.asarray((np.sign(now) * moves).min(axis=0) >= ALIKE * abs(now))


def is_first_weekend(clock: Clock, before: int, step: int) -> bool:
    """Whether the change that began at this step of the observation did so on a weekend that began
    there, too, and the history, the first `before` rows, holds no whole one."""
    is_weekend = clock.weekday >= SATURDAY
    began = is_weekend[min(before + max(step, 0), len(is_weekend) - 1)]
    past = is_weekend[:before]
    return bool(began and not past[-1] and past.sum() < WEEKEND * clock.phases)
