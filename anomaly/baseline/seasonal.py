"""The default baseline: a robust season, the level under it, a spread by the hour, and the
autocorrelation of what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from anomaly.baseline import noise, season, transform
from anomaly.baseline.exclusions import exclusion_reasons
from anomaly.baseline.robust import Bools, Floats, Ints, median, mostly_tied, smooth_cyclic, spread
from anomaly.baseline.season import Clock, Season
from anomaly.baseline.transform import forward
from anomaly.model import Calendar, Kpi
from anomaly.panel import Block, block, step_of

BOUND = 6.0  # standard deviations at which residuals are clipped before they are averaged
HOURS = 24
# days of history at which half of an hour's own spread is believed
DAYS_RESIDUAL = 10.0
DAYS_INNOVATION = 1.5
SPREAD_LOW, SPREAD_HIGH = 0.35, 3.5
FEW_ZEROS = 0.05  # share of zeros above which a series is taken as a count of few events
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What other series, or a model, say about these, over the rows of `index`, history and later:
    matrices `(series, time)`.

    `shift` moves the expected value on the transformed scale, `wider` is how much wider than usual
    the spread is, where they say less. `models` names the structural model of each series, empty
    where there is none.
    """

    index: pd.DatetimeIndex
    shift: Floats
    wider: Floats
    models: tuple[str, ...] = ()

    def at(self, index: pd.DatetimeIndex) -> tuple[Floats, Floats]:
        """Shift and widening at the rows of `index`."""
        row = self.index.get_indexer(index)
        return self.shift[:, row], self.wider[:, row]

    def rows(self, keep: Ints) -> Foreseen:
        """What is said about some series."""
        models = tuple(self.models[i] for i in keep) if self.models else ()
        return Foreseen(self.index, self.shift[keep], self.wider[keep], models)

    def after(self, earlier: Foreseen) -> Foreseen:
        """Both together, where these say more about what `earlier` left."""
        shift, wider = earlier.at(self.index)
        return Foreseen(self.index, shift + self.shift, wider * self.wider, earlier.models)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the history says about any later step; matrices have a row per series in the order of
    `keys`.

    A value is transformed, freed of `season` and `level`, and divided by `spread` × the hour's own
    share of it (× the noise of its denominator): the residual, about standard normal. `few` marks
    series of few events, whose level is a mean; `just_on` those of a `Regime` that are so. `phi`
    whitens the residual. `seasonal` and `residual` are those of the `history` itself, each step
    predicted without its own day. Where other series are taken into account (`moved_by`),
    `foreseen` holds what they say, and `seasonal` has it in it.
    """

    keys: tuple[tuple[str, str], ...]
    step: timedelta
    timezone: str
    history: pd.DatetimeIndex
    scale: Floats
    floor: Floats
    few: Bools
    just_on: Bools
    season: Season
    level: Floats
    spread: Floats
    hours: Floats
    volume_noise: Floats
    phi: Floats
    innovation_centre: Floats
    innovation_spread: Floats
    innovation_hours: Floats
    seasonal: Floats
    residual: Floats
    left_out: np.ndarray
    foreseen: Foreseen | None = None

    def clock(self, index: pd.DatetimeIndex) -> Clock:
        """Where the rows of `index` lie in the users' day and week."""
        return season.clock(index, self.step.total_seconds(), self.timezone)

    @property
    def past_season(self) -> Floats:
        """The season at each row of the history, learned from the other days and weeks."""
        if self.foreseen is None:
            return self.seasonal
        return np.asarray(self.seasonal - self.foreseen.at(self.history)[0])

    def location(self, index: pd.DatetimeIndex) -> Floats:
        """Expected value on the transformed scale, `(series, time)`."""
        usual = self.season.at(self.clock(index)) + self.level[:, None]
        return np.asarray(usual if self.foreseen is None else usual + self.foreseen.at(index)[0])

    def width(self, index: pd.DatetimeIndex, volume: Floats) -> Floats:
        """One standard deviation on the transformed scale, `(series, time)`; `volume` is the
        denominator of ratios."""
        when = self.clock(index)
        usual = (
            self.spread[:, None]
            * by_hour(self.hours, when.hour)
            * volume_factor(self.volume_noise, volume)
            * self.season.wider(when)
        )
        return np.asarray(usual if self.foreseen is None else usual * self.foreseen.at(index)[1])

    def surprises(self, present: Bools) -> Floats:
        """The innovations of the history `(series, time)`: what is left of the residuals without
        their autocorrelation, in standard deviations; NaN where steps are not `present`."""
        bounded = np.clip(np.where(present, self.residual, 0.0), -BOUND, BOUND)
        raw, whole = noise.innovations(bounded, present, self.phi)
        z = raw / self.innovation_spread[:, None] - self.innovation_centre[:, None]
        return np.where(whole, z, np.nan)

    def structural_model(self, i: int) -> str | None:
        """What the structural model of series `i` is made of; None where there is none."""
        has_models = self.foreseen is not None and self.foreseen.models
        return has_models[i] or None if has_models else None

    def rows(self, keep: Ints) -> Baseline:
        """The baseline of some series."""
        mine = {name: getattr(self, name)[keep] for name in MATRICES}
        keys = tuple(self.keys[i] for i in keep)
        foreseen = None if self.foreseen is None else self.foreseen.rows(keep)
        season = self.season.rows(keep)
        return replace(self, keys=keys, season=season, foreseen=foreseen, **mine)

    def moved_by(self, foreseen: Foreseen, series: Block) -> Baseline:
        """The baseline with what others foresee taken into account: level, spread and
        autocorrelation are those of what that leaves unexplained.

        `series` is the history that this was fitted to.
        """
        seasonal = self.seasonal + foreseen.at(self.history)[0]
        together = foreseen if self.foreseen is None else foreseen.after(self.foreseen)
        when = self.clock(self.history)
        wider = together.at(self.history)[1] * self.season.wider(when)
        y = forward(series.value, self.scale, self.floor)
        with np.errstate(all="ignore"):
            rest_fields = _unexplained(series, y - seasonal, self.few, when, self.step, wider)
        return replace(self, seasonal=seasonal, foreseen=together, **rest_fields)


