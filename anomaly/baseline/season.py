"""The day and the week of users' lives, learned so that the past is predicted without itself.

Each past day (week) is predicted from the *other* days (weeks): the residuals of the history are
out of sample like those that come after the release, so placebo releases are judged as the real one
is, and a profile is kept only where it predicts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from anomaly.baseline.robust import (
    MAD_TO_SIGMA,
    Bools,
    Floats,
    Ints,
    choice,
    median,
    smooth_cyclic,
    spread,
)

DAY_S = 86_400
MIN_PHASES = 4  # steps a day
MIN_PERIODS = 2.2  # days of history before a profile can be tested on itself
DAY_SMOOTH = 72  # half-width of the smoothing: a 72nd of a day (20 min)
MIN_FOR_SMOOTH = 48  # steps a day
# a profile must take away this share of the error of predicting without it
DAY_GAIN = 0.97
WEEK_GAIN = 0.94
COARSE_GAIN = 0.97  # the same in a coarse look, for which is too little to look closer
COARSE_SHARES = np.array([0.3, 0.6, 1.0])  # of a profile that it tries
MIN_SHRINK = 0.1
# from this shrink on a profile is taken as it is: part of a weekend would be missing else
DAY_FULL = 0.9
WEEK_FULL = 0.5
DAY_BLOCKS, WEEK_BLOCKS = 24, 8  # blocks of a day over whose means a profile is judged
SHRINKS = np.linspace(0, 1, 21)  # the shares of a profile that are tried
TOGETHER = 12  # series that are learned at a time, for the same reason
EDGE = 4.0  # standard errors from which a difference between neighbours is an edge, not noise
MIN_WEEKS = 1.9
KINDS_OF_DAY = (  # ways to tell the days of a week apart; Monday is 0
    ((0, 1, 2, 3, 4), (5, 6)),
    ((0, 1, 2, 3, 4), (5,), (6,)),
    ((0,), (1,), (2,), (3,), (4,), (5,), (6,)),
)
LEAST_DAYS = 2  # of a kind
MONTH_DAYS = 32  # the days of a month, the last one first
MIN_MONTH = 31  # days of history before a day of the month can come twice
DAYS_OF_A_WEEK = 7
MOVED = 0.85  # share of the days' distance from one level that levels of weeks must leave at most
UNSURE = 1.25  # times the usual spread, of a day of the month
CLEARLY_LESS = 0.8  # of what one way to learn a month leaves, by which another must be better
AGAIN = 0.5  # share of how far a step of the week, or a day of the month, stands out that its
# other times may leave unexplained
LEAST_WEEKS = 3  # from which it can be said what always is so at a step of the week
# A profile must be better by so many standard errors, from day to day, or its few good days must
# outweigh the others so many times.
SURE, RARELY = 2.0, 4.0
FINER = 0.97  # share of the error that a finer distinction must leave at most
MEDIAN_ERROR = 1.2533  # standard error of a median, that of a mean being 1: √(π / 2)
EVENTS = 10.0  # events that a smoothing window should hold before a median of it means something


@dataclass(frozen=True, slots=True)
class Clock:
    """Where each row lies in the users' day, week and month: `day` counts days, `phase` steps in
    it, `slot` steps in the week, of which each day has `phases`. `weekday` is 0 on Mondays,
    `month_day` the day of the month, 0 on the last one."""

    day: np.ndarray
    phase: np.ndarray
    slot: np.ndarray
    weekday: np.ndarray
    month_day: np.ndarray
    hour: Floats
    phases: int
    is_daily: bool


def clock(index: pd.DatetimeIndex, step_s: float, timezone: str) -> Clock:
    """The local clock of the rows; a step that does not divide the day leaves one phase, so that no
    profile can be learned."""
    return _clock(index.as_unit("ns").asi8.tobytes(), step_s, timezone)


@lru_cache(maxsize=16)  # for the series of a panel have the same rows
def _clock(stamps: bytes, step_s: float, timezone: str) -> Clock:
    index = pd.DatetimeIndex(np.frombuffer(stamps, dtype="datetime64[ns]"), tz="UTC")
    naive = index.tz_convert(timezone).tz_localize(None)
    local = naive.asi8 // 1_000_000_000
    day, second = np.divmod(local, DAY_S)
    phases = int(DAY_S // step_s) if DAY_S % step_s == 0 else 1
    phase = second * phases // DAY_S if phases > 1 else np.zeros(len(local), int)
    weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
    return Clock(
        day=day - day[0],
        phase=phase,
        slot=weekday * phases + phase,
        weekday=weekday,
        month_day=np.where(naive.is_month_end, 0, naive.day),
        hour=second / 3600,
        phases=phases,
        is_daily=step_s == DAY_S,
    )


@dataclass(frozen=True, slots=True)
class Season:
    """Profiles per series, shrunk: `day` `(series, phases)` and, added to it, `week` `(series, 7 ×
    phases)` and `month` `(series, MONTH_DAYS)`; zero where not kept. Where `times` is not zero
    `(series, 1)`, days of the month multiply instead: `month` is a share of the day and week above
    that much."""

    day: Floats
    week: Floats
    month: Floats
    times: Floats

    def at(self, when: Clock) -> Floats:
        """The seasonal part at each row, `(series, time)`."""
        usual = self.day[:, when.phase] + self.week[:, when.slot]
        return usual + self._of_month(when, usual)

    def of_month(self, when: Clock) -> Floats:
        """The part of that which is due to days of the month."""
        return self._of_month(when, self.day[:, when.phase] + self.week[:, when.slot])

    def wider(self, when: Clock) -> Floats | float:
        """How much wider than usual the spread of each row is: days of the month rest on few times,
        and what is multiplied multiplies its noise."""
        if not self.month.any():
            return 1.0
        month = self.month[:, when.month_day]
        grown = 1.0 + np.where(self.times != 0, np.maximum(month, 0.0), 0.0)
        return np.where(month != 0, UNSURE * grown, 1.0)

    def _of_month(self, when: Clock, usual: Floats) -> Floats:
        month = self.month[:, when.month_day]
        if not self.times.any():
            return np.asarray(month)
        return np.where(self.times != 0, month * (self.times + usual), month)

    @property
    def has_day(self) -> np.ndarray:
        return np.asarray((self.day != 0).any(axis=1))

    @property
    def has_week(self) -> np.ndarray:
        return np.asarray((self.week != 0).any(axis=1))

    @property
    def has_month(self) -> np.ndarray:
        return np.asarray((self.month != 0).any(axis=1))

    def rows(self, keep: Ints) -> Season:
        """The season of some series."""
        return Season(self.day[keep], self.week[keep], self.month[keep], self.times[keep])


def learn(
    y: Floats, weight: Floats, events: Floats, logs: Bools, when: Clock
) -> tuple[Season, Floats]:
    """The season of `y` `(series, time)` and its out-of-sample value at each row of the history.

    `weight` `(series, time)` is what a mean is weighted by (a ratio's denominator, else 1 where
    present); `events` `(series,)` is how many events a step holds on average (inf where the values
    are not counts of few events), and `logs` which series are logarithms.
    """
    some = [slice(i, i + TOGETHER) for i in range(0, max(len(y), 1), TOGETHER)]
    parts = [_learned(y[rows], weight[rows], events[rows], logs[rows], when) for rows in some]
    seasons, seasonal = zip(*parts, strict=True)
    whole = (
        np.concatenate([getattr(season, part.name) for season in seasons])
        for part in fields(Season)
    )
    return Season(*whole), np.concatenate(seasonal)


def _learned(
    y: Floats, weight: Floats, events: Floats, logs: Bools, when: Clock
) -> tuple[Season, Floats]:
    """`learn` for a few series."""
    day, week, seasonal = _day_and_week(y, weight, events, when)
    month, times = np.zeros((len(y), MONTH_DAYS)), np.zeros((len(y), 1))
    if when.phases < MIN_PHASES and not when.is_daily:
        return Season(day, week, month, times), seasonal
    again = np.flatnonzero(~week.any(axis=1))
    if len(again) and when.day[-1] + 1 >= 2 * DAYS_OF_A_WEEK:
        moved = _moved(_folds(y[again], weight[again], when).values)
        has_moved = moved.any(axis=1)  # which hides the week around it
        again, level = again[has_moved], moved[has_moved][:, when.day]
        parts = _day_and_week(y[again] - level, weight[again], events[again], when)
        has_week = parts[1].any(axis=1)
        for whole, part in zip((day, week, seasonal), parts, strict=True):
            whole[again[has_week]] = part[has_week]
    if when.day[-1] >= MIN_MONTH:
        month, times, more = _month(y, seasonal, logs, when)
        seasonal = seasonal + more
    return Season(day, week, month, times), seasonal


def _day_and_week(
    y: Floats, weight: Floats, events: Floats, when: Clock
) -> tuple[Floats, Floats, Floats]:
    """The day `(series, phases)` and the week `(series, 7 × phases)`, and their out-of-sample value
    at each row."""
    count, n = y.shape
    day, week = np.zeros((count, when.phases)), np.zeros((count, 7 * when.phases))
    seasonal = np.zeros((count, n))
    if when.phases < MIN_PHASES and not when.is_daily:
        return day, week, seasonal
    half = when.phases // DAY_SMOOTH if when.phases >= MIN_FOR_SMOOTH else 0
    widths = _half_widths(events, half, when.phases)
    if not count:
        return day, week, seasonal
    folds = _folds(y, weight, when)
    if n >= MIN_PERIODS * when.phases and not when.is_daily:
        day, seasonal = _days(y, folds, widths, when)
    if n >= MIN_WEEKS * 7 * when.phases:
        rows = np.flatnonzero(_may_differ(_folds(y - seasonal, weight, when).values, when))
        week[rows], seasonal[rows] = _kinds_of_day(
            y[rows], folds.some(rows), widths[rows], when, day[rows], seasonal[rows]
        )
    if not when.is_daily and n > (LEAST_WEEKS - 1) * 7 * when.phases:
        rows, more, out = _week_steps(y - seasonal, np.isposinf(events), when)
        week[rows] += more
        seasonal[rows] += out
    return day, week, seasonal


@dataclass(frozen=True, slots=True)
class _Folds:
    """Rows of a history as days `(series, days, phases)`: its `values`, NaN where there is none,
    and their `mass`, of which a mean is made; `at` is where each row lies among all phases."""

    values: Floats
    mass: Floats
    at: Ints | slice

    def of(self, series: Any, width: int, days: Any = slice(None)) -> tuple[Floats, int]:
        """The values of some series and days, and the half-width by which a median of them is still
        to be smoothed: where it is negative, few events ask for smoothing before."""
        values = self.values[series, days]
        if width >= 0:
            return values, width
        return _pooled(values, self.mass[series, days], -width), 0

    def some(self, series: Ints) -> _Folds:
        """The rows of some series."""
        return _Folds(self.values[series], self.mass[series], self.at)

    def rows(self, folded: Floats) -> Floats:
        """What lies at each row of the history, `(series, time)`."""
        return np.asarray(folded.reshape(len(folded), -1)[:, self.at])


def _folds(y: Floats, weight: Floats, when: Clock) -> _Folds:
    rows: Ints = when.day * when.phases + when.phase
    is_regular = bool((np.diff(rows) == 1).all())  # no clock was changed
    at = slice(int(rows[0]), int(rows[0]) + len(rows)) if is_regular else rows
    shape = len(y), int(when.day[-1]) + 1, when.phases
    values, mass = np.full(shape, np.nan), np.zeros(shape)
    values.reshape(len(y), -1)[:, at] = y
    mass.reshape(len(y), -1)[:, at] = np.where(np.isfinite(y), weight, 0.0)
    return _Folds(values, mass, at)


def _moved(values: Floats) -> Floats:
    """How far the level of each day lies from the middle of all `(series, days)`, by the week
    around it, of series whose level moved so that this leaves clearly less; 0 of all others.
    `values` are `(series, days, phases)`."""
    count, days, _ = values.shape
    out = np.zeros((count, days))
    has_value = np.isfinite(values)
    size = has_value.sum(axis=2)
    mean = np.where(has_value, values, 0.0).sum(axis=2) / np.where(size > 0, size, np.nan)
    week = median(sliding_window_view(mean, DAYS_OF_A_WEEK, axis=1))
    half = DAYS_OF_A_WEEK // 2
    level = week[:, np.clip(np.arange(days) - half, 0, days - DAYS_OF_A_WEEK)]
    middle = median(mean)[:, None]
    left = np.nansum(np.abs(mean - level), axis=1)
    before = np.nansum(np.abs(mean - middle), axis=1)
    rows = left < MOVED * before
    out[rows] = np.nan_to_num(level - middle)[rows]
    return out


def _days(y: Floats, folds: _Folds, widths: Floats, when: Clock) -> tuple[Floats, Floats]:
    """What all days share `(series, phases)`, and its out-of-sample value at each step."""
    full, others = np.zeros((len(y), when.phases)), np.zeros_like(folds.values)
    for width in np.unique(widths[np.isfinite(widths)]):
        mine = np.flatnonzero(widths == width)
        profile, rest = _fold(*folds.of(mine, int(width)))
        middle = median(profile)[:, None]
        full[mine] = profile - middle
        others[mine] = rest - median(rest)[:, :, None]
    foreseen = folds.rows(others)
    block = max(1, when.phases // DAY_BLOCKS)
    shrink, error = _worth(y, foreseen, when.day, DAY_FULL, block)
    share = np.where((error < DAY_GAIN) & (shrink > MIN_SHRINK), shrink, 0.0)[:, None]
    return share * full, share * foreseen


def _may_differ(rest: Floats, when: Clock) -> Bools:
    """Of which series, of whose day this is left `(series, days, phases)`, some days of the week
    may differ from others: a coarse look that costs little.

    What days of one kind have in common, by parts of a day, must take away a little at least.
    """
    count, days, phases = rest.shape
    length = phases // WEEK_BLOCKS
    if length < 2:  # noqa: PLR2004  it would be as dear
        return np.ones(count, dtype=bool)
    parts = _blocks(rest.reshape(count * days, phases), length).reshape(count, days, -1)
    parts -= _middle_of(parts)
    present = np.isfinite(parts)
    number, first = np.unique(when.day, return_index=True)
    weekday = when.weekday[first]
    before, out = _distances(parts)[:, None], np.zeros(count, dtype=bool)
    for kinds in KINDS_OF_DAY:
        common = np.full_like(parts, np.nan)
        for kind in kinds:
            mine = number[(weekday[:, None] == kind).any(axis=1)]
            common[:, mine] = _medians(parts[:, mine])[1]
        common = np.where(present, np.nan_to_num(common - _middle_of(common)), 0.0)
        left = parts - COARSE_SHARES[:, None, None, None] * common
        after = _distances(left - _middle_of(left))
        ratios = np.divide(after, before, out=np.ones_like(after), where=before > 0)
        out |= (ratios.mean(axis=0) < COARSE_GAIN).any(axis=0)
    return out


def _middle_of(parts: Floats) -> Floats:
    """The median of each series, of `(..., series, days, parts)`."""
    return median(parts.reshape(*parts.shape[:-2], -1))[..., None, None]


def _distances(parts: Floats) -> Floats:
    """Mean and median distance from 0 of each series `(2, ..., series)`, of `(..., series, days,
    parts)`."""
    away = np.abs(parts).reshape(*parts.shape[:-2], -1)
    size = np.maximum(np.isfinite(away).sum(axis=-1), 1)
    return np.stack([np.nansum(away, axis=-1) / size, median(away)])


def _kinds_of_day(
    y: Floats, folds: _Folds, widths: Floats, when: Clock, day: Floats, seasonal: Floats
) -> tuple[Floats, Floats]:
    """What kinds of day add to the `day` `(series, 7 × phases)`, and the whole season out of
    sample.

    Every way to tell the days of a week apart is tried; the one that predicts best is taken, if it
    predicts clearly better than days that are all alike.
    """
    week, out = np.zeros((len(y), 7 * when.phases)), seasonal.copy()
    least = np.full(len(y), WEEK_GAIN)
    block = max(1, when.phases // WEEK_BLOCKS)
    profiles = _Profiles(folds, widths, when)
    has_data, weekday = _full_days(y, when)
    rest, present = y - seasonal, np.isfinite(y)
    enough = has_data.sum(axis=1) >= MIN_WEEKS * 7 - 1
    of_weekday = np.stack([has_data[:, weekday == each].sum(axis=1) for each in range(7)])
    for kinds in KINDS_OF_DAY:
        days = [of_weekday[[*kind]].sum(axis=0) for kind in kinds]
        can_tell = enough & (np.min(days, axis=0) >= LEAST_DAYS) & np.isfinite(widths)
        if not can_tell.any():
            continue
        table, others = profiles.week(kinds)
        more = others - seasonal
        middle = median(more if present.all() else np.where(present, more, np.nan))[:, None]
        more -= middle
        shrink, error = _worth(rest, more, when.day, WEEK_FULL, block)
        better = np.flatnonzero((error < least) & (shrink > MIN_SHRINK) & can_tell)
        share = shrink[better, None]
        week[better] = share * (table[better] - middle[better] - np.tile(day[better], 7))
        out[better] = seasonal[better] + share * more[better]
        least[better] = error[better] * FINER
    return week, out


def _full_days(y: Floats, when: Clock) -> tuple[Bools, np.ndarray]:
    """Which days have at least half as many values as the fullest one `(series, days)`, and their
    weekdays."""
    first = np.flatnonzero(np.diff(when.day, prepend=-1))
    count = np.add.reduceat(np.isfinite(y), first, axis=1, dtype=int)
    return (count > 0) & (2 * count >= count.max(axis=1, keepdims=True)), when.weekday[first]


def _week_steps(rest: Floats, steady: Bools, when: Clock) -> tuple[Ints, Floats, Floats]:
    """What stands out at some steps of the week, such as those of a job on Sunday nights: of which
    series (`steady` ones, for a few events stand out by chance), by how much `(series, 7 ×
    phases)`, and its out-of-sample value at each step; `rest` is what day and week leave.

    Such a step must have stood out in every week, as far as its other weeks foresee.
    """
    present = np.isfinite(rest)
    count = np.maximum(present.sum(axis=1, keepdims=True), 1)
    rest = np.where(present, rest, 0.0)
    rest = np.where(present, rest - rest.sum(axis=1, keepdims=True) / count, 0.0)
    far = EDGE * np.sqrt((rest**2).sum(axis=1, keepdims=True) / count)
    stands_out = (np.abs(rest) > far).sum(axis=1) >= LEAST_WEEKS
    series = np.flatnonzero(steady & stands_out)
    slots = 7 * when.phases
    at = (when.day + when.weekday[0]) // 7 * slots + when.slot
    weeks = int(at[-1]) // slots + 1
    whole = np.full((len(series), weeks * slots), np.nan)
    whole[:, at] = np.where(present[series], rest[series], np.nan)
    times = whole.reshape(len(series), weeks, slots)
    low, high = np.fmin.reduce(times, axis=1), np.fmax.reduce(times, axis=1)
    rows, slot = np.nonzero((low > far[series]) | (high < -far[series]))
    mine = times[rows, :, slot]
    size = np.isfinite(mine).sum(axis=1, keepdims=True)
    total = np.nansum(mine, axis=1, keepdims=True)
    others = (total - mine) / np.maximum(size - 1, 1)
    foresees = (np.isnan(mine) | (np.abs(mine - others) < AGAIN * np.abs(mine))).all(axis=1)
    is_usual = (foresees[:, None] & (size >= LEAST_WEEKS)).astype(float)
    week, out = np.zeros((len(series), slots)), np.zeros_like(times)
    week[rows, slot] = (is_usual * total / size)[:, 0]
    out[rows, :, slot] = is_usual * np.nan_to_num(others)
    return series, week, out.reshape(len(series), weeks * slots)[:, at]


def _month(y: Floats, seasonal: Floats, logs: Bools, when: Clock) -> tuple[Floats, Floats, Floats]:
    """What some days of the month add to day and week `(series, MONTH_DAYS)`, or, where `times`
    `(series, 1)` is not zero, by which share of these above that they differ; and the out-of-sample
    value at each row.

    It is a share of what is positive, unless a sum leaves clearly less; of logarithms, a sum is a
    share already.
    """
    rest = y - seasonal
    middle = median(rest)[:, None]
    rest = rest - middle
    month, more = _month_days(rest, when)
    usual = middle + seasonal
    multiplies = ~logs & (np.nanmin(usual, axis=1, initial=np.inf) > 0)
    if not multiplies.any():
        return month, np.zeros_like(middle), more
    share, more_share = _month_days(np.where(multiplies[:, None], rest / usual, 0.0), when)
    scaled = more_share * usual
    stands_out = (more != 0) | (scaled != 0)
    off = np.nansum(np.abs(rest - more), axis=1, where=stands_out)
    off_scaled = np.nansum(np.abs(rest - scaled), axis=1, where=stands_out)
    better = (multiplies & (off_scaled < off / CLEARLY_LESS) & (off_scaled > 0))[:, None]
    times = np.where(better, middle, 0.0)
    return np.where(better, share, month), times, np.where(better, scaled, more)


def _month_days(rest: Floats, when: Clock) -> tuple[Floats, Floats]:
    """What stands out on some days of the month `(series, MONTH_DAYS)`, and its out-of-sample value
    at each step; `rest` is what day and week leave.

    Such a day must have stood out each time, as far as its other times foresee.
    """
    month, seasonal = np.zeros((len(rest), MONTH_DAYS)), np.zeros_like(rest)
    days, first = np.unique(when.day, return_index=True)
    level = np.stack([median(rest[:, when.day == each]) for each in days], axis=1)
    usual = spread(level)  # few events leave most days alike
    for month_day in range(MONTH_DAYS):
        mine = np.flatnonzero(when.month_day[first] == month_day)
        if len(mine) < LEAST_DAYS:
            continue
        times = level[:, mine]
        others = (times.sum(axis=1, keepdims=True) - times) / (len(mine) - 1)
        stands_out = (np.abs(others) > EDGE * usual[:, None]).all(axis=1)
        foresees = (np.abs(times - others) < AGAIN * np.abs(times)).all(axis=1)
        is_usual = (stands_out & foresees)[:, None]
        month[:, [month_day]] = np.where(is_usual, times.mean(axis=1, keepdims=True), 0.0)
        for column, each in enumerate(mine):
            rows = when.day == days[each]
            seasonal[:, rows] = np.where(is_usual, others[:, [column]], 0.0)
    return month, seasonal


class _Profiles:
    """The profiles of kinds of day, each learned once."""

    def __init__(self, folds: _Folds, widths: Floats, when: Clock) -> None:
        self.folds, self.widths = folds, widths
        days, first = np.unique(when.day, return_index=True)
        self.days, self.weekday = days, when.weekday[first]
        self.by_kind: dict[tuple[int, ...], tuple[Floats, Floats, Ints]] = {}

    def week(self, kinds: tuple[tuple[int, ...], ...]) -> tuple[Floats, Floats]:
        """The profiles of kinds of day as a week `(series, 7 × phases)`, and their out-of-sample
        values."""
        self._learn([kind for kind in kinds if kind not in self.by_kind])
        count, _, phases = self.folds.values.shape
        week, others = np.zeros((count, 7, phases)), np.zeros_like(self.folds.values)
        for kind in kinds:
            profile, rest, days = self.by_kind[kind]
            week[:, kind] = profile[:, None, :]
            others[:, days] = rest
        return week.reshape(count, -1), self.folds.rows(others)

    def _learn(self, kinds: list[tuple[int, ...]]) -> None:
        """The profile of the days of each kind `(series, phases)`, and the out-of-sample values of
        its `days`. Those of equally many days are learned together."""
        together: dict[int, list[tuple[tuple[int, ...], Ints]]] = {}
        for kind in kinds:
            days = self.days[(self.weekday[:, None] == kind).any(axis=1)]
            together.setdefault(len(days), []).append((kind, days))
        for alike in together.values():
            of_kinds = np.stack([days for _, days in alike])
            count, _, phases = self.folds.values.shape
            profiles = np.zeros((len(alike), count, phases))
            others = np.zeros((len(alike), count, of_kinds.shape[1], phases))
            for width in np.unique(self.widths[np.isfinite(self.widths)]):
                mine = np.flatnonzero(self.widths == width)
                values, half = self.folds.of(mine[:, None], int(width), of_kinds[:, None])
                profile, rest = _fold(values.reshape(-1, *values.shape[2:]), half)
                profiles[:, mine] = profile.reshape(len(alike), len(mine), phases)
                others[:, mine] = rest.reshape(values.shape)
            for (kind, days), profile, rest in zip(alike, profiles, others, strict=True):
                self.by_kind[kind] = profile, rest, days


def _half_widths(events: Floats, half: int, phases: int) -> Floats:
    """Smoothing half-width per series; negative where few events ask for smoothing before the
    median instead of after."""
    sparse = events < EVENTS
    wide = 2.0 ** np.ceil(np.log2(np.maximum(EVENTS / 2 / np.maximum(events, 1e-9), max(half, 1))))
    return np.where(sparse, -np.where(wide <= phases / 4, wide, np.inf), half)


def _pooled(folded: Floats, mass: Floats, half: int) -> Floats:
    """Periods `(..., period)` whose neighbours are pooled, by the mass that they have."""
    pooled = smooth_cyclic(mass, half)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(
            pooled > 0, smooth_cyclic(np.nan_to_num(folded) * mass, half) / pooled, np.nan
        )


def _fold(folded: Floats, half: int) -> tuple[Floats, Floats]:
    """Median over the periods of `folded` `(series, periods, period)`, `(series, period)`, and for
    each period the same without itself; both smoothed by `half`."""
    full, others = _medians(folded)
    error = _error(folded, full) if half else np.empty(0)
    return _smooth(full[:, None, :], half, error)[:, 0], _smooth(others, half, error)


def _medians(folded: Floats) -> tuple[Floats, Floats]:
    """Median over axis 1 and, for each entry, the median of the others; NaN are left out."""
    ranked = np.sort(folded, axis=1)  # NaN last
    present = np.isfinite(folded)
    size = present.sum(axis=1, keepdims=True)
    least = int(size.min())
    if least > 1 and (size == least).all():
        full, others = _medians_of(ranked, folded, least)
        everywhere = least == folded.shape[1]
        return full[:, 0], others if everywhere else np.where(present, others, full)

    one, _, other = np.ogrid[tuple(map(slice, folded.shape))]

    def at(position: np.ndarray) -> Floats:
        place = np.minimum(np.maximum(position, 0), folded.shape[1] - 1)
        return np.asarray(ranked[one, place, other])

    def without(position: np.ndarray) -> Floats:
        """What is at a position among the others of each entry: one up if the entry is below."""
        usual = at(position)
        return np.where(folded <= usual, at(position + 1), usual)

    full = np.where(size > 0, (at((size - 1) // 2) + at(size // 2)) / 2, np.nan)
    others = (without((size - 2) // 2) + without((size - 1) // 2)) / 2
    return full[:, 0], np.where(present, np.where(size > 1, others, np.nan), full)


def _medians_of(ranked: Floats, folded: Floats, size: int) -> tuple[Floats, Floats]:
    """The same where every column has `size` entries; `ranked` are they in order."""

    def middle(one: int, other: int) -> Floats:
        return (ranked[:, one, None] + ranked[:, other, None]) / 2

    full, low = middle((size - 1) // 2, size // 2), (size - 2) // 2
    below = folded <= ranked[:, low, None]
    if size % 2 == 0:
        return full, choice(below, middle(low + 1, low + 1), middle(low, low))
    upto = folded <= ranked[:, low + 1, None]
    rest = choice(upto, middle(low, low + 2), middle(low, low + 1))
    return full, choice(below, middle(low + 1, low + 2), rest)


def _error(folded: Floats, full: Floats) -> Floats:
    """Standard error of the medians of `folded` `(series, periods, period)`, one per series."""
    periods = np.maximum(np.isfinite(folded).sum(axis=1).mean(axis=1), 1)
    away = np.abs(folded - full[:, None, :]).reshape(len(folded), -1)
    return np.asarray(MAD_TO_SIGMA * MEDIAN_ERROR * median(away) / np.sqrt(periods))


def _smooth(profiles: Floats, half: int, error: Floats) -> Floats:
    """Profiles smoothed around the clock, but not where that would blur an edge."""
    smooth = _whole(profiles, half)
    if half == 0:
        return smooth
    edge = EDGE * np.where(np.isfinite(error), error, np.inf)[:, None, None]
    with np.errstate(invalid="ignore"):
        is_edge = np.abs(profiles - smooth) > edge
    return np.where(is_edge, profiles, smooth)


def _whole(profiles: Floats, half: int) -> Floats:
    """Profiles smoothed around the clock, holes filled from their neighbours, and from 0 where
    there are none."""
    out = smooth_cyclic(profiles, half)
    present = np.isfinite(profiles)
    holey = ~present.reshape(len(profiles), -1).all(axis=1)
    if holey.any():
        present, some = present[holey], max(half, 1)
        share = smooth_cyclic(present.astype(float), some)
        with np.errstate(invalid="ignore", divide="ignore"):
            smooth = np.where(
                share > 0,
                smooth_cyclic(np.where(present, profiles[holey], 0.0), some) / share,
                np.nan,
            )
        out = out.copy()
        out[holey] = np.where(np.isfinite(smooth), smooth, np.nan_to_num(median(smooth))[..., None])
    return out


def _blocks(values: Floats, length: int) -> Floats:
    """Means over blocks of `length` steps, NaN where none is there; a rest at the end is left
    out."""
    whole = values[:, : values.shape[1] // length * length].reshape(len(values), -1, length)
    present = np.isfinite(whole)
    if present.all():
        return np.asarray(whole.sum(axis=2) / length)
    size = present.sum(axis=2)
    return np.asarray(
        np.where(size > 0, np.where(present, whole, 0.0).sum(axis=2) / np.maximum(size, 1), np.nan)
    )


def _worth(
    y: Floats, predicted: Floats, day: np.ndarray, full: float, block: int
) -> tuple[Floats, Floats]:
    """By how much the profile should be shrunk to predict `y` best, and which share of the error
    that leaves, both per series; 1 where it is no better on most days.

    Judged on means over `block` steps: in single steps of a noisy series a weekend would drown.
    """
    if block > 1:
        predicted = _blocks(np.where(np.isfinite(y), predicted, np.nan), block)
        y, day = _blocks(y, block), day[: len(day) // block * block : block]
    present = np.isfinite(y)
    everywhere = present.all()
    predicted = np.where(present, predicted, 0.0)

    def left(shares: Floats) -> Floats:
        """What shares `(shares, series)` of the profile leave, around its own middle; 0 where there
        is no value."""
        out = y - shares[:, :, None] * predicted
        out -= median(out)[:, :, None]
        if not everywhere:
            out[:, ~present] = 0.0
        return out

    first, last = np.zeros(len(y), dtype=int), np.full(len(y), len(SHRINKS) - 1)
    while (first < last).any():  # the loss has one valley: it is convex in the share
        middle = (first + last) // 2
        beside = np.minimum(middle + 1, len(SHRINKS) - 1)
        loss = np.abs(left(SHRINKS[np.stack([middle, beside])])).sum(axis=2)
        falls = loss[1] < loss[0]
        first, last = np.where(falls, beside, first), np.where(falls, last, middle)
    shrink = np.where(SHRINKS[first] > full, 1.0, SHRINKS[first])
    rest, remainder = left(np.stack([np.zeros(len(y)), shrink]))
    ratios = []
    for size in (
        lambda v: np.abs(v).sum(axis=1),
        lambda v: median(np.where(present, np.abs(v), np.nan)),
    ):
        before = size(rest)
        ratios.append(
            np.where(before > 0, size(remainder) / np.where(before > 0, before, 1.0), 1.0)
        )
    gain = (np.abs(rest) - np.abs(remainder)) @ (day[:, None] == np.unique(day))
    noise = gain.std(axis=1) * np.sqrt(gain.shape[1])
    lost = np.maximum(-gain, 0).sum(axis=1)
    is_sure = gain.sum(axis=1) > np.minimum(SURE * noise, RARELY * lost)
    return shrink, np.where(is_sure, np.mean(ratios, axis=0), 1.0)
