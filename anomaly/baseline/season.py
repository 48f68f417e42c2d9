"""The day and the week of users' lives, learned so that the past is predicted without itself.

Each past day (week) is predicted from the *other* days (weeks): the residuals of the history are
out of sample like those that come after the release, so placebo releases are judged as the real one
is, and a profile is kept only where it predicts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from anomaly.baseline.robust import Floats, median, smooth_cyclic

DAY_S = 86_400
MIN_PHASES = 4  # steps a day
MIN_PERIODS = 2.2  # days or weeks of history before a profile can be tested on itself
# half-widths: a 72nd of a day (20 min), a 112th of a week (90 min)
DAY_SMOOTH = 72
WEEK_SMOOTH = 112
MIN_FOR_SMOOTH = 48  # steps a day
# a profile must take away this share of the error of predicting without it
DAY_GAIN = 0.97
WEEK_GAIN = 0.94
MIN_SHRINK = 0.1
# from this shrink on a profile is taken as it is: part of a weekend would be missing else
DAY_FULL = 0.9
WEEK_FULL = 0.5
DAY_BLOCKS, WEEK_BLOCKS = 24, 8  # blocks of a day over whose means a profile is judged
EVENTS = 10.0  # events that a smoothing window should hold before a median of it means something


@dataclass(frozen=True, slots=True)
class Clock:
    """Where each row lies in the users' day and week: `day` counts days, `phase` steps in it,
    `week` and `slot` alike."""

    day: np.ndarray
    phase: np.ndarray
    week: np.ndarray
    slot: np.ndarray
    hour: Floats
    phases: int


def clock(index: pd.DatetimeIndex, step_s: float, timezone: str) -> Clock:
    """The local clock of the rows; a step that does not divide the day leaves one phase, so that no
    profile can be learned."""
    local = index.as_unit("ns").tz_convert(timezone).tz_localize(None).asi8 // 1_000_000_000
    day, second = np.divmod(local, DAY_S)
    phases = int(DAY_S // step_s) if DAY_S % step_s == 0 else 1
    phase = second * phases // DAY_S if phases > 1 else np.zeros(len(local), int)
    monday = day + 3  # 1970-01-01 was a Thursday
    return Clock(
        day - day[0],
        phase,
        monday // 7 - monday[0] // 7,
        (monday % 7) * phases + phase,
        second / 3600,
        phases,
    )


@dataclass(frozen=True, slots=True)
class Season:
    """Profiles per series, shrunk: `day` `(series, phases)` and, added to it, `week` `(series, 7 ×
    phases)`; zero where not kept."""

    day: Floats
    week: Floats

    def at(self, when: Clock) -> Floats:
        """The seasonal part at each row, `(series, time)`."""
        return np.asarray(self.day[:, when.phase] + self.week[:, when.slot])

    @property
    def has_day(self) -> np.ndarray:
        return np.asarray((self.day != 0).any(axis=1))

    @property
    def has_week(self) -> np.ndarray:
        return np.asarray((self.week != 0).any(axis=1))


def learn(y: Floats, weight: Floats, events: Floats, when: Clock) -> tuple[Season, Floats]:
    """The season of `y` `(series, time)` and its out-of-sample value at each row of the history.

    `weight` `(series, time)` is what a mean is weighted by (a ratio's denominator, else 1 where
    present); `events` `(series,)` is how many events a step holds on average (inf where the values
    are not counts of few events).
    """
    count, n = y.shape
    day = np.zeros((count, when.phases))
    week = np.zeros((count, 7 * when.phases))
    seasonal = np.zeros((count, n))
    if when.phases < MIN_PHASES:
        return Season(day, week), seasonal
    half = when.phases // DAY_SMOOTH if when.phases >= MIN_FOR_SMOOTH else 0
    if n >= MIN_PERIODS * when.phases:
        widths = _half_widths(events, half, when.phases)
        rule = (DAY_GAIN, DAY_FULL, max(1, when.phases // DAY_BLOCKS))
        day, seasonal = _profile(y, weight, widths, when.day, when.phase, when.phases, rule)
    if n >= MIN_PERIODS * 7 * when.phases:
        half = max(1, 7 * when.phases // WEEK_SMOOTH)
        widths = _half_widths(events, half, when.phases)
        rule = (WEEK_GAIN, WEEK_FULL, max(1, when.phases // WEEK_BLOCKS))
        week, more = _profile(
            y - seasonal, weight, widths, when.week, when.slot, 7 * when.phases, rule
        )
        seasonal = seasonal + more
    return Season(day, week), seasonal


def _half_widths(events: Floats, half: int, phases: int) -> Floats:
    """Smoothing half-width per series; negative where few events ask for smoothing before the
    median instead of after."""
    sparse = events < EVENTS
    wide = 2.0 ** np.ceil(np.log2(np.maximum(EVENTS / 2 / np.maximum(events, 1e-9), max(half, 1))))
    return np.where(sparse, -np.where(wide <= phases / 4, wide, np.inf), half)


def _profile(
    y: Floats,
    weight: Floats,
    widths: Floats,
    row: np.ndarray,
    column: np.ndarray,
    period: int,
    rule: tuple[float, float, int],
) -> tuple[Floats, Floats]:
    """Shrunk profile `(series, period)` and its out-of-sample value at each step, zero where it
    does not predict."""
    count, n = y.shape
    profile, seasonal = np.zeros((count, period)), np.zeros((count, n))
    for width in np.unique(widths[np.isfinite(widths)]):
        mine = np.flatnonzero(widths == width)
        full, others = _fold(y[mine], weight[mine], int(width), row, column, period)
        with np.errstate(invalid="ignore"):
            shrinkage = _worth(y[mine], others, *rule)
        profile[mine] = shrinkage[:, None] * full
        seasonal[mine] = shrinkage[:, None] * others
    return profile, seasonal


def _fold(
    y: Floats, weight: Floats, width: int, row: np.ndarray, column: np.ndarray, period: int
) -> tuple[Floats, Floats]:
    """Median over the periods, centred, and for each step the same without its own period."""
    folded = np.full((len(y), int(row.max()) + 1, period), np.nan)
    folded[:, row, column] = y
    if width < 0:  # few events: pool neighbours first
        mass = np.zeros_like(folded)
        mass[:, row, column] = np.where(np.isfinite(y), weight, 0.0)
        pooled = smooth_cyclic(mass, -width)
        with np.errstate(invalid="ignore", divide="ignore"):
            folded = np.where(
                pooled > 0, smooth_cyclic(np.nan_to_num(folded) * mass, -width) / pooled, np.nan
            )
    full, others = _medians(folded)
    full, others = _whole(full[:, None, :], max(width, 0))[:, 0], _whole(others, max(width, 0))
    middle = median(full)[:, None]
    return full - middle, others[:, row, column] - median(others)[:, row]


def _medians(folded: Floats) -> tuple[Floats, Floats]:
    """Median over axis 1 and, for each entry, the median of the others; NaN are left out."""
    order = np.argsort(folded, axis=1)
    ranked = np.take_along_axis(folded, order, axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(folded.shape[1])[None, :, None], axis=1)
    present = np.isfinite(folded)
    size = present.sum(axis=1, keepdims=True)

    def pick(position: np.ndarray) -> Floats:
        return np.take_along_axis(ranked, np.clip(position, 0, folded.shape[1] - 1), axis=1)

    full = np.where(size > 0, (pick((size - 1) // 2) + pick(size // 2)) / 2, np.nan)
    rest = size - present  # how many others there are
    low, high = (rest - 1) // 2, rest // 2
    others = (pick(low + (present & (low >= rank))) + pick(high + (present & (high >= rank)))) / 2
    return full[:, 0], np.where(rest > 0, others, np.nan)


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
    size = present.sum(axis=2)
    return np.asarray(
        np.where(size > 0, np.where(present, whole, 0.0).sum(axis=2) / np.maximum(size, 1), np.nan)
    )


def _worth(y: Floats, predicted: Floats, gain: float, full: float, block: int) -> Floats:
    """By how much the profile should be shrunk, 0 where it does not predict `y` well enough (per
    series).

    Judged on means over `block` steps: in single steps of a noisy series a weekend would drown.
    """
    if block > 1:
        y, predicted = (
            _blocks(y, block),
            _blocks(np.where(np.isfinite(y), predicted, np.nan), block),
        )
    rest = y - median(y)[:, None]
    present = np.isfinite(rest)
    rest, predicted = np.where(present, rest, 0.0), np.where(present, predicted, 0.0)
    bound = (
        8 * np.maximum(median(np.where(present, np.abs(rest), np.nan)), 1e-300)[:, None] * 1.4826
    )
    clipped = np.clip(rest, -bound, bound) if np.isfinite(bound).all() else rest
    power = (predicted**2).sum(axis=1)
    shrink = np.clip((predicted * clipped).sum(axis=1) / np.where(power > 0, power, 1.0), 0.0, 1.0)
    shrink = np.where(shrink > full, 1.0, shrink)
    remainder = rest - shrink[:, None] * predicted
    ratios = []
    for size in (
        lambda v: np.abs(v).sum(axis=1),
        lambda v: median(np.where(present, np.abs(v), np.nan)),
    ):
        before = size(rest)
        ratios.append(
            np.where(before > 0, size(remainder) / np.where(before > 0, before, 1.0), 1.0)
        )
    return np.where(
        (np.mean(ratios, axis=0) < gain) & (shrink > MIN_SHRINK) & (power > 0), shrink, 0.0
    )
