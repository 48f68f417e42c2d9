"""How large the change is, in the KPI's unit, and how certain: the same estimate at every placebo
release tells.

Expected is the season on top of a level. The level is that of the whole history or of the last
steps before the origin, whichever would have foreseen the placebo releases better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from anomaly.baseline.robust import (
    MAD_TO_SIGMA,
    Bools,
    Floats,
    Ints,
    median,
    running_median,
    running_sums,
)
from anomaly.baseline.seasonal import BOUND, Baseline
from anomaly.baseline.sides import STEPS_BEFORE
from anomaly.baseline.transform import Scale, back, forward
from anomaly.panel import Block
from anomaly.scoring.replay import spread_of
from anomaly.scoring.student import t_quantile
from anomaly.scoring.timeline import Timeline

PRIOR = 4.0  # windows' worth of belief in the spread that the autoregression implies
MARGIN = 0.9  # a local level's error must be this share of the best so far to be preferred
TWO_SIDED, BAND = 0.975, 0.995  # upper ends of a 95 % interval and of the 99 % band
LARGEST_LOG = 700.0  # exp of more is too large a number
SAMPLE_STEPS = 16  # of each window that stand for it in the band
ENOUGH_FOR_QUANTILES = 400  # steps from which the band is their quantiles alone
ENOUGH_FOR_CENTRE = 10  # independent windows from which the placebo median is believed in full
# of what is expected of the release: windows of less, such as those at night where nothing is open,
# do not tell how sure a size by the root of the level is
LEAST_EXPECTED = 0.1
NOTHING = 0.001  # standard deviations of a step: what is less is as good as nothing
LEAST_ANCHOR = 0.3  # share of the steps of a local level that must be present
MOST_ERROR = 1.5  # standard deviations of a step: the largest error of a mean
UNSURE = 1.8  # twice the standard error of a mean distance, times the root of the steps, as a share
LONG = 12  # steps of an observation from which its last one may stand out alone
ALONE = 5  # steps over whose median a step must stand out to stand alone
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Effect:
    """The change of one series' mean over the observation.

    `move` is the change on the linked scale (log for multiplicative noise, square root for counts,
    else multiples of `unit`), `error` its standard error with `freedom` degrees of freedom; `link`
    says which scale (`transform.Scale`).
    """

    observed: float
    expected: float
    link: float
    unit: float
    move: float
    error: float
    freedom: float

    def size(self, move: float) -> tuple[float | None, float]:
        """Relative and absolute effect of a `move` on the linked scale; see `relative`."""
        if self.link == Scale.IDENTITY:
            absolute = move * self.unit
            return self.relative(absolute), absolute
        if self.expected == 0:
            return None, 0.0
        root = max(1 + move, 0.0)
        relative = math.expm1(min(move, LARGEST_LOG)) if self.link == Scale.LOG else root * root - 1
        return relative, relative * self.expected

    def relative(self, absolute: float) -> float | None:
        """A share of the expected value; None where that is 0, or so near that the share is too
        large a number, and of a KPI that has two signs where the expected value is nearer to 0 than
        its noise, or the observed one is of the other sign."""
        exists = self.expected != 0 and (
            self.link != Scale.IDENTITY
            or (abs(self.expected) >= self.unit and self.expected * self.observed >= 0)
        )
        share = absolute / abs(self.expected) if exists else math.inf
        return share if math.isfinite(share) else None

    def half_width(self) -> float:
        """Half of the 95 % interval on the linked scale."""
        return t_quantile(self.freedom, TWO_SIDED) * self.error

    def stricter(self, alpha: float) -> float:
        """How many times the half of the 95 % interval a change must be to be significant at
        `alpha`, on one side."""
        return t_quantile(self.freedom, 1 - alpha) / t_quantile(self.freedom, TWO_SIDED)


@dataclass(frozen=True, slots=True)
class Effects:
    """The effects of all series `(series,)`, see `Effect`, and their points `(series, steps of the
    observation)`.

    `lag` is over how many steps before the release the expected level was taken (0: the whole
    history). `at` is the expected value of each step, `lower` and `upper` its 99 % band, `z` the
    distance of the observed value in standard deviations. One of these is `width` on the
    transformed `scale`, where the expected value is `location`. `weight` is each step's in a mean.
    `before` are expected value and band of the last steps before the release, `(3, series, up to
    STEPS_BEFORE)`, the season of each learned from other days.
    """

    observed: Floats
    expected: Floats
    link: Floats
    unit: Floats
    move: Floats
    error: Floats
    freedom: Floats
    lag: Ints
    at: Floats
    lower: Floats
    upper: Floats
    z: Floats
    width: Floats
    location: Floats
    scale: Floats
    weight: Floats
    before: Floats

    def of(self, i: int) -> Effect:
        """The effect of series `i`."""
        return Effect(
            *(
                float(each[i])
                for each in (
                    self.observed,
                    self.expected,
                    self.link,
                    self.unit,
                    self.move,
                    self.error,
                    self.freedom,
                )
            )
        )

    def of_jump(self, i: int, jump: float) -> float:
        """Change of the mean of series `i`, in the KPI's unit, if every step moved by `jump`
        standard deviations."""
        steps = np.stack([self.location[i] + jump * self.width[i], self.location[i]])
        later, now = back(
            np.minimum(steps, LARGEST_LOG) if self.scale[i] == Scale.LOG else steps,
            np.full(2, self.scale[i]),
        )
        weight = self.weight[i] if self.weight[i].sum() > 0 else np.ones(len(now))
        if self.link[i] == Scale.IDENTITY:
            return float(((later - now) * weight).sum() / weight.sum())
        return float(
            ((np.maximum(later, 0.0) * weight).sum() / (now * weight).sum() - 1) * self.expected[i]
        )


def estimate(base: Baseline, line: Timeline) -> Effects:
    """Effects of the release on every series of the timeline."""
    series, n = line.series, line.before
    past_location = base.seasonal + base.level[:, None]
    location = np.concatenate([past_location, base.location(line.later)], axis=1)
    window = slice(max(0, n - STEPS_BEFORE), None)  # the steps before the release that are, too
    ago = n - window.start
    width = base.width(line.index[window], series.volume[:, window])
    has_value = np.isfinite(series.value)
    link = _links(base, series)
    unit = np.maximum(base.spread, TINY)
    totals = _Totals(tempered(base, line), has_value, location, base.scale)
    _, usual = totals.means(np.array([n]), line.after, np.zeros((len(unit), 1)))
    noise = np.where(base.scale == Scale.ROOT, unit**2, unit)
    is_nothing = (usual[:, 0] < NOTHING * noise) & (base.scale != Scale.LOG) & ~base.few
    link = np.where(is_nothing, Scale.IDENTITY, link)  # of nothing there is no share
    fit = _best_fit(base, line, link, unit, totals)
    noisier = _noisier(base, line, link, fit)
    corrected = _unlinked(fit.expected, fit.centre, link, unit)
    is_plain = link == Scale.IDENTITY
    positive = np.where(fit.expected > 0, fit.expected, 1.0)
    factor = np.where(is_plain | (fit.expected <= 0), 1.0, corrected / positive)[:, None]
    offset = np.where(is_plain, fit.centre * unit, 0.0)[:, None]
    shifted = location[:, window] + (fit.anchor * base.spread)[:, None]
    lag = fit.lag.astype(int)
    low, high = band(base, line, lag, n)

    def in_unit(y: Floats) -> Floats:
        out = back(y, base.scale) * factor + offset
        return np.where((link == Scale.ROOT)[:, None], np.maximum(out, 0.0), out)

    expected = in_unit(shifted)
    lower = in_unit(shifted + low[:, None] * width)
    upper = in_unit(shifted + high[:, None] * width)
    before = np.stack([each[:, :ago] for each in (expected, lower, upper)])
    shifted, width = shifted[:, ago:], width[:, ago:]
    return Effects(
        observed=fit.observed,
        expected=corrected,
        link=link,
        unit=unit,
        move=fit.move - fit.centre,
        error=np.hypot(fit.error * noisier, _of_few_left(line, link, fit)),
        freedom=fit.freedom,
        lag=lag,
        at=expected[:, ago:],
        lower=lower[:, ago:],
        upper=upper[:, ago:],
        z=(forward(series.value[:, n:], base.scale, base.floor) - shifted) / width,
        width=width,
        location=shifted,
        scale=base.scale,
        weight=np.where(has_value, series.volume, 0.0)[:, n:],
        before=before,
    )


def tempered(base: Baseline, line: Timeline) -> Block:
    """The series with every step that stands out alone pulled in to `BOUND` standard deviations
    from the steps around it: the mean of a day must not be that of one step.

    A step of the observation must do so against a shift of its level and against a factor: where
    everything is multiplied, the quiet days of a week move less than those around them. Series of
    few events stay as they are: all they have are such steps.
    """
    series, n = line.series, line.before
    far = np.abs(line.x) > BOUND
    rows = np.flatnonzero(far.any(axis=1) & ~base.few & ~line.sparse)
    if not len(rows):
        return series
    value, own = series.value.copy(), base.rows(rows)
    width, location = own.width(line.index, series.volume[rows]), own.location(line.later)
    usual = back(location, own.scale)
    for i, row in enumerate(rows):
        scale, floor = base.scale[[row]], base.floor[[row]]
        present = np.flatnonzero(line.present[row])
        steps = present[present >= n]
        later, sigma = slice(len(present) - len(steps), None), width[i, present]
        residual = line.residual[row, present]
        is_long = len(steps) >= LONG  # or a change may just have begun
        pulled = pulled_in(residual, later, edges=is_long)
        factor = np.median(value[row, steps] / usual[i, steps - n]) if len(steps) else 1.0
        if 0 < factor < np.inf and factor != 1:
            y = forward(value[[row]][:, steps] / factor, scale, floor)[0]
            scaled = residual.copy()
            scaled[later] = (y - location[i, steps - n]) / sigma[later]
            pulled[later] = np.where(
                pulled_in(scaled, later, edges=is_long)[later] == scaled[later],
                residual[later],
                pulled[later],
            )
        alone = pulled != residual
        y = forward(value[[row]][:, present[alone]], scale, floor)
        moved = y + (pulled - residual)[alone] * sigma[alone]
        value[row, present[alone]] = back(moved, scale)[0]
    amount = np.where(value != series.value, value * series.volume, series.amount)
    return replace(series, value=value, amount=amount)


def pulled_in(
    residual: Floats, later: slice, *, bound: float = BOUND, edges: bool = False
) -> Floats:
    """Residuals `(time,)` without gaps, those that stand out alone by more than `bound` pulled in;
    noise may have grown `later`. The steps at the `edges` do only if asked for: a change may begin
    with the last one."""
    around = running_median(residual, ALONE, mirrored=edges)
    rest = residual - around
    most = np.full(len(rest), bound)
    if len(rest[later]):
        most[later] *= max(1.0, MAD_TO_SIGMA * float(np.median(np.abs(rest[later]))))
    return np.where(np.abs(rest) > most, around + np.clip(rest, -most, most), residual)


@dataclass(frozen=True, slots=True)
class _Fit:
    """What one choice of the local level makes of every series, all `(series,)`.

    `lag` is how many steps before the release the level is that of, `anchor` what it adds to the
    whole history's. `move` is the release's, `centre`, `error` and `freedom` are those of the
    placebo moves.
    """

    observed: Floats
    expected: Floats
    move: Floats
    anchor: Floats
    centre: Floats
    error: Floats
    freedom: Floats
    lag: Floats

    def or_better(self, other: _Fit) -> _Fit:
        """For each series the other one where it has clearly the smaller error."""
        better = np.isfinite(other.move) & (other.error < MARGIN * self.error)
        return _Fit(
            *(
                np.where(better, getattr(other, each.name), getattr(self, each.name))
                for each in fields(self)
            )
        )


def _best_fit(base: Baseline, line: Timeline, link: Floats, unit: Floats, totals: _Totals) -> _Fit:
    """For each series the level, the whole history's or a local one, that would have foreseen the
    placebo releases best."""
    n, after = line.before, line.after
    parametric = _parametric(base, line, link, unit, totals)
    origin = line.origins
    origin = origin[(origin + after <= n) | (origin == n)]
    thinner = _thinner(base, line, origin)
    best: _Fit | None = None
    for lag in (0, *sorted({max(4, after // 4), after, 4 * after})):
        if lag > n // 2:
            continue
        anchor = anchors(line, origin, lag)
        observed, expected = totals.means(origin, after, anchor * base.spread[:, None])
        too_little = (expected < LEAST_EXPECTED * expected[:, -1:]) & (link == Scale.ROOT)[:, None]
        move = np.where(too_little, np.nan, _linked(observed, expected, link, unit))
        centre, error, freedom = _null(move, origin, after, parametric, base.few)
        error = error * thinner
        fit = _Fit(
            observed[:, -1],
            expected[:, -1],
            move[:, -1],
            anchor[:, -1],
            centre,
            error,
            freedom,
            np.full(len(link), float(lag)),
        )
        best = fit if best is None else best.or_better(fit)
    assert best is not None  # noqa: S101  the whole history's, lag 0, always fits
    return best


def _thinner(base: Baseline, line: Timeline, origin: Ints) -> Floats:
    """By how much noisier a ratio's mean over the observation is than over the windows of the
    history, for its denominators are smaller `(series,)`: at least 1."""
    if not line.series.ratio.any():
        return np.ones(len(line.x))
    a, b = base.volume_noise.T[:, :, None]
    volume = np.where(line.present, line.series.volume, 0.0)
    first, second = running_sums(volume), running_sums(volume**2)
    total = first[:, origin + line.after] - first[:, origin]
    square = second[:, origin + line.after] - second[:, origin]
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.where(total > 0, (a * total + b * square) / total**2, np.nan)
        ratio = variance[:, -1] / median(variance[:, :-1])
    return np.where(line.series.ratio & (ratio > 1), np.sqrt(ratio), 1.0)


def _noisier(base: Baseline, line: Timeline, link: Floats, fit: _Fit) -> Floats:
    """By how much noisier from step to step the observation surely is than the history would have
    it be at this level `(series,)`: at least 1. A rhythm that is off, too, changes little from step
    to step; of few events the noise is no matter of one standard deviation."""
    n = line.before
    both = line.has_innovation[:, 1:] & line.has_innovation[:, :-1]
    apart = np.where(both, np.abs(np.diff(line.z, axis=1)), 0.0)
    steps = np.maximum(both[:, n:].sum(axis=1), 1)
    usual = apart[:, : n - 1].sum(axis=1) / np.maximum(both[:, : n - 1].sum(axis=1), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = apart[:, n:].sum(axis=1) / steps / usual
        growth = np.sqrt(np.maximum(fit.observed / fit.expected, 0.0))
        by_root = (link == Scale.ROOT) & (base.scale == Scale.IDENTITY) & (growth > 0)
        noise = noise / np.where(by_root, growth, 1.0)
    is_sure = (noise * (1 - UNSURE / np.sqrt(steps)) > 1) & np.isfinite(noise)
    return np.where(is_sure & ~base.few & ~line.sparse, noise, 1.0)


def _of_few_left(line: Timeline, link: Floats, fit: _Fit) -> Floats:
    """The error that counting adds where so little is left of a count that its noise is no share of
    it any more, as a logarithm `(series,)`."""
    out = np.zeros(len(link))
    for i in np.flatnonzero((link == Scale.LOG) & (2 * fit.observed < fit.expected)):
        present = line.series.present[i]
        amount = line.series.amount[i, present]
        left = float(line.series.amount[i, line.before :][present[line.before :]].sum())
        if left > 0 and (amount == np.floor(amount)).all():
            out[i] = math.sqrt((1 - fit.observed[i] / fit.expected[i]) / left)
    return out


def _links(base: Baseline, series: Block) -> Floats:
    """The scale on which a change is measured: where values can't be negative, noise is assumed to
    grow with the root of the level; what has fallen below 0 has no share of what it was."""
    least = np.where(np.isfinite(series.value), series.value, np.inf).min(axis=1)
    is_root = series.ratio | (least >= 0) & (base.scale == Scale.IDENTITY)
    own = np.where(least < 0, Scale.IDENTITY, base.scale)
    return np.where(is_root, Scale.ROOT, own).astype(float)


class _Totals:
    """Sums from which the observed and the expected mean of any window follow, whatever the
    anchor."""

    def __init__(self, series: Block, has_value: Bools, location: Floats, scale: Floats) -> None:
        volume = np.where(has_value, series.volume, 0.0)
        self.scale = scale
        log = scale == Scale.LOG
        linear = location.copy()
        linear[log] = np.exp(np.clip(location[log], -np.inf, LARGEST_LOG))
        square = (scale == Scale.ROOT)[:, None]
        self.volume = running_sums(volume)
        self.amount = running_sums(np.where(has_value, series.amount, 0.0))
        self.first = running_sums(volume * linear)
        self.second = (
            running_sums(volume * np.where(square, location, 0.0) ** 2)
            if square.any()
            else np.zeros_like(self.first)
        )

    def means(self, origin: Ints, length: int, shift: Floats) -> tuple[Floats, Floats]:
        """Observed and expected mean of the windows at `origin`; the expected one is moved by
        `shift` `(series, origins)` on the transformed scale."""

        def window(sums: Floats) -> Floats:
            return np.asarray(sums[:, origin + length] - sums[:, origin])

        volume = window(self.volume)
        with np.errstate(invalid="ignore", divide="ignore"):
            observed, first = window(self.amount) / volume, window(self.first) / volume
            log, root = (self.scale == Scale.LOG)[:, None], (self.scale == Scale.ROOT)[:, None]
            expected = np.where(log, first * np.exp(np.where(log, shift, 0.0)), first + shift)
            if root.any():
                expected = np.where(
                    root, window(self.second) / volume + 2 * shift * first + shift**2, expected
                )
        return observed, expected


def anchors(line: Timeline, origin: Ints, lag: int, rows: Ints | slice = slice(None)) -> Floats:
    """Mean residual over the `lag` steps before each origin (before the transition at the release),
    0 for `lag` 0; of the series `rows`. Where a series is far off for a while it is the median: a
    bounded mean would be that of a level in between."""
    sums, counts = line.x_sums[rows], line.present_sums[rows]
    if lag == 0:
        return np.zeros((len(sums), len(origin)))
    end = np.where(origin == line.before, origin, origin - line.gap)
    start = end - lag
    fits = start >= 0
    start, end = np.where(fits, start, 0), np.where(fits, end, 0)
    steps = counts.take(end, axis=1) - counts.take(start, axis=1)
    mean = (sums.take(end, axis=1) - sums.take(start, axis=1)) / np.maximum(steps, 1)
    for i in np.flatnonzero(line.strays[rows]):
        residual = line.residual[rows][i]
        mean[i, fits] = median(residual[start[fits, None] + np.arange(lag)])
    return np.where(steps > LEAST_ANCHOR * lag, mean, np.nan)


def _linked(observed: Floats, expected: Floats, link: Floats, unit: Floats) -> Floats:
    out = (observed - expected) / unit[:, None]
    log, root = link == Scale.LOG, link == Scale.ROOT
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(expected > 0, observed / expected, np.nan)
        out[root] = np.sqrt(np.clip(ratio[root], 0.0, np.inf)) - 1
        out[log] = np.log(np.clip(ratio[log], TINY, np.inf))
    return np.asarray(out)


def _unlinked(expected: Floats, centre: Floats, link: Floats, unit: Floats) -> Floats:
    """Expected corrected for what the placebo releases show on average."""
    return np.where(
        link == Scale.LOG,
        expected * np.exp(centre),
        np.where(link == Scale.ROOT, expected * (1 + centre) ** 2, expected + centre * unit),
    )


def _null(
    move: Floats, origin: Ints, after: int, parametric: Floats, few: Bools
) -> tuple[Floats, Floats, Floats]:
    """Centre, standard error and degrees of freedom of the placebo moves; few events have no
    middle, but their mean is right."""
    past = move[:, :-1]
    has_move = np.isfinite(past)
    size = has_move.sum(axis=1)
    if past.shape[1] == 0:
        return np.zeros(len(move)), parametric, np.full(len(move), PRIOR)
    first = has_move.argmax(axis=1)
    last = past.shape[1] - 1 - has_move[:, ::-1].argmax(axis=1)
    span = origin[last] - origin[first] + 1
    windows = np.where(size > 0, np.minimum(span / after + 1, size), 0.0)
    ranked = np.sort(past, axis=1)
    rows, top = np.arange(len(past)), np.maximum(size - 1, 0)
    median = (ranked[rows, top // 2] + ranked[rows, (top + 1) // 2]) / 2
    centre = np.where(size > 0, median, 0.0) * np.minimum(1, windows / ENOUGH_FOR_CENTRE)
    centre[few] = 0.0
    away = np.sort(np.abs(past - centre[:, None]), axis=1)
    spread = np.nan_to_num(spread_of(away[None], size[None])[0])
    pooled = np.sqrt((windows * spread**2 + PRIOR * parametric**2) / (windows + PRIOR))
    return centre, pooled * np.sqrt(1 + 1 / np.maximum(windows, 1)), windows + PRIOR - 1


def _parametric(
    base: Baseline, line: Timeline, link: Floats, unit: Floats, totals: _Totals
) -> Floats:
    """Standard error that the autoregression implies, for histories too short to hold placebo
    releases of this length."""
    n, has_value = line.before, np.isfinite(line.value)
    gain = 1 - base.phi.sum(axis=1)
    is_autocorrelated = (base.phi != 0).any(axis=1)
    long_run = np.where(is_autocorrelated, base.innovation_spread / gain, 1.0)
    steps = np.maximum(has_value[:, n:].sum(axis=1), 1)
    past_steps = np.maximum(has_value[:, :n].sum(axis=1), 1)
    error = np.minimum(long_run * np.sqrt(1 / steps + 1 / past_steps), MOST_ERROR) * base.spread
    _, expected = totals.means(np.array([n]), line.after, np.zeros((len(base.level), 1)))
    level = np.where(np.isfinite(expected[:, 0]), np.maximum(expected[:, 0], TINY), 1.0)
    root = np.where(base.scale == Scale.ROOT, error / np.sqrt(level), error / (2 * level))
    return np.asarray(
        np.where(link == Scale.LOG, error, np.where(link == Scale.ROOT, root, error / unit))
    )


def band(base: Baseline, line: Timeline, lag: Ints, n: int) -> tuple[Floats, Floats]:
    """Lower and upper standardised bound that hold 99 % of the first `n` steps of the history,
    foreseen as the release's are."""
    after = line.after
    residual = np.where(line.present[:, :n], base.residual[:, :n], np.nan)
    origin = line.origins[:-1]
    origin = origin[origin + after <= n]
    steps = origin[:, None] + np.unique(np.linspace(0, after - 1, SAMPLE_STEPS).astype(int))
    low, high = np.full((2, len(lag)), np.nan)
    for each in np.unique(lag):
        rows = np.flatnonzero(lag == each)
        sample = residual[rows]
        if each > 0:
            anchor = anchors(line, origin, int(each), rows)
            sample = (sample[:, steps] - anchor[:, :, None]).reshape(len(rows), -1)
        low[rows], high[rows] = bounds(sample)
    return low, high


def bounds(sample: Floats) -> tuple[Floats, Floats]:
    """Lower and upper bound of the middle 99 % of each row `(series, steps)`; of few steps wider
    than what they show."""
    size = np.isfinite(sample).sum(axis=1)
    ranked = np.sort(sample, axis=1)
    rows = np.arange(len(sample))
    low = ranked[rows, (np.maximum(size - 1, 0) * (1 - BAND)).astype(int)]
    high = ranked[rows, np.ceil(np.maximum(size - 1, 0) * BAND).astype(int)]
    few = size < ENOUGH_FOR_QUANTILES
    bound = np.zeros(len(sample))
    bound[few] = [t_quantile(max(int(each) / 4, 3.0), BAND) for each in size[few]]
    return np.where(few, np.fmin(low, -bound), low), np.where(few, np.fmax(high, bound), high)
