"""History and observation of many series as one timeline of whitened residuals, and the origins at
which it is looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pandas as pd

from anomaly.baseline import noise
from anomaly.baseline.robust import Bools, Floats, Ints, spread
from anomaly.baseline.seasonal import BOUND, HOURS, Baseline, by_hour
from anomaly.baseline.transform import forward
from anomaly.panel import Block

SPARSE = 0.2  # share of zeros in the history from which amounts are counted as they are
PLACEBOS = 300  # origins, evenly over the history
TINY = 1e-300
# a shift is followed over a quarter of the observation, at least five steps
LEAST_SMOOTH = 5
SMOOTH_PART = 4


@dataclass(frozen=True, slots=True)
class Timeline:
    """History and observation in one piece, the transitions cut out: matrices `(series, time)`.

    `residual` standardised deviations from the baseline (NaN where not `present`), `x` the same
    (clipped, 0 where not `present`), `z` innovations (0 where not `known`), `value` and `sampled`
    the data as collected; `before` steps are history; `gap` steps were cut out after them. Of a
    `sparse` series, whose history is often zero and never less, `amount` is the value or the
    numerator, in units of its mean where it is not zero, and `usual` what it is on average at that
    hour, by its volume; both 0 where there is no sample, or the series is not sparse. `season` is
    the shape of the season, around 0 and of spread 1 (0 throughout where there is none), `hours`
    how many the observation has.
    """

    residual: Floats
    x: Floats
    present: Bools
    z: Floats
    known: Bools
    value: Floats
    sampled: Bools
    amount: Floats
    usual: Floats
    sparse: Bools
    season: Floats
    phi: Floats
    before: int
    gap: int
    hours: float

    @property
    def after(self) -> int:
        return int(self.x.shape[1]) - self.before

    def rows(self, keep: Ints) -> Timeline:
        """The timeline of some series."""
        matrices = (
            "residual",
            "x",
            "present",
            "z",
            "known",
            "value",
            "sampled",
            "amount",
            "usual",
            "sparse",
            "season",
            "phi",
        )
        return replace(self, **{name: getattr(self, name)[keep] for name in matrices})


def origins(before: int) -> Ints:
    """Placebo origins, oldest first, and the release itself, last."""
    return np.arange(before, 0, -max(1, -(-(before - 2) // PLACEBOS)))[::-1]


def timeline(
    base: Baseline, series: Block, index: pd.DatetimeIndex, before: int, gap: int
) -> Timeline:
    """The timeline of a block whose first `before` rows are the history that `base` was fitted
    to."""
    later = series.rows(before, len(index))
    after = index[before:]
    y = forward(later.value, base.scale, base.floor)
    x = (y - base.location(after)) / base.width(after, later.volume)
    residual = np.concatenate(
        [np.where(np.isfinite(series.value[:, :before]), base.residual, np.nan), x], axis=1
    )
    present = np.isfinite(residual)
    x = np.clip(np.where(present, residual, 0.0), -BOUND, BOUND)
    z, known = _whitened(base, x, present, index)
    sampled = series.present.copy()
    sampled[:, :before] |= base.left_out  # what was left out is not missing
    counted = _counted(series, base.residual, base.clock(index).hour)
    season, hours = (
        _shape(base.season.at(base.clock(index))),
        (len(index) - before) * (base.step / timedelta(hours=1)),
    )
    return Timeline(
        residual,
        x,
        present,
        z,
        known,
        series.value,
        sampled,
        *counted,
        season,
        base.phi,
        before,
        gap,
        hours,
    )


def _shape(season: Floats) -> Floats:
    """A season without its height, bounded as residuals are when they are learned from."""
    size = spread(season)[:, None]
    shape = np.clip(season / np.where(size > 0, size, 1.0), -noise.CLIP, noise.CLIP)
    return np.asarray(shape - shape.mean(axis=1, keepdims=True))


def _counted(series: Block, learned: Floats, hour: Floats) -> tuple[Floats, Floats, Bools]:
    """`amount`, `usual` and `sparse` of a timeline; the steps of the history that have a residual
    are `learned` from."""
    before, told = learned.shape[1], np.isfinite(series.value)
    past = np.isfinite(learned) & told[:, :before]
    amount = np.where(past, series.amount[:, :before], 0.0)
    zeros = (past & (amount == 0)).sum(axis=1)
    sparse = (
        (zeros >= SPARSE * np.maximum(past.sum(axis=1), 1))
        & (amount >= 0).all(axis=1)
        & (amount > 0).any(axis=1)
    )
    if not sparse.any():
        return np.zeros_like(series.amount), np.zeros_like(series.amount), sparse
    hours = np.arange(HOURS) == np.floor(hour)[:, None]
    exposed = np.where(past, series.volume[:, :before], 0.0)
    amounts, volumes = (each @ hours[:before] for each in (amount, exposed))
    amounts, volumes = (
        np.roll(each, -1, axis=1) + 2 * each + np.roll(each, 1, axis=1)
        for each in (amounts, volumes)
    )  # ¼ ½ ¼
    whole = amount.sum(axis=1) / np.maximum(exposed.sum(axis=1), TINY)
    rate = np.where(volumes > 0, amounts / np.maximum(volumes, TINY), whole[:, None])
    unit = np.where(sparse, amount.sum(axis=1) / np.maximum((amount > 0).sum(axis=1), 1), 1.0)[
        :, None
    ]
    here = told & sparse[:, None]
    return (
        np.where(here, series.amount / unit, 0.0),
        np.where(here, rate @ hours.T * series.volume / unit, 0.0),
        sparse,
    )


def without_shift(
    base: Baseline, line: Timeline, off: Floats, width: Floats, index: pd.DatetimeIndex
) -> Timeline:
    """The timeline with the change of level taken out of the observation: what else changed?

    `off` `(series, steps of the observation)` is how far each step is from expected on the
    transformed scale, `width` one standard deviation there. The shift is a running median: of the
    steps around, before or after, whichever is nearest, so that it follows a sharp step as well as
    a ramp.
    """
    n, length = line.before, max(LEAST_SMOOTH, line.after // SMOOTH_PART)
    later = np.where(line.present[:, n:], off, np.nan)
    frame = pd.DataFrame(later.T)
    trailing = frame.rolling(length, min_periods=1).median().to_numpy().T
    leading = frame.iloc[::-1].rolling(length, min_periods=1).median().to_numpy()[::-1].T
    around = frame.rolling(length | 1, center=True, min_periods=1).median().to_numpy().T
    choices = np.stack([around, trailing, leading])
    nearest = np.abs(choices - later).argmin(axis=0)[None]
    rest = np.take_along_axis(later - choices, nearest, axis=0)[0] / width
    x = line.x.copy()
    x[:, n:] = np.where(line.present[:, n:], np.clip(rest, -BOUND, BOUND), 0.0)
    z, known = _whitened(base, x, line.present, index)
    return replace(line, x=x, z=z, known=known)


def _whitened(
    base: Baseline, x: Floats, present: Bools, index: pd.DatetimeIndex
) -> tuple[Floats, Bools]:
    raw, known = noise.innovations(x, present, base.phi)
    apart = np.diff(index.asi8)
    for start in np.flatnonzero(apart > apart.min()) + 1:  # what happened in between is not known
        known[:, start : start + noise.ORDER] &= ~(base.phi != 0).any(axis=1)[:, None]
    z = raw / base.innovation_spread[:, None] - base.innovation_centre[:, None]
    return np.where(known, z / by_hour(base.innovation_hours, base.clock(index).hour), 0.0), known
