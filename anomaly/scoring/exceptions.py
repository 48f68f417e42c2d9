"""Series that hardly ever leave one value: a step that does is the surprise, or that none does any
more.

With e exceptions in n steps, the exceptions among m later steps follow a beta-binomial distribution
(Jeffreys' prior ½, ½). A single event is no surprise, however clean the history was.

Where the past has enough exceptions to say how large they are, one that is far larger is a
surprise, too. Any power law of the sizes makes their logarithms exponential; the larger half of the
past tells how far one may lie beyond their median.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anomaly.baseline.robust import ROUNDING, Bools, Floats, median
from anomaly.model import Direction
from anomaly.panel import Block

MOSTLY = 0.9  # share of the history at one value from which a series counts as nearly constant
TINY = np.finfo(float).tiny
PRIOR = 0.5  # Jeffreys' prior of a share
CONFIDENCE = 0.95
LEAST_SIZES = 8  # past exceptions that say how large one is
FEWEST_PAUSES, LONGER = (
    20,
    2.0,
)  # that tell how long a pause may be; by how many times, to be a stop
PRIOR_SIZES = 4.0  # exceptions' worth of belief that the larger half is e times the median


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Per series: whether it is nearly or exactly constant, at which value, and the p-values that
    the exceptions changed in number or grew, that values moved up, and that they moved down (1
    where it is not constant)."""

    constant: Bools
    exact: Bools
    value: Floats
    any_p: Floats
    up_p: Floats
    down_p: Floats

    def p_values(self, i: int, direction: Direction) -> tuple[float, float]:
        """For series `i`, in the bad direction and in the good one."""
        if direction is Direction.EITHER:
            return float(self.any_p[i]), 1.0
        up, down = float(self.up_p[i]), float(self.down_p[i])
        return (up, down) if direction is Direction.UP else (down, up)


def exceptions(series: Block, before: int) -> Exceptions:
    """Count the exceptions of the series before and after row `before`."""
    value = series.value
    usual = median(value[:, :before])
    differs = is_exception(value, usual[:, None])
    has_value = np.isfinite(value)
    past, later = has_value[:, :before].sum(axis=1), has_value[:, before:].sum(axis=1)
    above, below = differs & (value > usual[:, None]), differs & (value < usual[:, None])
    count = differs[:, :before].sum(axis=1)
    constant = (past > 0) & (count <= (1 - MOSTLY) * past)
    any_p, up_p, down_p = np.ones((3, len(value)))
    events = np.abs(series.amount - usual[:, None] * series.volume)
    is_one = _is_one_event(series, differs, usual, before)
    for i in np.flatnonzero(constant & ~is_one):
        steps = int(later[i]), int(past[i])
        any_p[i] = _p_of(differs[i], differs[i], events[i], before, *steps)
        up_p[i] = _p_of(above[i], below[i], events[i], before, *steps)
        down_p[i] = _p_of(below[i], above[i], events[i], before, *steps)
    exact = (past > 0) & (count == 0)
    return Exceptions(constant, exact, usual, any_p, up_p, down_p)


def _p_of(more: Bools, fewer: Bools, events: Floats, before: int, m: int, n: int) -> float:
    """The p-value of more or larger exceptions of one kind, or fewer of the other, in `m` steps
    after `n`."""
    ps = [tail(int(more[before:].sum()), m, int(more[:before].sum()), n)]
    if fewer[:before].any():
        ps.append(head(int(fewer[before:].sum()), m, int(fewer[:before].sum()), n))
    if more[:before].sum() >= LEAST_SIZES:
        ps.append(larger(events[before:][more[before:]], events[:before][more[:before]]))
    return min(1.0, len(ps) * min(ps))


def larger(later: Floats, past: Floats) -> float:
    """P(the largest of so many exceptions is at least that of `later`), by the sizes of the `past`.

    The predictive distribution of exponential logarithms beyond their median.
    """
    if not len(later):
        return 1.0
    past = np.maximum(past, TINY)
    sizes, unit = np.log(past), min(1.0, past.min())
    middle = np.median(sizes)
    # a count of 1 may stand for anything under 2
    least = np.log1p(unit / 2 / past)
    beyond = np.maximum(sizes - middle, least)[sizes >= middle]
    excess = max(0.0, float(np.log(max(later.max(), TINY)) - middle))
    scale, count = beyond.sum() + PRIOR_SIZES, len(beyond) + PRIOR_SIZES
    chance = len(beyond) / len(past) * (1 + excess / scale) ** -count
    return float(min(1.0, len(later) * chance))


def is_exception(value: Floats, usual: Floats | float) -> Bools:
    """Where a value is there and differs from the usual one by more than rounding."""
    return np.asarray(np.isfinite(value) & (np.abs(value - usual) > ROUNDING * np.abs(usual)))


def _is_one_event(series: Block, differs: Bools, usual: Floats, before: int) -> Bools:
    """Whether the later exceptions are one event: one error, or one request that failed."""
    later = differs[:, before:]
    amount, volume = series.amount[:, before:], series.volume[:, before:]
    events = np.where(later, np.abs(amount - usual[:, None] * volume), 0.0).sum(axis=1)
    counts = series.ratio | (usual == 0)
    return np.asarray(counts & (later.sum(axis=1) == 1) & (np.abs(events - 1) < ROUNDING))


def tail(k: int, m: int, e: int, n: int) -> float:
    """P(at least `k` of `m` steps are exceptions | `e` of `n` were)."""
    return 1.0 if k <= 0 or m <= 0 else _chance(np.arange(k, m + 1), m, e, n)


def head(k: int, m: int, e: int, n: int) -> float:
    """P(at most `k` of `m` steps are exceptions | `e` of `n` were)."""
    return 1.0 if k >= m else _chance(np.arange(k + 1), m, e, n)


def _chance(i: np.ndarray, m: int, e: int, n: int) -> float:
    """P(one of the numbers `i` of exceptions in `m` steps | `e` of `n` were)."""
    from scipy.special import betaln, gammaln, logsumexp

    choose = gammaln(m + 1) - gammaln(i + 1) - gammaln(m - i + 1)
    a, b = PRIOR + e, PRIOR + n - e
    return float(min(1.0, np.exp(logsumexp(choose + betaln(i + a, m - i + b) - betaln(a, b)))))


def share_interval(k: float, m: int) -> tuple[float, float]:
    """Jeffreys' 95 % interval of a share of `k` in `m`; of weighted steps `k` need not be whole."""
    from scipy.special import betaincinv

    ends = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    low, high = betaincinv(k + PRIOR, m - k + PRIOR, ends)
    return (float(low) if k >= 1 else 0.0, float(high) if k <= m - 1 else 1.0)


def p_of_a_stop(before: Floats, later: Floats) -> float:
    """The probability of no event in all the steps `later`, by how long there was none `before`; 1
    where there was one, or where the pauses of the history tell too little.

    Pauses are taken for exponential, with the scale that the mean one has or, where it is larger,
    that which makes the longest one typical of so many.
    """
    before, later = before[np.isfinite(before)], later[np.isfinite(later)]
    events = np.flatnonzero(before > 0)
    if len(events) < FEWEST_PAUSES or not len(later) or (later > 0).any():
        return 1.0
    pauses = np.diff(events, prepend=-1, append=len(before))
    longest = float(pauses.max())
    if len(later) < LONGER * longest:
        return 1.0
    scale = max(float(pauses.mean()), longest / math.log(len(pauses)))
    return math.exp(-len(later) / scale)
