"""A series cut into the days of its users, and the hours in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from anomaly.baseline.robust import Floats, Ints, median, spread
from anomaly.baseline.season import EVENTS
from anomaly.model import Kpi, KpiKind
from anomaly.panel import Block

HOURS, WEEK, DAY_S = 24, 7, 86_400
WINSOR = 8.0  # standard deviations around the median to which single values are pulled
FULL = 0.5  # share of its slots that a day must have to count as one
GROWING = frozenset({KpiKind.COUNTS, KpiKind.RATE})


@dataclass(frozen=True, slots=True)
class Days:
    """One series: matrices `(days, slots)` of hours, or of steps where these are longer; NaN where
    nothing is known.

    `amount` / `volume` is the value: of a ratio its two counts, else the sum over the steps and
    their number. `date` counts the days from 1970 on. `counts` says that amounts are numbers of
    events, `part` that these are some of the volume, `grows` that the KPI is larger by nature where
    there is more traffic.
    """

    date: Ints
    amount: Floats
    volume: Floats
    ratio: bool
    counts: bool
    part: bool
    grows: bool

    @property
    def value(self) -> Floats:
        return np.asarray(self.amount / self.volume)

    @property
    def level(self) -> float:
        """Mean value, weighted by volume; NaN of nothing."""
        volume = np.nansum(self.volume)
        return float(np.nansum(self.amount) / volume) if volume > 0 else float("nan")

    @property
    def signed(self) -> bool:
        """Whether it has values below 0, of which nothing relative can be said."""
        return bool(np.nanmin(self.amount, initial=0.0) < 0)

    @property
    def traffic(self) -> float | None:
        """How much there is of it in a step: of a ratio its denominator; None for what does not
        grow with traffic."""
        if self.ratio:
            return float(np.nanmean(self.volume))
        return self.level if self.grows else None

    @property
    def weekday(self) -> Ints:
        return np.asarray((self.date + 3) % WEEK)  # 1970-01-01 was a Thursday


def days_of(
    block: Block,
    row: int,
    index: pd.DatetimeIndex,
    kpi: Kpi,
    *,
    step_s: float,
    timezone: str,
    whole: bool,
) -> Days:
    """The days of one series of a block, on the users' clock; `whole` says that the KPI's values
    are whole numbers everywhere."""
    clock = index.as_unit("ns").tz_convert(timezone).tz_localize(None).asi8 // 1_000_000_000
    slots = int(min(HOURS, max(1, DAY_S // step_s)))
    day, second = np.divmod(clock, DAY_S)
    dates, number = np.unique(day, return_inverse=True)
    present = block.present[row] & (block.volume[row] > 0)
    at = (number * slots + second * slots // DAY_S)[present]

    def by_day(amounts: Floats) -> Floats:
        sums = np.bincount(at, amounts[row, present], len(dates) * slots)
        return np.asarray(sums.reshape(len(dates), slots))

    amount, volume = by_day(block.amount), by_day(block.volume)
    full = (volume > 0).mean(axis=1) >= FULL
    amount = np.where(volume > 0, amount, np.nan)[full]
    volume = np.where(volume > 0, volume, np.nan)[full]
    ratio = bool(block.ratio[row])
    growing = not ratio and (
        kpi.kind in GROWING or kpi.per is not None or (kpi.kind is None and whole)
    )
    counts = ratio or (growing and (kpi.kind is not KpiKind.RATE or kpi.per is not None))
    return Days(
        date=dates[full],
        amount=_without_incidents(amount, volume, EVENTS if counts else 0.0),
        volume=volume,
        ratio=ratio,
        counts=counts,
        part=ratio and bool((block.amount[row, present] <= block.volume[row, present]).all()),
        grows=growing,
    )


def _without_incidents(amount: Floats, volume: Floats, least: float) -> Floats:
    """The amounts, what is far out clipped as for a baseline; not by fewer than the `least` events,
    for a few are no incident."""
    value = amount / volume
    every = value.reshape(1, -1)
    middle = float(median(every)[0]) if value.size else 0.0
    wide = float(spread(every)[0]) if value.size else 0.0
    clipped = np.clip(value, middle - WINSOR * wide, middle + WINSOR * wide) * volume
    return np.asarray(np.where(np.abs(amount - clipped) > least, clipped, amount))


def is_whole(values: Floats) -> bool:
    """Whether all known values are numbers of events."""
    numbers = values[np.isfinite(values)]
    return bool(len(numbers) and numbers.min() >= 0 and (numbers == np.rint(numbers)).all())
