"""When a change began: the posterior of its first step, over the last stretch of the history, the
transition and the observation.

Every step is as likely as any other beforehand; the change is a step, or, less likely, a line that
goes on growing. Its size, and the level before it, are integrated out, so that a beginning that
explains little of the data is worth little. The interval holds the middle 95 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import median_filter
from scipy.special import betaln

from anomaly.baseline.noise import ORDER
from anomaly.baseline.robust import Bools, Floats, spread
from anomaly.scoring.questions import LEVELS, LONGEST, Question, QuestionKind
from anomaly.scoring.timeline import Timeline

LEAST_REACH = 24  # steps looked at before the release, where the observation is shorter
# standard deviations of the noise that a step may be from the median of its neighbours: a wild one
# is no beginning
CLIP = 4.0
NEIGHBOURS = 9
PRIOR = 5.0  # standard deviation of a change's size, in that of the noise
LINES = 0.1  # how likely a line is beforehand, against a step
TAIL = 0.025  # on either side of the interval
JEFFREYS = 0.5
EARLIER = 3.0  # standard score of a change by the history alone, under which it shows none
# standard score of what the release added to an earlier change, and its size as a share of that
WORSE = 3.0
WORSE_SHARE = 0.5
LEVELLED = LEVELS | {
    QuestionKind.HIGH,
    QuestionKind.LOW,
    QuestionKind.HIGHEST,
    QuestionKind.LOWEST,
}  # asked about the level: high values raise it
MARKS = frozenset({QuestionKind.MISSING, QuestionKind.ZERO, QuestionKind.STUCK})


@dataclass(frozen=True, slots=True)
class Onset:
    """The likeliest first step of a change, and the ends of its 95 % interval; 0 is the first step
    after the transition.

    `earlier` says that all of the interval is before the transition, and that the release made it
    no worse. Else `step` is the likeliest that can be the release's.
    """

    step: int
    first: int
    last: int
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class _Stretch:
    """One series around the release, steps of the transition included: `y` as it is asked about,
    its noise `e` in standard deviations.

    `release` is the position of the first step of the transition, `start` of the first step after
    it. `shapes` are a change of size 1 that begins at the first step, a step and a line, as the
    noise would hold them; `level` is what a constant leaves there.
    """

    y: Floats
    e: Floats
    known: Bools
    shapes: tuple[Floats, Floats]
    level: float
    release: int
    start: int


def onset(line: Timeline, i: int, question: Question, *, until: int) -> Onset:
    """When the change that `question` found in series `i` began, from the observation's first
    `until` steps."""
    at = _stretch(line, i, question.kind, until)
    if question.kind in MARKS:
        return _located(at, _switched(at))
    step, growing = (_moved(at, shape) for shape in at.shapes)
    return _located(at, np.logaddexp(step, growing + np.log(LINES)))


def switched(marks: Bools, before: int, gap: int) -> Onset:
    """When the share of marked steps grew; `before` of them are history."""
    y = _with_gap(marks.astype(float), before, gap)
    reach = min(before, max(len(marks) - before, LEAST_REACH))
    y = y[before - reach :]
    at = _Stretch(y, y, np.isfinite(y), (np.ones(len(y)), np.ones(len(y))), 1.0, reach, reach + gap)
    return _located(at, _switched(at))


def _with_gap(values: Floats, before: int, gap: int) -> Floats:
    return np.concatenate([values[:before], np.full(gap, np.nan), values[before:]])


def _stretch(line: Timeline, i: int, kind: QuestionKind, until: int) -> _Stretch:
    n, stop = line.before, line.before + until
    phi = line.phi[i] if kind in LEVELLED else np.zeros(ORDER)
    y = _with_gap(_asked(line, i, kind)[:stop], n, line.gap)
    e = y.copy()
    for lag in range(1, ORDER + 1):
        if phi[lag - 1]:
            e[lag:] -= phi[lag - 1] * y[:-lag]
            e[:lag] = np.nan
    reach = min(n // 2, LONGEST)
    sigma = float(spread(e[None, :n])[0]) or 1.0
    here = slice(n - reach, None)
    y, e = y[here], e[here] / sigma
    rising = np.ones(len(y)), np.arange(1.0, len(y) + 1) / max(until, 1)
    shapes = tuple(_filtered(shape, phi) / sigma for shape in rising)
    known = np.isfinite(e)
    e = np.where(known, e, 0.0)
    usual = median_filter(e, size=NEIGHBOURS, mode="nearest")
    return _Stretch(
        y,
        np.where(known, np.clip(e, usual - CLIP, usual + CLIP), 0.0),
        known,
        (shapes[0], shapes[1]),
        float(1 - phi.sum()) / sigma,
        reach,
        reach + line.gap,
    )


def _asked(line: Timeline, i: int, kind: QuestionKind) -> Floats:
    """The series whose level has changed: itself, how far its steps are out, or whether they are
    marked. NaN where unknown."""
    value = line.value[i]
    if kind is QuestionKind.MISSING:
        return np.asarray(~line.sampled[i], dtype=float)
    if kind is QuestionKind.ZERO:
        return np.where(np.isfinite(value), value == 0, np.nan)
    if kind is QuestionKind.STUCK:
        same = np.concatenate([[0.0], (np.diff(value) == 0) & (value[1:] != 0)])
        return np.where(np.isfinite(value), same, np.nan)
    if kind is QuestionKind.RHYTHM:
        return np.asarray(np.abs(line.residual[i]))
    return np.asarray(
        line.residual[i] if kind in LEVELLED else np.where(line.known[i], np.abs(line.z[i]), np.nan)
    )


def _filtered(shape: Floats, phi: Floats) -> Floats:
    out = shape.copy()
    for lag in range(1, min(ORDER, len(shape) - 1) + 1):
        out[lag:] -= phi[lag - 1] * shape[:-lag]
    return out


def _moved(at: _Stretch, shape: Floats) -> Floats:
    """Log evidence that a change of this shape begins at each position, its size normal around 0,
    the level before it free."""
    known, e = at.known.astype(float), at.e
    steps = max(known.sum(), 1.0)
    share = _from(known, shape) / steps
    projected = _from(e, shape) - share * e.sum()
    power = np.maximum(_from(known, shape**2) - share**2 * steps, 0.0)
    rest = float(((e - known * e.sum() / steps) ** 2).sum())
    least = rest - float((projected**2 / np.maximum(power, 1e-9)).max())
    variance = max(
        1.0, least / max(steps - 2, 1.0)
    )  # noise that was never so loud must not look like a change
    size = PRIOR**2 * power / variance
    return np.asarray(
        0.5 * projected**2 / np.maximum(power + variance / PRIOR**2, 1e-9) / variance
        - 0.5 * np.log1p(size)
    )


def _from(values: Floats, shape: Floats) -> Floats:
    """Sum over `values` times `shape`, for `shape` beginning at each position."""
    return np.asarray(np.convolve(values[::-1], shape)[: len(values)][::-1])


def _switched(at: _Stretch) -> Floats:
    """Log evidence that the share of marked steps is larger from each marked one on, both shares by
    Jeffreys' prior."""
    marked, known = np.where(at.known, at.y, 0.0), at.known.astype(float)
    before, so_far = (np.concatenate([[0.0], np.cumsum(each)[:-1]]) for each in (marked, known))
    after, left = marked.sum() - before, known.sum() - so_far
    evidence = betaln(before + JEFFREYS, so_far - before + JEFFREYS) + betaln(
        after + JEFFREYS, left - after + JEFFREYS
    )
    possible = (marked > 0) & (after * so_far >= before * left)
    possible[at.start] = True
    return np.asarray(np.where(possible, evidence, -np.inf))