MATRICES = tuple(each.name for each in fields(Baseline) if each.type in ("Floats", "Bools"))


@dataclass(frozen=True, slots=True)
class SeasonalBaseline:
    """Fits a `Baseline` to a panel of the history; pure and deterministic."""

    def fit(self, history: pd.DataFrame, kpis: Sequence[Kpi], calendar: Calendar, /) -> Baseline:
        """The baseline of every series of `history` (at least two rows); series without any sample
        get NaN throughout."""
        with np.errstate(all="ignore"):
            return self._fitted(history, kpis, calendar)

    def _fitted(self, history: pd.DataFrame, kpis: Sequence[Kpi], calendar: Calendar) -> Baseline:
        step = step_of(history)
        series = block(history)
        index = pd.DatetimeIndex(history.index)
        when = season.clock(index, step.total_seconds(), calendar.timezone)
        kinds = {kpi.name: kpi.kind for kpi in kpis}
        scale, floor = transform.choose(series.value, [kinds.get(name) for name, _ in series.keys])
        scale = np.where(series.ratio, transform.Scale.IDENTITY, scale)
        y = forward(series.value, scale, floor)
        events, few = _events(series, when)
        scale = np.where(few, transform.Scale.IDENTITY, scale)
        y = np.where(few[:, None], series.value, y)
        present = np.isfinite(y)
        volume = np.where(present, series.volume, 0.0)
        profiles, seasonal = season.learn(y, volume, events, scale == transform.Scale.LOG, when)
        wider = np.broadcast_to(profiles.wider(when), y.shape)
        rest_fields = _unexplained(series, y - seasonal, few, when, step, wider)
        return Baseline(
            keys=series.keys,
            step=step,
            timezone=calendar.timezone,
            history=index,
            scale=scale,
            floor=floor,
            few=few,
            just_on=np.zeros(len(y), dtype=bool),
            season=profiles,
            seasonal=seasonal,
            left_out=exclusion_reasons(index, step, calendar) != "",
            **rest_fields,
        )


