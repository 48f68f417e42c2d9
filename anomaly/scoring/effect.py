"""How large the change is, in the KPI's unit, and how sure that is: the same estimate at every placebo release says it.

Expected is the season on a level; the level is that of the whole history or that of the last steps before the origin,
whichever would have foreseen the placebo releases better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from anomaly.baseline.robust import Bools, Floats
from anomaly.baseline.seasonal import Baseline
from anomaly.baseline.transform import Scale
from anomaly.panel import Block
from anomaly.scoring.questions import Timeline, origins
from anomaly.scoring.replay import spread_of

PRIOR = 4.0  # windows' worth of belief in the spread that the autoregression implies
MARGIN = 0.9  # a local level must be this much better to be preferred to the whole history's
TWO_SIDED, BAND = 0.975, 0.995
SAMPLED_STEPS = 16
ENOUGH_FOR_QUANTILES = 400
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Effects:
    """Per series `(series,)`; `lag` is the length of the anchor (0: the whole history); matrices `(series, post steps)`.

    `move` is the change on the linked scale (log for multiplicative noise, square root for counts, else the unit), `error`
    its standard error with `freedom` degrees of freedom; `link` says which (`transform.Scale`).
    """

    observed: Floats
    expected: Floats
    link: Floats
    unit: Floats
    move: Floats
    error: Floats
    freedom: Floats
    lag: np.ndarray
    anchor: Floats
    at: Floats
    lower: Floats
    upper: Floats
    z: Floats

    def shift(self, i: int, move: float) -> tuple[float | None, float]:
        """Relative (None where expected is 0) and absolute effect that a `move` on the linked scale means for series `i`."""
        expected = float(self.expected[i])
        if self.link[i] == Scale.IDENTITY:
            absolute = move * float(self.unit[i])
            return (absolute / abs(expected) if expected != 0 else None), absolute
        relative = float(np.exp(min(move, 700.0)) - 1) if self.link[i] == Scale.LOG else max(1 + move, 0.0) ** 2 - 1
        return relative, relative * expected

    def half_width(self, i: int, probability: float = TWO_SIDED) -> float:
        """Half of the interval on the linked scale."""
        return float(stdtrit(self.freedom[i], probability) * self.error[i])


def estimate(base: Baseline, series: Block, line: Timeline, index: pd.DatetimeIndex) -> Effects:
    """Effects of the release on every series of the block (history and observation, the transition cut out)."""
    n = line.before
    location = np.concatenate([base.seasonal + base.level[:, None], base.location(index[n:])], axis=1)
    width = base.width(index, series.volume)
    seen = np.isfinite(series.value)
    least = np.where(seen, series.value, np.inf)[:, :n].min(axis=1)
    link = np.where(series.ratio | (least >= 0) & (base.scale == Scale.IDENTITY), Scale.ROOT, base.scale).astype(float)
    unit = np.maximum(base.spread, TINY)
    sums = _Totals(series, seen, location, base.scale)
    origin = origins(n)
    after = line.after
    keep = (origin + after <= n) | (origin == n)
    origin = origin[keep]
    choices = [0, *sorted({max(4, after // 4), after, 4 * after})]
    best: dict[str, Floats] = {}
    count = len(series.keys)
    parametric = _parametric(base, line, seen, link, unit, sums)
    for lag in choices:
        if lag > n // 2 or (lag and origin[0] < 0):
            continue
        anchor = _anchors(line, origin, lag)
        observed, expected = sums.means(origin, after, anchor * base.spread[:, None])
        move = _link(observed, expected, link, unit)
        centre, error, freedom = _null(move, origin, after, parametric)
        if not best:
            best = {"error": error, "centre": centre, "freedom": freedom, "lag": np.zeros(count), "anchor": anchor[:, -1],
                    "observed": observed[:, -1], "expected": expected[:, -1], "move": move[:, -1]}  # fmt: skip
            continue
        better = np.isfinite(move[:, -1]) & (error < MARGIN * best["error"])
        fresh = {"error": error, "centre": centre, "freedom": freedom, "lag": np.full(count, float(lag)), "anchor": anchor[:, -1],
                 "observed": observed[:, -1], "expected": expected[:, -1], "move": move[:, -1]}  # fmt: skip
        best = {name: np.where(better, fresh[name], best[name]) for name in best}
    expected = _unlink(best["expected"], best["centre"], link, unit)
    correction = np.where(link == Scale.IDENTITY, best["centre"] * unit, 0.0)[:, None]
    factor = np.where((link != Scale.IDENTITY) & (best["expected"] > 0), expected / np.where(best["expected"] > 0, best["expected"], 1.0), 1.0)[:, None]
    shifted = location[:, n:] + (best["anchor"] * base.spread)[:, None]
    low, high = _band(base, line, best["lag"].astype(int))
    lower, at, upper = (_natural(shifted + q * width[:, n:], base.scale, link) * factor + correction for q in (low[:, None], 0.0, high[:, None]))
    y = _forward(series.value[:, n:], base)
    return Effects(
        best["observed"], expected, link, unit, best["move"] - best["centre"], best["error"], best["freedom"],
        best["lag"].astype(int), best["anchor"], at, lower, upper, (y - shifted) / width[:, n:],
    )  # fmt: skip


def _forward(value: Floats, base: Baseline) -> Floats:
    from anomaly.baseline.transform import forward  # noqa: PLC0415

    return forward(value, base.scale, base.floor)


def _natural(y: Floats, scale: Floats, link: Floats) -> Floats:
    from anomaly.baseline.transform import back  # noqa: PLC0415

    out = back(y, scale)
    return np.where((link == Scale.ROOT)[:, None], np.maximum(out, 0.0), out)


class _Totals:
    """Sums from which the observed and the expected mean of any window follow, whatever the anchor."""

    def __init__(self, series: Block, seen: Bools, location: Floats, scale: Floats) -> None:
        volume = np.where(seen, series.volume, 0.0)
        self.scale = scale
        linear = np.where((scale == Scale.LOG)[:, None], np.exp(np.minimum(location, 700.0)), location)
        square = (scale == Scale.ROOT)[:, None]
        self.volume = _sums(volume)
        self.amount = _sums(np.where(seen, series.amount, 0.0))
        self.first = _sums(volume * linear)
        self.second = _sums(volume * np.where(square, location, 0.0) ** 2) if square.any() else np.zeros_like(self.first)

    def means(self, origin: np.ndarray, length: int, shift: Floats) -> tuple[Floats, Floats]:
        """Observed and expected mean of the windows at `origin`, expected moved by `shift` `(series, origins)` on the transformed scale."""

        def over(sums: Floats) -> Floats:
            return np.asarray(sums[:, origin + length] - sums[:, origin])

        volume = over(self.volume)
        with np.errstate(invalid="ignore", divide="ignore"):
            observed, first = over(self.amount) / volume, over(self.first) / volume
            log, root = (self.scale == Scale.LOG)[:, None], (self.scale == Scale.ROOT)[:, None]
            expected = np.where(log, first * np.exp(np.where(log, shift, 0.0)), first + shift)
            if root.any():
                expected = np.where(root, over(self.second) / volume + 2 * shift * first + shift**2, expected)
        return observed, expected


def _sums(values: Floats) -> Floats:
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)


def _anchors(line: Timeline, origin: np.ndarray, lag: int) -> Floats:
    """Mean residual over the `lag` steps before each origin (before the transition at the release), 0 for `lag` 0."""
    if lag == 0:
        return np.zeros((len(line.x), len(origin)))
    end = np.where(origin == line.before, origin, origin - line.gap)
    start = end - lag
    fits = start >= 0
    start, end = np.where(fits, start, 0), np.where(fits, end, 0)
    sums, count = _sums(line.x), _sums(line.present.astype(float))
    steps = count[:, end] - count[:, start]
    return np.where(steps > 0.3 * lag, (sums[:, end] - sums[:, start]) / np.maximum(steps, 1), np.nan)


def _link(observed: Floats, expected: Floats, link: Floats, unit: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(expected > 0, observed / expected, np.nan)
        root = np.sqrt(np.maximum(ratio, 0)) - 1
        log = np.log(np.maximum(ratio, TINY))
    plain = (observed - expected) / unit[:, None]
    return np.where((link == Scale.LOG)[:, None], log, np.where((link == Scale.ROOT)[:, None], root, plain))


def _unlink(expected: Floats, centre: Floats, link: Floats, unit: Floats) -> Floats:
    """Expected corrected for what the placebo releases show on average."""
    return np.where(link == Scale.LOG, expected * np.exp(centre), np.where(link == Scale.ROOT, expected * (1 + centre) ** 2, expected + centre * unit))


def _null(move: Floats, origin: np.ndarray, after: int, parametric: Floats) -> tuple[Floats, Floats, Floats]:
    past = move[:, :-1]
    known = np.isfinite(past)
    size = known.sum(axis=1)
    if past.shape[1] == 0:
        return np.zeros(len(move)), parametric, np.full(len(move), PRIOR)
    first, last = known.argmax(axis=1), past.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    windows = np.where(size > 0, np.minimum((origin[last] - origin[first] + 1) / after + 1, size), 0.0)
    ranked = np.sort(past, axis=1)
    rows = np.arange(len(past))
    top = np.maximum(size - 1, 0)
    centre = np.where(size > 0, (ranked[rows, top // 2] + ranked[rows, (top + 1) // 2]) / 2, 0.0) * np.minimum(1, windows / 10)
    away = np.sort(np.abs(past - centre[:, None]), axis=1)
    seen = np.nan_to_num(spread_of(away[None], size[None])[0])
    error = np.sqrt((windows * seen**2 + PRIOR * parametric**2) / (windows + PRIOR)) * np.sqrt(1 + 1 / np.maximum(windows, 1))
    return centre, error, windows + PRIOR - 1


def _parametric(base: Baseline, line: Timeline, seen: Bools, link: Floats, unit: Floats, sums: _Totals) -> Floats:
    """Standard error that the autoregression implies, for histories too short to hold placebo releases of this length."""
    n, m = line.before, line.after
    memory = 1 - base.phi.sum(axis=1)
    remembered = (base.phi != 0).any(axis=1)
    long_run = np.where(remembered, base.innovation_spread / memory, 1.0)
    steps = np.maximum(seen[:, n:].sum(axis=1), 1)
    error = np.minimum(long_run * np.sqrt(1 / steps + 1 / np.maximum(seen[:, :n].sum(axis=1), 1)), 1.5) * base.spread
    _, expected = sums.means(np.array([n]), m, np.zeros((len(base.level), 1)))
    level = np.where(np.isfinite(expected[:, 0]), np.maximum(expected[:, 0], TINY), 1.0)
    root = np.where(base.scale == Scale.ROOT, error / np.sqrt(level), error / (2 * level))
    return np.where(link == Scale.LOG, error, np.where(link == Scale.ROOT, root, error / unit))


def _band(base: Baseline, line: Timeline, lag: np.ndarray) -> tuple[Floats, Floats]:
    """Lower and upper standardised bound that hold 99 % of the history's steps, foreseen as the release's are."""
    n, after = line.before, line.after
    residual = np.where(line.present[:, :n], base.residual, np.nan)
    origin = origins(n)[:-1]
    offset = np.unique(np.linspace(0, after - 1, SAMPLED_STEPS).astype(int))
    low, high = np.full((2, len(lag)), np.nan)
    for each in np.unique(lag):
        mine = np.flatnonzero(lag == each)
        if each == 0:
            sample = residual[mine]
        else:
            fits = origin[origin + after <= n]
            position = fits[:, None] + offset
            anchor = _anchors(line.series(mine), fits, int(each))
            sample = (residual[mine][:, position] - anchor[:, :, None]).reshape(len(mine), -1)
        low[mine], high[mine] = _quantiles(sample)
    return low, high


def _quantiles(sample: Floats) -> tuple[Floats, Floats]:
    size = np.isfinite(sample).sum(axis=1)
    ranked = np.sort(sample, axis=1)
    rows = np.arange(len(sample))
    low = ranked[rows, (np.maximum(size - 1, 0) * (1 - BAND)).astype(int)]
    high = ranked[rows, np.ceil(np.maximum(size - 1, 0) * BAND).astype(int)]
    bound = stdtrit(np.maximum(size / 4, 3), BAND)
    few = size < ENOUGH_FOR_QUANTILES
    return np.where(few, np.fmin(low, -bound), low), np.where(few, np.fmax(high, bound), high)
