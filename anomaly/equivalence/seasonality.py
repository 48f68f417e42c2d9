"""The seasonality of two environments: whether the same hours and days are high and low, by the
same share of the level."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from anomaly.baseline.robust import Floats, Ints
from anomaly.equivalence.days import WEEK, Days
from anomaly.equivalence.margins import TWO_SIDED, aspect_within
from anomaly.equivalence.result import Aspect, Likeness
from anomaly.scoring.student import t_quantile
from anomaly.wording import percent

CONCORDANCE = 0.8  # that of profiles of one shape, one of them twice as strong
FLAT = 0.1  # of the level: a seasonality weaker than that needs no counterpart
MIN_WEEKS = 3  # complete ones on each side, before the week is compared


def seasonality(first: Days, second: Days) -> Aspect:
    """Lin's concordance (1989) of the two profiles: 1 for equal ones, 0 where one is flat or they
    have nothing in common.

    Profiles are deviations as shares of the level: of the hours from their day and, given
    `MIN_WEEKS`, of the days from their week. Their products are means over pairs of *different*
    days, in which noise has no share (as in the cross-validated distances of Walther et al. 2016),
    so that few events do not make profiles unlike. The interval is a jackknife over the days of
    both sides (Arvesen 1969).
    """
    weight = np.minimum(_slot_weights(first), _slot_weights(second))
    sides = _Profile.of(first, weight), _Profile.of(second, weight)
    weekly = all(side.weeks >= MIN_WEEKS for side in sides)
    of_first = _Product.of(sides[0], sides[0], weight, weekly=weekly)
    of_second = _Product.of(sides[1], sides[1], weight, weekly=weekly)
    shared = _Product.of(*sides, weight, weekly=weekly)

    days = len(first.date), len(second.date)
    every = np.ones(days[0]), np.ones(days[1])
    whole = np.array(
        [of_first.mean(every[0], every[0]), of_second.mean(every[1], every[1]), shared.mean(*every)]
    )
    without = (
        np.array(
            [
                (of_first.mean(row, row), whole[1], shared.mean(row, every[1]))
                for row in 1 - np.eye(days[0])
            ]
        ),
        np.array(
            [
                (whole[0], of_second.mean(row, row), shared.mean(every[0], row))
                for row in 1 - np.eye(days[1])
            ]
        ),
    )
    reach = t_quantile(min(days) - 1, TWO_SIDED)
    margin = reach * _error([each[:, :2] for each in without])
    near, far = whole[:2] - margin, whole[:2] + margin
    if (far < FLAT**2).all():
        return Aspect(
            Likeness.ALIKE,
            reason=f"no rhythm of more than {percent(FLAT)} of the level on either side",
        )
    if (near <= 0).all():
        return Aspect(Likeness.UNCLEAR, reason="too noisy to tell whether there is a rhythm")
    value = float(_concordance(whole))
    half = reach * float(_error([_concordance(each) for each in without]))
    strengths = " and ".join(percent(math.sqrt(max(0.0, square))) for square in whole[:2])
    return aspect_within(
        value,
        (value - half, value + half),
        (CONCORDANCE, math.inf),
        f"rhythms of {strengths} of the level",
    )


@dataclass(frozen=True, slots=True)
class _Profile:
    """Deviations of each day: of its slots from the day `(days, slots)`, of the day from its week
    `(days,)`, NaN where unknown."""

    date: Ints
    hours: Floats
    day: Floats
    weeks: int

    @classmethod
    def of(cls, days: Days, weight: Floats) -> Self:
        value = days.value / days.level
        present = np.isfinite(value)
        mean = np.nansum(value * weight, axis=1) / (present * weight).sum(axis=1)
        volume = days.volume if days.ratio else present.astype(float)
        of_day = np.nansum(value * volume, axis=1) / np.nansum(volume, axis=1)
        week, size = np.unique((days.date + 3) // WEEK, return_inverse=True, return_counts=True)[1:]
        whole = size[week] == WEEK
        of_week = np.bincount(week, of_day) / size
        return cls(
            days.date,
            value - mean[:, None],
            np.where(whole, of_day - of_week[week], np.nan),
            int((size == WEEK).sum()),
        )


@dataclass(frozen=True, slots=True)
class _Product:
    """The products of the profiles of all pairs of different days, 0 where they do not count, and
    1 where they do."""

    hours: Floats
    hours_count: Floats
    day: Floats
    day_count: Floats

    @classmethod
    def of(cls, left: _Profile, right: _Profile, weight: Floats, *, weekly: bool) -> Self:
        apart = left.date[:, None] - right.date
        common = (np.isfinite(left.hours) * weight) @ np.isfinite(right.hours).T
        hours = (
            (np.nan_to_num(left.hours) * weight)
            @ np.nan_to_num(right.hours).T
            / np.maximum(common, 1e-300)
        )
        day = np.outer(left.day, right.day)
        same = np.isfinite(day) & (apart != 0) & (apart % WEEK == 0) & weekly
        differ = (apart != 0) & (common > 0)
        return cls(
            hours * differ, differ.astype(float), np.nan_to_num(day) * same, same.astype(float)
        )

    def mean(self, mask: Floats, mask_right: Floats) -> float:
        """Mean product over the kept days."""
        parts = ((self.hours, self.hours_count), (self.day, self.day_count))
        sums = [(mask @ of @ mask_right, mask @ count @ mask_right) for of, count in parts]
        return float(sum(total / number for total, number in sums if number > 0))


def _slot_weights(days: Days) -> Floats:
    """What the slots of a day weigh: those of a ratio by their volume, all others alike."""
    volume = np.nansum(days.volume, axis=0) if days.ratio else np.ones(days.volume.shape[1])
    return np.asarray(volume / volume.sum())


def _concordance(squares: Floats) -> Floats:
    """From the squares of both profiles and their product, in the last axis."""
    return np.asarray(2 * squares[..., 2] / np.maximum(squares[..., 0] + squares[..., 1], 1e-300))


def _error(without: list[Floats]) -> Floats:
    """Standard error from the values without each day of the one side, and without each of the
    other."""
    return np.asarray(np.sqrt(sum((len(each) - 1) * each.var(axis=0) for each in without)))