def _unexplained(
    series: Block, rest: Floats, few: Bools, when: Clock, step: timedelta, wider: Floats
) -> dict[str, Any]:
    """Level, spread and autocorrelation of the `rest` `(series, time)` that the season leaves, as
    the fields of a `Baseline` with these names."""
    present = np.isfinite(rest)
    level = np.where(few, _mean_level(series, rest), median(rest))
    rest = rest - level[:, None]
    noise_of_volume = _volume_noise(rest, series)
    rest = rest / (volume_factor(noise_of_volume, series.volume) * wider)
    sigma = spread(rest)
    safe = np.where(sigma > 0, sigma, 1.0)
    x = rest / safe[:, None]
    days = rest.shape[1] * step / timedelta(days=1)
    hours = _hours(x, present, when, days, step, DAYS_RESIDUAL)
    x = x / by_hour(hours, when.hour)
    again = spread(x)
    again = np.where(again > 0, again, 1.0)
    x = np.where(present, x / again[:, None], 0.0)
    bounded = np.clip(x, -BOUND, BOUND)
    phi = noise.autoregression(bounded, present)
    raw, whole = noise.innovations(bounded, present, phi)
    z_raw = np.where(whole, raw, np.nan)
    sigma_z = spread(z_raw)
    sigma_z = np.where(sigma_z > 0, sigma_z, 1.0)
    centre = np.nan_to_num(median(z_raw / sigma_z[:, None]))
    z = np.where(whole, raw / sigma_z[:, None] - centre[:, None], 0.0)
    z_hours = _hours(z, whole, when, days, step, DAYS_INNOVATION)
    return {
        "level": level,
        "spread": safe * again,
        "hours": hours,
        "volume_noise": noise_of_volume,
        "phi": phi,
        "innovation_centre": centre,
        "innovation_spread": sigma_z,
        "innovation_hours": z_hours,
        "residual": x,
    }


def by_hour(shares: Floats, hour: Floats) -> Floats:
    """A row per series of `shares` `(series, 24)`, interpolated between the middles of the
    hours."""
    if (shares == 1.0).all():
        return np.ones((len(shares), len(hour)))
    position = hour - 0.5
    low = np.floor(position).astype(int)
    part = position - low
    return np.asarray(shares[:, low % HOURS] * (1 - part) + shares[:, (low + 1) % HOURS] * part)


def volume_factor(noise_of_volume: Floats, volume: Floats) -> Floats:
    """How much noisier than usual a ratio is at this denominator: √(a / volume + b); 1 for
    everything else."""
    out = np.ones(volume.shape)
    thin = np.flatnonzero(noise_of_volume[:, 0])
    if len(thin):
        a, b = noise_of_volume[thin, :1], noise_of_volume[thin, 1:]
        with np.errstate(invalid="ignore", divide="ignore"):
            factor = np.sqrt(a / volume[thin] + b)
        out[thin] = np.where(np.isfinite(factor), factor, 1.0)
    return out


def _events(series: Block, when: Clock) -> tuple[Floats, Bools]:
    """Events per step, and which series count few of them: their medians mean nothing."""
    with np.errstate(all="ignore"):
        finite = np.where(series.present, series.amount, np.nan)
        positive = np.where(finite > 0, finite, np.nan)
        zeros = (finite == 0).sum(axis=1) / np.maximum(series.present.sum(axis=1), 1)
        unit = np.where(series.ratio, 1.0, _least(positive))
        events = np.nan_to_num(_mean(finite) / unit)
        few = (
            (_least(np.where(np.isfinite(finite), finite, np.nan)) >= 0)
            & (zeros > FEW_ZEROS)
            & (events < season.EVENTS)
        )
    rows = np.flatnonzero(few)
    few[rows] = [_events_when_open(finite[row], when) < season.EVENTS for row in rows]
    return np.where(few, events, np.inf), few


