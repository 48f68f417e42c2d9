"""History and observation of many series as one timeline of whitened residuals, and the origins at
which the questions are put."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from anomaly.baseline import noise
from anomaly.baseline.robust import Bools, Floats, Ints, quantiles, running_sums, spread
from anomaly.baseline.season import LEAST_WEEKS, Clock
from anomaly.baseline.seasonal import BOUND, HOURS, Baseline, by_hour
from anomaly.baseline.transform import forward
from anomaly.panel import Block, block

SPARSE = 0.2  # share of zeros in the history from which amounts are counted as they are
PLACEBOS = 300  # origins, evenly over the history
MOST_ALIKE = 100  # days at whose time of the release there are origins, too
TAIL = 0.05  # share of the steps in either tail
SAMPLE = 200  # quantiles of the history that stand for its steps
WIDE = 4.0  # standard deviations at which innovations are clipped
FULL = 0.9  # share of steps that are present from which a missing one is an exception
STRAY = 4  # steps in a row that are no outliers
TINY = 1e-300
SKIPPED = 1.5  # lengths of the shortest step: days and months differ by less
# Volatility: steps before the origin, and as many steps' worth of belief that it is as usual.
VOLATILITY_STEPS = 16
# A shift is followed over a quarter of the observation, at least five steps.
LEAST_SMOOTH = 5
SMOOTH_PART = 4


@dataclass(frozen=True)
class Timeline:
    """History and observation in one piece, the transition cut out: matrices `(series, time)`.

    `series` holds the data as collected, `index` their times, and `origins` the rows at which the
    questions are put, the release's last. The first `before` steps are
    history; `gap` steps were cut out after them; `hours` is how long the observation is.

    `residual` holds the standardised deviations from the baseline (NaN where not `present`), `x`
    the same, `bounded`, and 0 where not `present`. `z` holds the innovations, 0 where a step
    `has_innovation` not. `has_sample` marks the steps that are not missing.

    A series is `sparse` if its history is often zero and never less. Then `amount` is the value or
    the numerator, in units of its mean where it is not zero, and `usual` what it is on average at
    that hour, by its volume. Both are 0 where there is no sample, and for all other series.

    `usually` is the share of the past steps at the same time of the week that are present, 1 for
    series that hardly miss any.

    `season` is the shape of the season, around 0 and of spread 1 (0 throughout where there is
    none), `phi` `(series, ORDER)` the autoregression.
    """

    series: Block
    index: pd.DatetimeIndex
    origins: Ints
    before: int
    gap: int
    hours: float
    residual: Floats
    x: Floats
    present: Bools
    z: Floats
    has_innovation: Bools
    has_sample: Bools
    usually: Floats
    amount: Floats
    usual: Floats
    sparse: Bools
    season: Floats
    phi: Floats

    @property
    def after(self) -> int:
        """Steps of the observation."""
        return int(self.x.shape[1]) - self.before

    @cached_property
    def x_sums(self) -> Floats:
        """Running sums of `x`."""
        return running_sums(self.x)

    @cached_property
    def present_sums(self) -> Floats:
        """Running sums of `present`."""
        return running_sums(self.present)

    @cached_property
    def strays(self) -> Bools:
        """Which series are farther off than `BOUND` for `STRAY` steps in a row, and count many
        events `(series,)`."""
        out = np.zeros(len(self.x), dtype=bool)
        rows = np.flatnonzero((np.abs(self.x) > BOUND).any(axis=1) & ~self.sparse)
        for sign in (1.0, -1.0):
            runs = running_sums(sign * self.x[rows] > BOUND)
            out[rows] |= (runs[:, STRAY:] - runs[:, :-STRAY] == STRAY).any(axis=1)
        return out

    @cached_property
    def clipped(self) -> Floats:
        """The innovations within `WIDE`."""
        return np.asarray(np.clip(self.z, -WIDE, WIDE))

    @cached_property
    def clipped_sums(self) -> Floats:
        """Running sums of the `clipped` innovations."""
        return running_sums(self.clipped)

    @cached_property
    def square_sums(self) -> Floats:
        """Running sums of their squares."""
        return running_sums(self.clipped**2)

    @cached_property
    def innovation_sums(self) -> Floats:
        """Running sums of where there is an innovation."""
        return running_sums(self.has_innovation)

    @cached_property
    def usual_sums(self) -> Floats:
        """Running sums of how many steps are usually present, `(series, time + 1)`; one row where
        that is all."""
        if (self.usually == 1).all():
            return np.arange(self.x.shape[1] + 1.0)[None]
        return running_sums(self.usually)

    @cached_property
    def volatility(self) -> Floats:
        """How large the innovations just before each origin were, relative to the whole history's:
        `(series, origins)`, about 1.

        Where the spread comes and goes, a series must move more while it is volatile to be
        surprising.
        """
        past = slice(self.before)
        usual = (self.clipped[:, past] ** 2).sum(axis=1, keepdims=True) / np.maximum(
            self.has_innovation[:, past].sum(axis=1, keepdims=True), 1
        )
        origin = self.origins
        end = np.maximum(np.where(origin == self.before, origin, origin - self.gap), 0)
        begin = np.maximum(end - VOLATILITY_STEPS, 0)

        def within(sums: Floats) -> Floats:
            return np.asarray(sums.take(end, axis=1) - sums.take(begin, axis=1))

        count, first = within(self.innovation_sums), within(self.clipped_sums)
        second = within(self.square_sums)
        # around their own mean: a level that changed is not volatile
        around = np.maximum(second - first**2 / np.maximum(count, 1), 0.0)
        has_spread = usual > 0
        volatility = np.sqrt(
            (around + VOLATILITY_STEPS * usual)
            / (count + VOLATILITY_STEPS)
            / np.where(has_spread, usual, 1.0)
        )
        return np.asarray(np.where(has_spread, volatility, 1.0))

    @cached_property
    def innovation_quantiles(self) -> Floats:
        """Quantiles `(series, 2 + SAMPLE)` of the innovations of the history: those of both tails,
        and those that stand for all; 0 without any."""
        has_innovation, z = self.has_innovation[:, : self.before], self.z[:, : self.before]
        return sample_of(z, has_innovation)

    @property
    def value(self) -> Floats:
        """The values as collected."""
        return self.series.value

    @property
    def later(self) -> pd.DatetimeIndex:
        """The times of the observation."""
        return self.index[self.before :]

    def rows(self, keep: Ints) -> Timeline:
        """The timeline of some series."""
        matrices = {name: getattr(self, name)[keep] for name in MATRICES}
        return replace(self, series=self.series.of(keep), **matrices)


MATRICES = tuple(each.name for each in fields(Timeline) if each.type in ("Floats", "Bools"))


def sample_of(values: Floats, mask: Bools) -> Floats:
    """Quantiles of each row where `mask` is True, as `Timeline.innovation_quantiles`."""
    middle = (np.arange(SAMPLE) + 0.5) / SAMPLE
    values = values if mask.all() else np.where(mask, values, np.nan)
    return np.nan_to_num(quantiles(values, np.concatenate([[TAIL, 1 - TAIL], middle])))


def origins(clock: Clock, before: int, first: int = 0) -> Ints:
    """Placebo origins, oldest first, and the release itself, last: evenly over the history since
    its `first` row, and at the release's own time of every day, so that what recurs then is no
    surprise. Series of one age (see `Regime`) have the same ones."""
    first = max(0, min(first, before - 2))  # one placebo origin at least
    evenly = np.arange(before, first, -max(1, -(-(before - first - 2) // PLACEBOS)))
    alike = np.flatnonzero(clock.phase[:before] == clock.phase[before])
    if clock.phases == 1 or len(alike) > MOST_ALIKE:
        alike = alike[:0]
    return np.unique(np.concatenate([evenly, alike[alike > first]]))


def timeline(
    base: Baseline, history: pd.DataFrame, observation: pd.DataFrame, gap: int
) -> Timeline:
    """The timeline of two panels with the same columns and `gap` steps between them.

    `base` is fitted to `history`.
    """
    whole = pd.concat([history, observation])
    series, index, before = block(whole), pd.DatetimeIndex(whole.index), len(history)
    later, after = series.rows(before, len(index)), index[before:]
    y = forward(later.value, base.scale, base.floor)
    deviation = (y - base.location(after)) / base.width(after, later.volume)
    past = np.where(np.isfinite(series.value[:, :before]), base.residual, np.nan)
    residual = np.concatenate([past, deviation], axis=1)
    present = np.isfinite(residual)
    x = bounded(np.where(present, residual, 0.0), BOUND)
    clock = base.clock(index)
    z, has_innovation = _whitened(base, x, present, index)
    has_innovation &= ~_shut(base, series.value, clock)
    has_sample = series.present.copy()
    has_sample[:, :before] |= base.left_out  # what was left out is not missing
    amount, usual, sparse = _amounts(series, base.residual, clock.hour)
    lasts = before - int(series.present[:, :before].any(axis=0).argmax())
    return Timeline(
        series=series,
        index=index,
        origins=origins(clock, before, before - before // 2 ** int(np.log2(before / lasts))),
        before=before,
        gap=gap,
        hours=(len(index) - before) * (base.step / timedelta(hours=1)),
        residual=residual,
        x=x,
        present=present,
        z=np.where(has_innovation, z, 0.0),
        has_innovation=has_innovation,
        has_sample=has_sample,
        usually=_usually(present, before, clock),
        amount=amount,
        usual=usual,
        sparse=sparse,
        season=_shape(
            np.concatenate([base.past_season, base.season.at(clock)[:, before:]], axis=1)
        ),
        phi=base.phi,
    )


def bounded(values: Floats, bound: float) -> Floats:
    """Values that grow with their logarithm beyond `bound`: no single one counts for many, yet a
    larger one never counts for less."""
    out = np.clip(values, -bound, bound)
    far = np.abs(values) > bound
    out[far] *= 1 + np.log(np.abs(values[far]) / bound)
    return np.asarray(out)


def _shut(base: Baseline, value: Floats, clock: Clock) -> Bools:
    """Which steps are 0 as they always were at their time of the week: they say nothing of how
    large the noise is when there is something. None where there is something at such a time now."""
    n, shut = len(base.history), np.zeros(value.shape, bool)
    slot, weeks = clock.slot, np.bincount(clock.slot[:n], minlength=7 * clock.phases)
    for row in np.flatnonzero(~base.few & (value[:, :n] == 0).any(axis=1)):
        zeros = np.bincount(slot[:n], value[row, :n] == 0, minlength=len(weeks))
        usually = ((zeros == weeks) & (weeks >= LEAST_WEEKS))[slot]
        if not np.nan_to_num(value[row, usually]).any():
            shut[row] = usually
    return shut


def _usually(present: Bools, before: int, clock: Clock) -> Floats:
    """`Timeline.usually`; by the time of the day where there are less than two weeks."""
    out = np.broadcast_to(1.0, present.shape)
    past = present[:, :before]
    rows = np.flatnonzero(past.mean(axis=1) < FULL)
    for row in rows:
        if not out.flags.writeable:
            out = out.copy()
        first = int(past[row].argmax())
        slot, slots = clock.slot, 7 * clock.phases
        if before - first < 2 * slots:
            slot, slots = clock.phase, clock.phases
        times = slot[first:before]
        count = np.bincount(times, minlength=slots)
        sampled = np.bincount(times, past[row, first:], minlength=slots)
        share = np.where(count > 0, sampled / np.maximum(count, 1), past[row, first:].mean())
        out[row, first:] = share[slot[first:]]
    return out


def _shape(season: Floats) -> Floats:
    """A season without its height, clipped like the residuals that the autoregression is learned
    from."""
    size = spread(season)[:, None]
    shape = np.clip(season / np.where(size > 0, size, 1.0), -noise.CLIP, noise.CLIP)
    return np.asarray(shape - shape.mean(axis=1, keepdims=True))


def _amounts(series: Block, past_residual: Floats, hour: Floats) -> tuple[Floats, Floats, Bools]:
    """`amount`, `usual` and `sparse` of a timeline; only steps of the history with a residual
    teach."""
    before, has_value = past_residual.shape[1], np.isfinite(series.value)
    past = np.isfinite(past_residual) & has_value[:, :before]
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
    volume = np.where(past, series.volume[:, :before], 0.0)
    amounts, volumes = _by_hour(amount, hours[:before]), _by_hour(volume, hours[:before])
    total = amount.sum(axis=1)
    overall = total / np.maximum(volume.sum(axis=1), TINY)
    rate = np.where(volumes > 0, amounts / np.maximum(volumes, TINY), overall[:, None])
    mean = total / np.maximum((amount > 0).sum(axis=1), 1)
    unit = np.where(sparse, mean, 1.0)[:, None]
    counts = has_value & sparse[:, None]
    return (
        np.where(counts, series.amount / unit, 0.0),
        np.where(counts, rate @ hours.T * series.volume / unit, 0.0),
        sparse,
    )


def _by_hour(values: Floats, hours: Bools) -> Floats:
    """Sums by hour of the day, smoothed over three hours with weights ¼, ½, ¼ (times 4)."""
    sums = values @ hours
    return np.asarray(np.roll(sums, -1, axis=1) + 2 * sums + np.roll(sums, 1, axis=1))


def without_shift(base: Baseline, line: Timeline, off: Floats, width: Floats) -> Timeline:
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
    return without_change(base, line, np.clip(rest, -BOUND, BOUND))


def without_change(base: Baseline, line: Timeline, deviation: Floats) -> Timeline:
    """The timeline with the standardised deviations `(series, steps of the observation)` that are
    left of a change."""
    n, out = line.before, with_deviation(base, line, deviation)
    is_autocorrelated = (base.phi != 0).any(axis=1)[:, None]
    # from the level of the history to none is a jump that nothing but this made
    has_innovation = out.has_innovation.copy()
    has_innovation[:, n : n + noise.ORDER] &= ~is_autocorrelated
    return replace(out, z=np.where(has_innovation, out.z, 0.0), has_innovation=has_innovation)


def with_deviation(base: Baseline, line: Timeline, deviation: Floats) -> Timeline:
    """The timeline with other standardised deviations `(series, steps of the observation)`."""
    n, x = line.before, line.x.copy()
    x[:, n:] = np.where(line.present[:, n:], bounded(deviation, BOUND), 0.0)
    z, _ = _whitened(base, x, line.present, line.index)
    return replace(line, x=x, z=np.where(line.has_innovation, z, 0.0))


def _whitened(
    base: Baseline, x: Floats, present: Bools, index: pd.DatetimeIndex
) -> tuple[Floats, Bools]:
    """Standardised innovations, 0 where there is none, and where there is one."""
    raw, has_innovation = noise.innovations(x, present, base.phi)
    apart = np.diff(index.asi8)
    is_autocorrelated = (base.phi != 0).any(axis=1)[:, None]
    for start in np.flatnonzero(apart > SKIPPED * apart.min()) + 1:  # steps are missing before it
        has_innovation[:, start : start + noise.ORDER] &= ~is_autocorrelated
    z = raw / base.innovation_spread[:, None] - base.innovation_centre[:, None]
    z = z / by_hour(base.innovation_hours, base.clock(index).hour)
    return np.where(has_innovation, z, 0.0), has_innovation
