"""What the pointwise band is worth: the share of past steps that were inside a band learned from
what was before them alone."""

from __future__ import annotations

import numpy as np

from anomaly.baseline.robust import Ints
from anomaly.baseline.seasonal import Baseline
from anomaly.model import Coverage
from anomaly.scoring.effect import anchors, band
from anomaly.scoring.timeline import Timeline

HELD_OUT = 0.25  # share of the history, its end, that is judged by the rest
LEAST_STEPS = 100  # with a value, on both sides: of fewer a hundredth can't be said


def coverage(base: Baseline, line: Timeline, lag: Ints) -> tuple[Coverage | None, ...]:
    """The share of the held out steps that were inside the band, and how many these are, per
    series; None where they are too few.

    Each held out step is foreseen as if there had been a release at most as long before it as the
    watch is long: level (`lag`, see `Effects`) and band from the steps before that, the season
    without its own day (week).
    """
    n, after = line.before, line.after
    cut = n - round(HELD_OUT * n)
    present = line.present[:, :n]
    steps = present[:, cut:].sum(axis=1)
    enough = (steps >= LEAST_STEPS) & (present[:, :cut].sum(axis=1) >= LEAST_STEPS)
    if cut < 2 * after or not enough.any():
        return (None,) * len(lag)
    low, high = band(base, line, lag, cut)
    origin = np.arange(cut, n, after)
    off = line.residual[:, cut:n].copy()
    for each in np.unique(lag[lag > 0]):
        mine = np.flatnonzero(lag == each)
        off[mine] -= np.repeat(anchors(line.rows(mine), origin, int(each)), after, axis=1)[
            :, : n - cut
        ]
    with np.errstate(invalid="ignore"):
        inside = ((off >= low[:, None]) & (off <= high[:, None])).sum(axis=1)
    known = np.isfinite(off).sum(axis=1)
    return tuple(
        Coverage(int(within) / int(of), int(of)) if told and of else None
        for told, within, of in zip(enough, inside, known, strict=True)
    )