def _located(at: _Stretch, evidence: Floats) -> Onset:
    first, last = _interval(evidence)
    if last < at.release:
        began = first + int(evidence[first : last + 1].argmax())
        if any(_went_on(at, shape) for shape in at.shapes):
            return Onset(began - at.start, first - at.start, last - at.start, earlier=True)
        first, last = (at.release + end for end in _interval(evidence[at.release :]))
    step = at.start + int(evidence[at.start :].argmax())
    return Onset(step - at.start, min(first, step) - at.start, max(last, step) - at.start)


def _interval(evidence: Floats) -> tuple[int, int]:
    below = np.cumsum(np.exp(evidence - evidence.max()))
    first, last = np.searchsorted(below / below[-1], [TAIL, 1 - TAIL])
    return int(first), min(int(last), len(evidence) - 1)


def _went_on(at: _Stretch, shape: Floats) -> bool:
    """Whether the history alone shows a change of this shape, which goes on so that the release
    added neither a step nor a line."""
    past = replace(at, e=at.e[: at.release], known=at.known[: at.release])
    alone, whole = (
        int(_moved(each, shape[: len(each.e)])[: at.release].argmax()) for each in (past, at)
    )
    (_, before), (_, sure), _ = _fitted(at, (_beginning(shape, whole),), at.release)
    *_, rest = _fitted(at, (_beginning(shape, whole),), len(at.e))
    return abs(before) > EARLIER * sure and not any(
        _added(at, shape, began, more, rest) for began in (alone, whole) for more in at.shapes
    )


def _added(at: _Stretch, shape: Floats, began: int, more: Floats, rest: float) -> bool:
    """Whether a second change, of the shape `more` and with the release, adds to that which `began`
    before and leaves less than `rest`."""
    (_, size, added), _, left = _fitted(
        at, (_beginning(shape, began), _beginning(more, at.start)), len(at.e)
    )
    so_far = (at.release - began) / (len(at.e) - at.start) if shape is at.shapes[1] else 1.0
    clear = rest - left > WORSE**2 * max(1.0, left / max(int(at.known.sum()) - 3, 1))
    return clear and added * size > 0 and abs(added) > WORSE_SHARE * abs(size) * so_far


def _beginning(shape: Floats, at: int) -> Floats:
    return np.concatenate([np.zeros(at), shape[: len(shape) - at]])


def _fitted(
    at: _Stretch, changes: tuple[Floats, ...], until: int
) -> tuple[list[float], list[float], float]:
    """The level before and the sizes of the changes, by least squares over the first steps, their
    standard errors, and the rest."""
    known = np.flatnonzero(at.known[:until])
    design = np.stack([np.full(len(at.e), at.level), *changes], axis=1)[known]
    sizes, *_ = np.linalg.lstsq(design, at.e[known], rcond=None)
    rest = float(((at.e[known] - design @ sizes) ** 2).sum())
    variance = max(1.0, rest / max(len(known) - design.shape[1], 1))
    return (
        sizes.tolist(),
        np.sqrt(variance * np.diag(np.linalg.pinv(design.T @ design))).tolist(),
        rest,
    )
