"""How good the pointwise band is: the share of past steps inside a band learned from what was
before them alone."""

from __future__ import annotations

import numpy as np

from anomaly.baseline.robust import Ints
from anomaly.baseline.seasonal import Baseline
from anomaly.model import Coverage
from anomaly.scoring.effect import anchors, band
from anomaly.scoring.timeline import Timeline

HELD_OUT = 0.25  # share of the history, its end, that is judged by the rest
LEAST_STEPS = 100  # with a value, on both sides: fewer cannot tell 99 % from 98 %


def coverage(base: Baseline, line: Timeline, lag: Ints) -> tuple[Coverage | None, ...]:
    """The share of the held out steps that were inside the band, and how many these are, per
    series; None where they are too few.

    Each held out step is predicted as if there had been a release before it, at most as long ago as
    the watch is long: level (`lag`, see `Effects`) and band from the steps before that, the season
    without its own day (week).
    """
    n, after = line.before, line.after
    cut = n - round(HELD_OUT * n)
    present = line.present[:, :n]
    enough = (present[:, cut:].sum(axis=1) >= LEAST_STEPS) & (
        present[:, :cut].sum(axis=1) >= LEAST_STEPS
    )
    if cut < 2 * after or not enough.any():
        return (None,) * len(lag)
    low, high = band(base, line, lag, cut)
    origin = np.arange(cut, n, after)
    off = line.residual[:, cut:n].copy()
    for each in np.unique(lag[lag > 0]):
        rows = np.flatnonzero(lag == each)
        anchor = np.repeat(anchors(line, origin, int(each), rows), after, axis=1)
        off[rows] -= anchor[:, : n - cut]
    with np.errstate(invalid="ignore"):
        inside = ((off >= low[:, None]) & (off <= high[:, None])).sum(axis=1)
    steps = np.isfinite(off).sum(axis=1)
    return tuple(
        Coverage(int(inside[i]) / int(steps[i]), int(steps[i])) if enough[i] and steps[i] else None
        for i in range(len(lag))
    )
