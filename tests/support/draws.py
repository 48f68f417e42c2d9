"""How often something happens, asked of no more draws than it takes to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from tests.support.simulations import Floats

RATES = np.linspace(0.002, 0.998, 120)
NEARLY = 0.002  # by which a probability may be larger and count as the same


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` of `of` draws may be events, asked in two steps: where no more than `early` of
    the `first` are, that is evidence enough; where more are, all are drawn, and one event fewer
    than `most` is allowed.

    Whatever the true rate of events is, the two steps accept it no more often than one step of `of`
    draws would. Raises ValueError for numbers of which this is not so.
    """

    most: int
    of: int
    first: int
    early: int

    def __post_init__(self) -> None:
        if (self.accepts(RATES) > binom.cdf(self.most, self.of, RATES) + NEARLY).any():
            raise ValueError(f"{self} accepts more than {self.most} of {self.of} would")

    def accepts(self, rate: Floats) -> Floats:
        """The probability that draws with a true rate of events are accepted."""
        later = self.of - self.first
        both = [
            binom.pmf(count, self.first, rate) * binom.cdf(self.most - 1 - count, later, rate)
            for count in range(self.early + 1, self.most)
        ]
        return np.asarray(binom.cdf(self.early, self.first, rate) + sum(both))

    def excess(self, events: Callable[[slice], int]) -> int:
        """How many events there are beyond what is allowed; `events` counts those among draws."""
        count = events(slice(self.first))
        if count <= self.early:
            return 0
        return max(count + events(slice(self.first, self.of)) - (self.most - 1), 0)
