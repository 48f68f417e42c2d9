"""A structural model where points are few and slow: what it foresees beyond season and level.

A level that wanders or grows and a week that may change are the hidden states of a model that the
Kalman filter follows (Harvey 1989; `UnobservedComponents` of statsmodels). It is used for a series
only if it would have foreseen the history, as far ahead as the observation lies, clearly better
than a fixed season and level.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from anomaly.baseline.correlogram import correlogram
from anomaly.baseline.ridge import weights
from anomaly.baseline.robust import Bools, Floats, mostly_tied, spread
from anomaly.baseline.season import DAYS_OF_A_WEEK
from anomaly.baseline.seasonal import Baseline, Foreseen
from anomaly.baseline.transform import forward
from anomaly.panel import Block, block

SLOW = timedelta(days=1)  # the shortest step of a series that is modelled
MONTHS_OF_A_YEAR = 12
MONTH = timedelta(days=28), timedelta(days=31)
LEARNED = 14  # steps, and a season and more, after which states are worth a forecast
LEVEL, TREND = "llevel", "strend"  # what statsmodels calls a local level and a smooth trend
FITTED = 400  # steps, the last ones, that the ratio of variances is fitted to
# Variances of the moves of a level, or of the slope of a trend, that are tried; the noise has 1.
RATIOS = {
    LEVEL: (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    TREND: (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
}
FIRST_RATIO = 0.1  # for a first look at what surprises
LEAST_PRESENT = 0.8  # share of the history that has values
LEAST_WATCHES = 4  # that a model is tried at
SURELY_LEFT = 0.01  # p-value of an autocorrelation under which there is something to foresee
OUTLIER = 6.0  # standard deviations of an innovation that the states do not follow
MOST_OUTLIERS = 0.05  # share of the history; what is more frequent belongs to the series
MARGIN = 0.9  # share of the error of season and level that a model may leave
CLEAR = 1.0  # standard errors by which the errors must differ, too
WIDEST = 10.0  # times the usual width
NAMES = {LEVEL: "level", TREND: "trend"}
SEASONS = {0: "", DAYS_OF_A_WEEK: " and week", MONTHS_OF_A_YEAR: " and year"}


@dataclass(frozen=True, slots=True)
class _Watch:
    """The steps to foresee: so many, after a `gap` of steps that are left out."""

    gap: int
    steps: int

    @property
    def reach(self) -> int:
        """Steps from the end of the history to the end of the watch."""
        return self.gap + self.steps


@dataclass(frozen=True, slots=True)
class _Link:
    """How a model sees a series: around a `middle`, in multiples of a `unit`; with `log`, its
    logarithm, for a week that grows with the level."""

    log: bool
    middle: float
    unit: float

    @classmethod
    def of(cls, y: Floats, *, log: bool) -> _Link:
        seen = np.log(y) if log else y
        return cls(log, float(np.nanmedian(seen)), float(spread(seen[None])[0]))

    def forward(self, y: Floats) -> Floats:
        return np.asarray(((np.log(y) if self.log else y) - self.middle) / self.unit)

    def back(self, seen: Floats) -> Floats:
        y = seen * self.unit + self.middle
        return np.asarray(np.exp(y) if self.log else y)

    def back_width(self, expected: Floats, width: Floats) -> Floats:
        """The width there, where `expected` and `width` are as the model has them."""
        return np.asarray(width * self.unit * (self.back(expected) if self.log else 1.0))


@dataclass(frozen=True, slots=True)
class _Filter:
    """A Kalman filter that has seen a series: the `state` `(states, time + 1)` foreseen before each
    step and its covariance, and the matrices of the model."""

    state: Floats
    covariance: Floats
    design: Floats
    transition: Floats
    state_noise: Floats
    noise: float

    def ahead(self, step: int, watch: _Watch) -> tuple[Floats, Floats]:
        """Expected value and standard deviation of each step of a watch, of which the `gap` begins
        before `step`."""
        state, covariance = self.state[:, step], self.covariance[:, :, step]
        expected, variance = np.empty((2, watch.reach))
        for i in range(watch.reach):
            expected[i] = self.design @ state
            variance[i] = self.design @ covariance @ self.design + self.noise
            state = self.transition @ state
            covariance = self.transition @ covariance @ self.transition.T + self.state_noise
        return expected[watch.gap :], np.sqrt(variance[watch.gap :])

    def errors(self, y: Floats, more: Floats, link: _Link, watch: _Watch) -> Floats:
        """How far the mean over a watch was from foreseen, from each step on `(steps,)`; `more` is
        what the controls add to the steps of `y`."""
        design = self.design @ np.linalg.matrix_power(self.transition, watch.gap)
        count = len(y) - watch.reach + 1
        off = np.empty((watch.steps, count))
        for i in range(watch.steps):
            foreseen = design @ self.state[:, :count] + more[watch.gap + i :][:count]
            off[i] = y[watch.gap + i :][:count] - link.back(foreseen)
            design = design @ self.transition
        return _mean(off)


@dataclass(frozen=True, slots=True)
class _Structure:
    """What a model is made of: a level or a trend that changes, and a season of so many steps."""

    trend: str
    period: int

    @property
    def name(self) -> str:
        return NAMES[self.trend] + SEASONS[self.period]

    def filtered(self, y: Floats, ratio: float) -> Any:
        """What a Kalman filter makes of `y` if the states move by this `ratio` of the variance of
        the noise, which is 1."""
        return _filtered(self._model(y), ratio)

    def _model(self, y: Floats) -> Any:
        from statsmodels.tsa.statespace.structural import UnobservedComponents

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a model that fits badly is not chosen
            return UnobservedComponents(
                y, self.trend, seasonal=self.period or None, stochastic_seasonal=False
            )

    def weights(self, y: Floats, controls: Floats, ratio: float, burn_in: int) -> Floats:
        """How much of each of the `controls` `(controls, time)` is in `y`: of both is compared
        what the states could not foresee (a generalized least squares), without the steps of the
        `burn_in`."""
        if not len(controls):
            return np.empty(0)
        there, whitened = np.isfinite(y), []
        for each in (y, *controls):
            results = self.filtered(np.where(there, each, np.nan), ratio)
            deviation = np.sqrt(results.forecasts_error_cov[0, 0, burn_in:])
            whitened.append((results.forecasts_error[0, burn_in:] / deviation)[there[burn_in:]])
        aim, moves = whitened[0], np.stack(whitened[1:])
        return weights(moves @ moves.T, moves @ aim, float(aim @ aim), len(aim))

    def likeliest(self, y: Floats, burn_in: int) -> float:
        """The ratio of those tried under which the steps after the `burn_in` are likeliest,
        whatever the variance of the noise."""
        model, present = self._model(y), np.isfinite(y[burn_in:])

        def likelihood(ratio: float) -> float:  # its logarithm, up to a constant
            results = _filtered(model, ratio)
            variance = results.forecasts_error_cov[0, 0, burn_in:][present]
            square = results.forecasts_error[0, burn_in:][present] ** 2 / variance
            return -float(len(square) * np.log(square.mean()) + np.log(variance).sum()) / 2

        return max(RATIOS[self.trend], key=likelihood)


def _filtered(model: Any, ratio: float) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as where the model is made
        return model.filter(np.array([1.0, ratio]), return_ssm=True)


@dataclass(frozen=True, slots=True)
class _Model:
    """A structural model of one series, forward and backward in time; `errors` say how far the mean
    over a watch was from foreseen. What the controls add, as the link has it, is `more` `(time +
    reach,)`; `weights` say how much each is worth."""

    structure: _Structure
    link: _Link
    forth: _Filter
    back: _Filter
    errors: Floats
    more: Floats
    weights: Floats

    def forecasts(self, watch: _Watch, burn_in: int) -> tuple[Floats, Floats]:
        """Expected value and standard deviation of the steps of the history, and of those up to the
        end of the watch, `(time + reach,)`.

        The history is foreseen watch by watch, the last one ending where the history does. What
        lies in the `burn_in`, before which too little is known, is foreseen from what comes after.
        """
        n = self.forth.state.shape[1] - 1
        out = np.full((2, n + watch.reach), np.nan)
        out[:, n + watch.gap :] = self.forth.ahead(n, watch)
        start = n
        while start - watch.reach >= burn_in:
            start -= watch.steps
            out[:, start : start + watch.steps] = self.forth.ahead(start - watch.gap, watch)
        for stop in range(start, 0, -watch.steps):
            foreseen = np.stack(self.back.ahead(n - stop - watch.gap, watch))
            out[:, max(0, stop - watch.steps) : stop] = foreseen[:, :stop][:, ::-1]
        expected = out[0] + self.more
        return self.link.back(expected), self.link.back_width(expected, out[1])


def with_structure(base: Baseline, history: pd.DataFrame, later: pd.DatetimeIndex) -> Baseline:
    """The baseline, moved by what a structural model foresees of the `history` and of the rows
    `later`, for each series of slow steps of which it foresees clearly more.

    `base` is fitted to `history`. A model that cannot be fitted changes nothing.
    """
    if base.step < SLOW or len(later) == 0:
        return base
    ahead = np.rint((later - base.history[-1]) / base.step).astype(int)  # days are not all alike
    watch = _Watch(int(ahead[0]) - 1, int(ahead[-1] - ahead[0]) + 1)
    n, period = len(history), _period(base.step)
    burn_in = max(LEARNED, period + 3)
    if n < 2 * (burn_in + watch.gap) + LEAST_WATCHES * watch.steps:
        return base
    series = block(history)
    y = forward(series.value, base.scale, base.floor)
    rows = pd.DatetimeIndex(base.history.append(later))
    columns = np.concatenate([np.arange(n), n - 1 + ahead])
    clock = base.clock(rows)
    usual = np.concatenate([base.seasonal, base.season.at(clock)[:, n:]], axis=1)
    month = base.season.of_month(clock)
    shift, wider, models = np.zeros_like(usual), np.ones_like(usual), [""] * len(y)
    with np.errstate(all="ignore"):
        for i in np.flatnonzero(_may_foresee(base, series)):
            rest = y[i] - base.seasonal[i] - base.level[i]
            model = _best(y[i] - month[i, :n], rest, period, watch, burn_in)
            if model is not None:
                expected, width = model.forecasts(watch, burn_in)
                models[i] = model.structure.name
                shift[i] = expected[columns] + month[i] - usual[i]
                wider[i] = np.minimum(width / np.median(width[:n]), WIDEST)[columns]
    if not any(models):
        return base
    return base.moved_by(Foreseen(rows, shift, wider, tuple(models)), series)


@dataclass(frozen=True, slots=True)
class Beside:
    """What a model with some controls in it foresees of one series: by how much more than the
    baseline does (`shift`, on the transformed scale), and how much wider than usual its spread is
    (`wider`), `(time,)`; and how much each of the controls is worth."""

    shift: Floats
    wider: Floats
    weights: Floats


def beside_controls(
    base: Baseline,
    value: Floats,
    row: int,
    controls: Floats,
    rest: Floats,
    index: pd.DatetimeIndex,
    gap: int,
) -> Beside | None:
    """What a structural model with some `controls` `(controls, time)` in it foresees of series
    `row`, of `SLOW` steps, whose values are `value` `(time,)`; None where that is not clearly more
    than what leaves the `rest` of its history (on the transformed scale).

    The rows of `index` are the history and, after a `gap` of steps, what comes later.
    """
    n = len(rest)
    watch, period = _Watch(gap, len(index) - n), _period(base.step)
    burn_in = max(LEARNED, period + 3)
    is_long = n >= 2 * (burn_in + gap) + LEAST_WATCHES * watch.steps
    if not is_long or base.few[row] or mostly_tied(value[None, :n])[0]:
        return None
    own, clock = base.rows(np.array([row])), base.clock(index)
    month = own.season.of_month(clock)[0]
    usual = np.concatenate([own.seasonal[0] + own.level, own.location(index[n:])[0]])
    y = forward(value[None, :n], own.scale, own.floor)[0] - month[:n]
    if np.isfinite(y).mean() < LEAST_PRESENT:
        return None
    apart = np.full((len(controls), gap), np.nan)
    beside = np.hstack([controls[:, :n], apart, controls[:, n:]])
    with np.errstate(all="ignore"):
        model = _best(y, rest, period, watch, burn_in, beside)
        if model is None or not model.weights.any():
            return None
        between = np.arange(n, n + gap)
        expected, width = (np.delete(each, between) for each in model.forecasts(watch, burn_in))
        wider = np.minimum(width / np.median(width[:n]), WIDEST)
    return Beside(expected + month - usual, wider, model.weights)


def _period(step: timedelta) -> int:
    """Steps of a season; 0 where there is none."""
    if step == SLOW:
        return DAYS_OF_A_WEEK
    return MONTHS_OF_A_YEAR if MONTH[0] <= step <= MONTH[1] else 0


def _may_foresee(base: Baseline, series: Block) -> Bools:
    """Of which series a model may foresee more: where season and level leave an autocorrelation."""
    present = np.isfinite(series.value)
    out = (present.mean(axis=1) >= LEAST_PRESENT) & ~base.few & ~mostly_tied(series.value)
    for i in np.flatnonzero(out):
        left = correlogram(np.where(present[i], base.residual[i], np.nan))
        out[i] = left is not None and left.p_value < SURELY_LEFT
    return np.asarray(out)


def _best(
    y: Floats,
    rest: Floats,
    period: int,
    watch: _Watch,
    burn_in: int,
    controls: Floats | None = None,
) -> _Model | None:
    """The model that would have foreseen `y` `(time,)` best, with the `controls` `(controls, time +
    reach)` in it; None where that is not clearly better than what leaves the `rest`: season and
    level, or what else there is."""
    beside = np.empty((0, len(y) + watch.reach)) if controls is None else controls
    links = [_Link.of(y, log=False)]
    if np.nanmin(y) > 0:
        links.append(_Link.of(y, log=True))
    models = [
        _best_seen(y, beside, link, period, watch, burn_in) for link in links if link.unit > 0
    ]
    best = min(models, key=_error, default=None)
    plain = _plain_errors(rest, watch, burn_in)
    return best if best is not None and _is_clear(best.errors, plain, watch.steps) else None


def _best_seen(
    y: Floats, controls: Floats, link: _Link, period: int, watch: _Watch, burn_in: int
) -> _Model:
    """The model that would have foreseen `y` best, all seen by the same link."""
    seen, n = link.forward(y), len(y)
    beside = np.empty_like(controls)
    for i, each in enumerate(controls):
        beside[i] = _seen_alike(each, link, n)
    past = beside[:, :n]
    innovation = _Structure(LEVEL, period).filtered(seen, FIRST_RATIO).standardized_forecasts_error
    surprise = np.where(np.isfinite(y) & (np.arange(len(y)) >= burn_in), innovation[0], np.nan)
    outlier = np.abs(surprise) > OUTLIER * spread(surprise[None])[0]
    followed = np.where(outlier & (outlier.mean() <= MOST_OUTLIERS), np.nan, seen)

    def tried(structure: _Structure) -> _Model:
        rest = followed - structure.weights(followed, past, FIRST_RATIO, burn_in) @ past
        ratio = structure.likeliest(rest[-FITTED:], burn_in)
        worth = structure.weights(followed, past, ratio, burn_in)
        more = worth @ beside
        rest = followed - more[:n]
        forth = _filter(structure.filtered(rest, ratio))
        back = _filter(structure.filtered(rest[::-1].copy(), ratio))
        errors = forth.errors(y, more, link, watch)[burn_in:]
        return _Model(structure, link, forth, back, errors, more, worth)

    by_level = [tried(_Structure(LEVEL, season)) for season in sorted({period, 0})]
    best = min(by_level, key=_error)
    return min(best, tried(_Structure(TREND, best.structure.period)), key=_error)


def _seen_alike(control: Floats, link: _Link, n: int) -> Floats:
    """A control as a link sees a series, around its own middle and in multiples of its own spread
    in the first `n` steps; 0 where it is missing."""
    seen = np.log(control) if link.log and np.nanmin(control) > 0 else control
    unit = float(spread(seen[None, :n])[0])
    if unit == 0:
        return np.zeros_like(seen)
    return np.nan_to_num((seen - np.nanmedian(seen[:n])) / unit)


def _error(model: _Model) -> float:
    return float(np.nanmean(np.abs(model.errors)))


def _filter(results: Any) -> _Filter:
    selection = results.selection[:, :, 0]
    return _Filter(
        state=results.predicted_state,
        covariance=results.predicted_state_cov,
        design=results.design[0, :, 0],
        transition=results.transition[:, :, 0],
        state_noise=selection @ results.state_cov[:, :, 0] @ selection.T,
        noise=float(results.obs_cov[0, 0, 0]),
    )


def _plain_errors(rest: Floats, watch: _Watch, burn_in: int) -> Floats:
    """The errors of season and level instead, which leave the `rest`: with the level, that of the
    whole history or of the last steps, that foresees best."""
    mean = _mean(sliding_window_view(rest, watch.reach)[:, watch.gap :].T)
    best = mean[burn_in:]
    for lag in sorted({max(4, watch.steps // 4), watch.steps, 4 * watch.steps}):
        if lag > len(rest) // 2:
            continue
        level = np.full(len(mean), np.nan)
        level[lag:] = _mean(sliding_window_view(rest, lag).T)[: len(mean) - lag]
        errors = (mean - level)[burn_in:]
        if np.nanmean(np.abs(errors)) < MARGIN * np.nanmean(np.abs(best)):
            best = errors
    return np.asarray(best)


def _is_clear(errors: Floats, plain: Floats, steps: int) -> bool:
    """Whether errors of means over so many `steps` are smaller by a margin, and by more than chance
    does (Diebold and Mariano 1995)."""
    both = np.isfinite(errors) & np.isfinite(plain)
    own, other = np.abs(errors[both]), np.abs(plain[both])
    better = other - own
    chance = better.std() / np.sqrt(max(len(better) / steps, 1.0))
    return bool(own.mean() < MARGIN * other.mean() and better.mean() > CLEAR * chance)


def _mean(values: Floats) -> Floats:
    """Means of the columns over what is present, NaN where nothing is."""
    present = np.isfinite(values)
    count = present.sum(axis=0)
    total = np.where(present, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
