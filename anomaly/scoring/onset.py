"""When a change began: the posterior of its first step, over the last stretch of the history, the
transition and the observation.

Every step is equally likely beforehand. The change is a step or, less likely, a line that goes on
growing. Its size and the level before it are integrated out, so that a beginning that explains
little of the data counts for little. The interval holds the middle 95 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from anomaly.baseline.noise import ORDER
from anomaly.baseline.robust import Bools, Floats, quantiles, running_median, spread
from anomaly.scoring.question_kinds import DatedBy
from anomaly.scoring.questions import LONGEST, TOP
from anomaly.scoring.timeline import Timeline

REACH_HOURS = 48.0  # before the release that are searched, if they are more than `LONGEST` steps
LEAST_REACH = 24  # steps before the release that are searched where the observation is shorter
# Standard deviations of the noise that a step may lie from the median of its neighbours: an outlier
# is no beginning.
CLIP = 4.0
NEIGHBOURS = 9
PRIOR = 5.0  # standard deviation of a change's size, in that of the noise
LINES = 0.1  # prior odds of a line, against a step
SHOWN = 5.0  # log evidence of a change that shows
TAIL = 0.025  # on either side of the interval
NEARLY_ALL = 0.99  # share of the history that a spike lies above
ONE_BY_ONE = 400  # steps up to which each sum by itself is as fast as all from each other
JEFFREYS = 0.5  # Jeffreys' prior of a share
# Standard score from which the history alone shows a change, and the share of its other stretches
# as long that may be as far off: where few events are counted, some are by chance.
EARLIER, AS_FAR = 3.0, 0.01
# Standard score of what the release added to an earlier change, and its size as a share of that.
WORSE = 3.0
WORSE_SHARE = 0.5
NONE = np.zeros(ORDER)  # no autoregression


@dataclass(frozen=True, slots=True)
class Onset:
    """The likeliest first step of a change, and the ends of its 95 % interval; 0 is the first step
    after the transition.

    `earlier` says that the whole interval is before the transition and that the release made it no
    worse. Otherwise `step` is the likeliest of those that the release can have caused.
    """

    step: int
    first: int
    last: int
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class _Stretch:
    """One series around the release, with the steps of the transition: the `values` that are
    searched, and their `noise` in standard deviations (0 where not `present`).

    Both are turned so that the change is upwards. `release` is the position of the first step of
    the transition, `start` of the first step after it. `past` is the noise of the whole history.
    `shapes` are a step and a line of size 1 that begin at the first position, filtered like the
    noise by `phi`; `level` is what a constant 1 leaves there. `factor` is how much a factor on
    everything moves each step, 1 on average.
    """

    values: Floats
    noise: Floats
    present: Bools
    past: Floats
    shapes: tuple[Floats, Floats]
    level: float
    release: int
    start: int
    phi: Floats
    factor: Floats


@dataclass(frozen=True, slots=True)
class _Fit:
    """A least-squares fit: the level before, the sizes of the changes, the standard errors of all
    of them, and the rest sum of squares."""

    level: float
    sizes: tuple[float, ...]
    errors: tuple[float, ...]
    rest: float


def onset(
    line: Timeline, i: int, dated_by: DatedBy, sign: float, factor: Floats, *, until: int
) -> Onset:
    """When the change of series `i` that shows in these numbers began, from the observation's first
    `until` steps. `sign` is that of the change: what went the other way is another one, unless
    nothing else shows. `factor` is how much a factor on everything would move each step."""
    stretch = _stretch(line, i, dated_by, sign, factor, until)
    if dated_by.is_mark:
        return _located(stretch, _share_evidence(stretch))
    evidence = _change_evidence(stretch)
    if evidence.max() < SHOWN:
        mirror = replace(stretch, values=-stretch.values, noise=-stretch.noise, past=-stretch.past)
        other = _change_evidence(mirror)
        if other.max() > evidence.max():
            return _located(mirror, other)
    return _located(stretch, evidence)


def onset_of_marks(marks: Bools, before: int, gap: int) -> Onset:
    """When the share of marked steps grew; `before` of them are history."""
    values = _with_gap(marks.astype(float), before, gap)
    reach = min(before, max(len(marks) - before, LEAST_REACH))
    values = values[before - reach :]
    ones = np.ones(len(values))
    past = values[:reach]
    stretch = _Stretch(
        values, values, np.isfinite(values), past, (ones, ones), 1.0, reach, reach + gap, NONE, ones
    )
    return _located(stretch, _share_evidence(stretch))


def spikes(residual: Floats, before: int) -> Bools:
    """Which steps of a series lie nearer to the highest of the observation than to those of the
    history, the first `before` steps."""
    usual = float(quantiles(residual[None, :before], np.array([NEARLY_ALL]))[0, 0])
    later = residual[before:][np.isfinite(residual[before:])]
    highest = np.sort(later)[-max(1, int(np.ceil(TOP * len(later)))) :]
    return np.asarray(residual > (usual + float(highest.mean())) / 2)


def _with_gap(values: Floats, before: int, gap: int) -> Floats:
    return np.concatenate([values[:before], np.full(gap, np.nan), values[before:]])


def _stretch(
    line: Timeline, i: int, dated_by: DatedBy, sign: float, factor: Floats, until: int
) -> _Stretch:
    """The stretch of series `i` that ends `until` steps after the transition, times `sign`."""
    n, stop = line.before, line.before + until
    phi = line.phi[i] if dated_by is DatedBy.RESIDUAL else NONE
    values = _with_gap(sign * _dating_values(line, i, dated_by)[:stop], n, line.gap)
    noise, past_values = values.copy(), values.copy()
    if line.gap <= ORDER:  # or nothing would be left of a jump in a short transition
        past_values[n : n + line.gap] = values[n - 1]
    for lag in range(1, ORDER + 1):
        if phi[lag - 1]:
            noise[lag:] -= phi[lag - 1] * past_values[:-lag]
            noise[:lag] = np.nan
    reach = min(n // 2, max(LONGEST, round(REACH_HOURS * line.after / line.hours)))
    sigma = float(spread(noise[None, :n])[0]) or 1.0
    present = np.isfinite(noise)
    noise = np.where(present, noise / sigma, 0.0)
    usual = running_median(noise, NEIGHBOURS)
    noise = np.where(present, np.clip(noise, usual - CLIP, usual + CLIP), 0.0)
    near = slice(n - reach, None)
    values = values[near]
    moves = _with_gap(factor[:stop], n, line.gap)[near] / np.nanmean(factor[:stop])
    step, ramp = np.ones(len(values)), np.arange(1.0, len(values) + 1) / max(until, 1)
    return _Stretch(
        values=values,
        noise=noise[near],
        present=present[near],
        past=noise[:n],
        shapes=(_filtered(step, phi) / sigma, _filtered(ramp, phi) / sigma),
        level=float(1 - phi.sum()) / sigma,
        release=reach,
        start=reach + line.gap,
        phi=phi,
        factor=np.nan_to_num(moves, nan=1.0) / sigma,
    )


def _dating_values(line: Timeline, i: int, dated_by: DatedBy) -> Floats:
    """The numbers of series `i` whose level has changed, NaN where there is none."""
    value = line.value[i]
    match dated_by:
        case DatedBy.MISSING:
            return np.asarray(~line.has_sample[i], dtype=float)
        case DatedBy.ZERO:
            return np.where(np.isfinite(value), value == 0, np.nan)
        case DatedBy.REPEATED:
            same = np.concatenate([[0.0], (np.diff(value) == 0) & (value[1:] != 0)])
            return np.where(np.isfinite(value), same, np.nan)
        case DatedBy.RESIDUAL_SIZE:
            return np.asarray(np.abs(line.residual[i]))
        case DatedBy.INNOVATION_SIZE:
            return np.where(line.has_innovation[i], np.abs(line.z[i]), np.nan)
        case DatedBy.RESIDUAL:
            return np.asarray(line.residual[i])


def _filtered(shape: Floats, phi: Floats) -> Floats:
    """A shape as the autoregression leaves it in the noise."""
    out = shape.copy()
    for lag in range(1, min(ORDER, len(shape) - 1) + 1):
        out[lag:] -= phi[lag - 1] * shape[:-lag]
    return out


def _change_evidence(stretch: _Stretch) -> Floats:
    """Log evidence that a change, a step, a factor or a line, begins at each position."""
    step, ramp = stretch.shapes
    evidence: Floats = np.logaddexp(
        np.logaddexp(_shape_evidence(stretch, step), _factor_evidence(stretch)) - np.log(2),
        _shape_evidence(stretch, ramp) + np.log(LINES),
    )
    # what began in the transition shows at its end
    evidence[stretch.release : stretch.start] = evidence[stretch.start]
    return evidence


def _shape_evidence(stretch: _Stretch, shape: Floats) -> Floats:
    """Log evidence that a change of this shape begins at each position."""
    present = stretch.present.astype(float)
    return _evidence(
        stretch,
        _sums_from(present, shape),
        _sums_from(stretch.noise, shape),
        _sums_from(present, shape, is_squared=True),
    )


def _factor_evidence(stretch: _Stretch) -> Floats:
    """Log evidence that a factor on everything begins at each position."""
    moves, phi, n = stretch.factor, stretch.phi, len(stretch.noise)
    filtered = _filtered(moves, phi)
    # in the first steps of a shape the autoregression takes nothing from before it
    heads = [
        moves[step:] - sum(phi[lag - 1] * moves[step - lag : n - lag] for lag in range(1, step + 1))
        for step in range(min(ORDER, n))
    ]

    def sums(values: Floats, power: int) -> Floats:
        out = np.append(_suffix_sums(values * filtered**power)[ORDER:], np.zeros(len(heads)))
        for step, first in enumerate(heads):
            out[: n - step] += values[step:] * first**power
        return out

    present = stretch.present.astype(float)
    return _evidence(stretch, sums(present, 1), sums(stretch.noise, 1), sums(present, 2))


def _evidence(stretch: _Stretch, shares: Floats, products: Floats, squares: Floats) -> Floats:
    """Log evidence of changes that begin at each position, from the sums of their shapes, of these
    times the noise, and of their squares. Their size is normal around 0, but above it; the level
    before is free."""
    from scipy.special import log_ndtr

    present, noise = stretch.present.astype(float), stretch.noise
    steps = max(present.sum(), 1.0)
    share = shares / steps
    projection = products - share * noise.sum()
    power = np.maximum(squares - share**2 * steps, 0.0)
    rest = float(((noise - present * noise.sum() / steps) ** 2).sum())
    least = rest - float((projection**2 / np.maximum(power, 1e-9)).max())
    # noise that was never so loud must not look like a change
    variance = max(1.0, least / max(steps - 2, 1.0))
    size = PRIOR**2 * power / variance
    score = projection / np.sqrt(np.maximum(power + variance / PRIOR**2, 1e-9) * variance)
    return np.asarray(0.5 * score**2 + log_ndtr(score) - 0.5 * np.log1p(size))


def _sums_from(values: Floats, shape: Floats, *, is_squared: bool = False) -> Floats:
    """Sum over `values` times `shape` (or its square), for `shape` beginning at each position.

    After its first `ORDER` steps a filtered shape is a line, which lets long sums follow from each
    other; taken one by one their time grows with the square of the steps.
    """
    n = len(values)
    if n <= ONE_BY_ONE:
        factors = shape**2 if is_squared else shape
        return np.asarray(np.convolve(values[::-1], factors)[:n][::-1])
    first, slope = float(shape[ORDER]), float(shape[-1] - shape[ORDER]) / (n - 1 - ORDER)
    level, line, parabola = (
        (first**2, 2 * first * slope, slope**2) if is_squared else (first, slope, 0.0)
    )
    sums = _suffix_sums(values)
    by_distance = _suffix_sums(sums) - sums  # each value times the steps to it
    by_square = _suffix_sums(2 * by_distance + sums) - (2 * by_distance + sums)
    tail = level * sums + line * by_distance + parabola * by_square
    out = np.concatenate([tail[ORDER:], np.zeros(ORDER)])
    for step in range(ORDER):
        factor = shape[step] ** 2 if is_squared else shape[step]
        out[: n - step] += factor * values[step:]
    return out


def _suffix_sums(values: Floats) -> Floats:
    return np.cumsum(values[::-1])[::-1]


def _share_evidence(stretch: _Stretch) -> Floats:
    """Log evidence that the share of marked steps is larger from each marked one on, both shares by
    Jeffreys' prior."""
    from scipy.special import betaln

    marks, present = np.where(stretch.present, stretch.values, 0.0), stretch.present.astype(float)
    before, steps_before = _sums_before(marks), _sums_before(present)
    after, steps_after = marks.sum() - before, present.sum() - steps_before
    evidence = betaln(before + JEFFREYS, steps_before - before + JEFFREYS) + betaln(
        after + JEFFREYS, steps_after - after + JEFFREYS
    )
    possible = (marks > 0) & (after * steps_before >= before * steps_after)
    possible[stretch.start] = True
    return np.asarray(np.where(possible, evidence, -np.inf))


