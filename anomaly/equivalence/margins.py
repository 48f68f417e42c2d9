"""How a measured likeness is compared with its margin."""

from __future__ import annotations

from anomaly.equivalence.result import Aspect, Likeness
from anomaly.model import Interval

TWO_SIDED = 0.975


def aspect_within(value: float, interval: Interval, margin: Interval, reason: str) -> Aspect:
    """An aspect that is alike if the 95 % interval lies wholly within the margin, different if it
    lies wholly beyond it, and unclear otherwise.

    So two one-sided tests at 2.5 % each show likeness (Schuirmann 1987): what could not be shown is
    never alike.
    """
    low, high = interval
    if margin[0] <= low and high <= margin[1]:
        verdict = Likeness.ALIKE
    elif high < margin[0] or margin[1] < low:
        verdict = Likeness.DIFFERS
    else:
        verdict = Likeness.UNCLEAR
    return Aspect(verdict, value, interval, margin, reason)