def _events_when_open(amount: Floats, when: Clock) -> float:
    """As how many events a step of a series `(time,)` varies at the times of the week at which it
    has some, `mean² / variance` as of a Poisson law: what is shut every night, or every Sunday, and
    steady when open is not rare."""
    present = np.isfinite(amount)
    slot, amount = when.slot[present], amount[present]
    count = np.bincount(slot)
    again = np.maximum(count - 1, 1)
    mean = np.bincount(slot, amount) / np.maximum(count, 1)
    variance = np.bincount(slot, (amount - mean[slot]) ** 2) / again
    weight = np.where(count > 1, count, 0)
    square = mean**2 - variance / np.maximum(count, 1)
    return float((weight * square).sum() / max((weight * variance).sum(), TINY))


def _mean(values: Floats) -> Floats:
    size = np.isfinite(values).sum(axis=1)
    return np.asarray(np.where(size > 0, np.nansum(values, axis=1) / np.maximum(size, 1), np.nan))


def _least(values: Floats) -> Floats:
    least = np.where(np.isfinite(values), values, np.inf).min(axis=1)
    return np.asarray(np.where(np.isfinite(least), least, np.nan))


def _mean_level(series: Block, rest: Floats) -> Floats:
    """Mean of the rest weighted by volume."""
    weight = np.where(np.isfinite(rest), series.volume, 0.0)
    return np.asarray(
        (np.nan_to_num(rest) * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), TINY)
    )


def _volume_noise(rest: Floats, series: Block) -> Floats:
    """`a` and `b` of the variance a / volume + b of ratios, by the squared residuals under and over
    the median volume."""
    out = np.tile([0.0, 1.0], (len(rest), 1))
    for i in np.flatnonzero(series.ratio):
        present = np.isfinite(rest[i])
        squares, inverse = rest[i, present] ** 2, 1 / series.volume[i, present]
        if len(squares) < 2 * season.EVENTS or inverse.max() <= inverse.min():
            continue
        squares = np.minimum(squares, np.quantile(squares, 0.99))
        thin = inverse > np.median(inverse)
        if not thin.any() or thin.all():
            continue
        slope = (squares[thin].mean() - squares[~thin].mean()) / (
            inverse[thin].mean() - inverse[~thin].mean()
        )
        a = np.clip(slope, 0.0, squares.mean() / inverse.mean())
        b = max(squares.mean() - a * inverse.mean(), 0.0)
        total = a * inverse.mean() + b
        out[i] = (a / total, b / total) if total > 0 else (0.0, 1.0)
    return out


def _hours(
    x: Floats, present: Bools, when: Clock, days: float, step: timedelta, half_days: float
) -> Floats:
    """Spread of each hour of the day as a share of the whole, shrunk towards 1 while the days are
    few; `(series, 24)`."""
    if step > timedelta(hours=3) or days < season.MIN_PERIODS or when.phases < season.MIN_PHASES:
        return np.ones((len(x), HOURS))
    bins = HOURS if step <= timedelta(hours=1) else 8
    slot = (when.hour * bins / HOURS).astype(int)
    size = np.where(present, np.clip(np.abs(x), 0.0, 4.0), 0.0)
    first = np.flatnonzero(np.diff(slot, prepend=-1))  # of the steps in one slot, one after another

    def sums(values: Floats) -> Floats:
        stretches = np.add.reduceat(values, first, axis=1)
        return np.stack([np.bincount(slot[first], row, bins) for row in stretches])

    count, total = sums(present.astype(float)), sums(size)
    overall = size.sum(axis=1, keepdims=True) / np.maximum(present.sum(axis=1, keepdims=True), 1)
    mean = smooth_cyclic(np.where(count > 0, total / np.maximum(count, 1), overall), 1)
    share = np.clip(mean / np.maximum(overall, TINY), 0.2, 5.0) ** (days / (days + half_days))
    varies = (overall > 0) & ~mostly_tied(np.where(present, x, np.nan))[
        :, None
    ]  # where most steps are alike the hours say nothing
    share = np.where(varies, np.clip(share, SPREAD_LOW, SPREAD_HIGH), 1.0)
    if bins < HOURS:
        return np.asarray(np.repeat(share, HOURS // bins, axis=1))
    return np.asarray(share)