def _sums_before(values: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values)[:-1]])


def _located(stretch: _Stretch, evidence: Floats) -> Onset:
    """The onset by the evidence for each position."""
    first, last = _interval(evidence)
    if last < stretch.release:
        earlier = first + int(evidence[first : last + 1].argmax())
        if any(_went_on(stretch, shape) for shape in stretch.shapes):
            return _onset(stretch, earlier, first, last, earlier=True)
        first, last = _interval(evidence[stretch.release :])
        first, last = stretch.release + first, stretch.release + last
    step = stretch.start + int(evidence[stretch.start :].argmax())
    return _onset(stretch, step, min(first, step), max(last, step), earlier=False)


def _onset(stretch: _Stretch, step: int, first: int, last: int, *, earlier: bool) -> Onset:
    start = stretch.start
    return Onset(step - start, first - start, last - start, earlier=earlier)


def _interval(evidence: Floats) -> tuple[int, int]:
    """The ends of the middle 95 %."""
    below = np.cumsum(np.exp(evidence - evidence.max()))
    first, last = np.searchsorted(below / below[-1], [TAIL, 1 - TAIL])
    return int(first), min(int(last), len(evidence) - 1)


def _went_on(stretch: _Stretch, shape: Floats) -> bool:
    """Whether the history alone shows a change of this shape that goes on, so that the release
    added neither a step nor a line."""
    history = slice(stretch.release)
    past = replace(stretch, noise=stretch.noise[history], present=stretch.present[history])
    by_history = int(_shape_evidence(past, shape[history])[history].argmax())
    by_all = int(_shape_evidence(stretch, shape)[history].argmax())
    by_step = int(_shape_evidence(stretch, stretch.shapes[0])[history].argmax())
    change = (_beginning(shape, by_all),)
    before = _fit(stretch, change, stretch.release)
    rest = _fit(stretch, change, len(stretch.noise)).rest
    return (
        before.sizes[0] > EARLIER * before.errors[1]
        and _is_rare(stretch.past, stretch.release - by_all)
        and not _was_over(stretch, by_all)
        and not _was_over(stretch, by_step, before.rest)
        and not any(
            _made_worse(stretch, shape, position, addition, rest)
            for position in (by_history, by_all)
            for addition in stretch.shapes
        )
    )


