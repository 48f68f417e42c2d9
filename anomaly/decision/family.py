"""Large families: of hundreds of series, how rare is the most surprising one at a harmless release?

The table of `anomaly.scoring.significance` holds for every kind of series, and its tail is that of
the worst kind. With thousands of series no change could pass it. But these have thousands of
placebo releases of their own. They say how surprising the series of this family are by themselves,
and an exponential tail carries that on to what is rarer. It claims little: scores grow with the
logarithm of the answers behind them, so that answers with any power for a tail have scores with an
exponential one. Few series may be far wilder than the others, and only the farthest part of the
tail is theirs. So tails are fitted to more and to fewer series, and the longest counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.baseline.robust import Bools, Floats
from anomaly.scoring.significance import NullDistribution, g_at, p_value

# Series whose most surprising placebo release makes a tail, and which share of all they may be.
TAILS = (10, 20, 40, 80, 160)
LARGEST_SHARE = 0.25
# Share of the placebo releases that is left out, those at which most series were surprising: an
# incident is no quiet time.
BUSIEST = 0.1
CENSORED = 0.2  # share of them, the most surprising, that only count as far as the next
CAUTION = 1.96  # standard errors by which a tail is taken to be longer
LEAST_SCALE = 0.5  # scores of normal answers fall by e over it: G is ¼ z², the tail exp(−½ z²)
SCALE = NullDistribution.BOTH_WAYS  # p-values are compared as the scores that would have them


@dataclass(frozen=True, slots=True)
class Tail:
    """p-values down to `edge` are taken as they are, but none is rarer than `share`. From there on
    their scores fall exponentially, by e over every `scale`."""

    edge: float
    share: float
    scale: float

    @property
    def begin(self) -> float:
        """How often a p-value is at most `edge`."""
        return max(self.edge, self.share)

    def rarity(self, p: Floats) -> Floats:
        """How often a p-value is at most `p`."""
        out = np.maximum(p, self.share)
        beyond = np.flatnonzero(p < self.edge)
        scores = np.array([g_at(float(each), SCALE) for each in p[beyond]])
        out[beyond] = self.begin * np.exp((g_at(self.edge, SCALE) - scores) / self.scale)
        return np.asarray(out)

    def p_at(self, rarity: Floats) -> Floats:
        """The p-values that are so rare: the inverse of `rarity`."""
        beyond = self.scale * np.log(self.begin / np.minimum(rarity, self.begin))
        least = p_value(g_at(self.edge, SCALE) + beyond, SCALE)
        return np.where(rarity < self.begin, least, rarity)


@dataclass(frozen=True, slots=True)
class NullLaw:
    """How often p-values are as small as they are in quiet series of a family: by the longest of
    some tails."""

    tails: tuple[Tail, ...]

    def rarity(self, p: Floats) -> Floats:
        """How often a p-value is at most `p`."""
        return np.asarray(np.maximum.reduce([tail.rarity(p) for tail in self.tails]))

    def p_at(self, rarity: Floats) -> Floats:
        """The p-values that are so rare."""
        return np.asarray(np.minimum.reduce([tail.p_at(rarity) for tail in self.tails]))


def learn_null_law(held_out: Floats) -> NullLaw | None:
    """The null law of a family from the p-values `(series, placebo releases)` of the last part of
    its history; None where they are too few."""
    smallest = _smallest(held_out)
    tails = [
        _tail(held_out[:, ~_busiest(held_out, smallest[count])], count)
        for count in TAILS
        if count < LARGEST_SHARE * len(smallest)
    ]
    finite_tails = tuple(tail for tail in tails if tail is not None)
    return NullLaw(finite_tails) if finite_tails else None


def _tail(quiet: Floats, count: int) -> Tail | None:
    """The tail of the `count` series that were the most surprising; None if no other is left."""
    smallest = _smallest(quiet)
    if len(smallest) <= count:
        return None
    edge = float(smallest[count])
    at_edge = g_at(edge, SCALE)
    beyond = [g_at(float(p), SCALE) - at_edge for p in smallest[:count]]
    share = float((quiet < edge).sum() / np.isfinite(quiet).sum())
    return Tail(edge, share, max(LEAST_SCALE, _scale(beyond)))


def _scale(beyond: Sequence[float]) -> float:
    """The cautious end of the scale of exponential excesses, the largest first, of which some are
    censored (Epstein and Sobel 1953): a single fluke is no tail."""
    censored = int(CENSORED * len(beyond))
    count = len(beyond) - censored
    scale = (sum(beyond[censored:]) + censored * beyond[censored]) / count
    return scale * (1 + CAUTION / math.sqrt(count))


def _smallest(p: Floats) -> Floats:
    """The smallest p-value of each series that has any, in order: what is wrong for a while shows
    at several placebo releases."""
    smallest = np.fmin.reduce(p, axis=1, initial=np.nan)
    return np.sort(smallest[np.isfinite(smallest)])


def _busiest(p: Floats, least: float) -> Bools:
    """The placebo releases at which most series had a p-value of at most `least`."""
    count = (p <= least).sum(axis=0)
    busiest = np.zeros(len(count), bool)
    busiest[np.argsort(-count, kind="stable")[: math.ceil(BUSIEST * len(count))]] = True
    return busiest