def _was_over(stretch: _Stretch, position: int, rest: float = np.inf) -> bool:
    """Whether most of what began at `position` was over before the release, and that leaves less
    than this `rest` of the history."""
    since, step = slice(position, stretch.release), stretch.shapes[0]
    mirror = replace(stretch, noise=-stretch.noise[since], present=stretch.present[since])
    evidence = _shape_evidence(mirror, step[: stretch.release - position])
    if evidence.max() < SHOWN:
        return False
    end = position + int(evidence.argmax())
    fit = _fit(stretch, (_beginning(step, position), _beginning(step, end)), stretch.release)
    began, ended = fit.sizes
    return -ended > WORSE_SHARE * began > 0 and fit.rest < rest


def _is_rare(past: Floats, length: int) -> bool:
    """Whether hardly any stretch of the past as long as its last `length` steps is as high."""
    sums = np.convolve(past, np.ones(length), "valid")
    others = sums[:-length]
    return not len(others) or float((others >= sums[-1]).mean()) <= AS_FAR


def _made_worse(
    stretch: _Stretch, shape: Floats, position: int, addition: Floats, rest: float
) -> bool:
    """Whether a second change, of the shape `addition` and with the release, adds to the one that
    began at `position` and leaves clearly less than `rest`."""
    changes = _beginning(shape, position), _beginning(addition, stretch.start)
    fit = _fit(stretch, changes, len(stretch.noise))
    size, extra = fit.sizes
    is_ramp = shape is stretch.shapes[1]
    duration = len(stretch.noise) - stretch.start
    growth = (stretch.release - position) / duration if is_ramp else 1.0
    variance = max(1.0, fit.rest / max(int(stretch.present.sum()) - 3, 1))
    is_clear = rest - fit.rest > WORSE**2 * variance
    return is_clear and extra * size > 0 and abs(extra) > WORSE_SHARE * abs(size) * growth


def _beginning(shape: Floats, position: int) -> Floats:
    """The shape, begun at a position."""
    return np.concatenate([np.zeros(position), shape[: len(shape) - position]])


def _fit(stretch: _Stretch, changes: tuple[Floats, ...], until: int) -> _Fit:
    """The level before and the sizes of the changes, from the first `until` steps."""
    rows = np.flatnonzero(stretch.present[:until])
    level = np.full(len(stretch.noise), stretch.level)
    design = np.stack([level, *changes], axis=1)[rows]
    noise = stretch.noise[rows]
    solution, *_ = np.linalg.lstsq(design, noise, rcond=None)
    rest = float(((noise - design @ solution) ** 2).sum())
    variance = max(1.0, rest / max(len(rows) - design.shape[1], 1))
    errors = np.sqrt(variance * np.diag(np.linalg.pinv(design.T @ design)))
    first, *sizes = solution.tolist()
    return _Fit(first, tuple(sizes), tuple(errors.tolist()), rest)
