"""What control series foresee of a series: learned from the past alone, and shrunk, so that one
that says nothing costs nothing.

A control is a series that the release cannot have touched. Deviations that both share in the past
are expected in both again; what is left is the release's (a regression on controls, as in Brodersen
et al. 2015, in place of their structural model).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.baseline.robust import Bools, Floats, Ints, spread
from anomaly.model import Kpi
from anomaly.scoring.timeline import Timeline

WIDTHS = (1, 8, 64, 512)  # steps: what is shared is learned for fast and slow moves apart
LEAST_STRETCHES = 16  # of a band's width, before it can be tested on itself
MOST_FOLDS = 10
CLEAR = 6.0  # squared t-statistic from which a control is believed to go along
# × 1 / stretches: share of the error that must go, in stretches that the shares were not learned
# from
GAIN = 4.0
LEAST_PRESENT = 0.5  # of the steps on both sides of the release, for a control to be used


@dataclass(frozen=True, slots=True)
class Learned:
    """What the controls foresee of one series, in its standard deviations: `moves` per step
    `(time,)`, and how much of its past, 0 to 1.

    `used` are the rows of the controls that go along, `along` is how far their mean does, a
    correlation from 0 to 1. Where one of them is missing (`blind`) nothing is foreseen, and the
    spread is `wider` than elsewhere.
    """

    moves: Floats
    explains: float
    along: float
    used: Ints
    blind: Bools
    wider: float


def controls_of(keys: Sequence[tuple[str, str]], kpis: Sequence[Kpi]) -> Mapping[int, Ints]:
    """The rows of the controls of each row whose KPI has some.

    A control with the same `by` as its KPI controls segment by segment, and with all of them a
    total that it has no equal of; any other controls every segment.
    """
    by_name = {kpi.name: kpi for kpi in kpis}
    rows: dict[str, list[int]] = {}
    for row, (name, _) in enumerate(keys):
        rows.setdefault(name, []).append(row)
    out = {}
    for row, (name, segment) in enumerate(keys):
        controls = [kpi for kpi in kpis if name in kpi.control_for]
        mine: list[int] = []
        for control in controls:
            alike = bool(control.by) and set(control.by) == set(by_name[name].by)
            equal = [each for each in rows.get(control.name, ()) if keys[each][1] == segment]
            mine += equal if equal or (alike and segment) else rows.get(control.name, ())
        if controls:
            out[row] = np.array(mine, dtype=np.intp)
    return out


def usable(line: Timeline, rows: Ints) -> Ints:
    """Those of the `rows` that have values in enough steps before and after the release, and are no
    constants."""
    before, after = line.present[rows, : line.before], line.present[rows, line.before :]
    varies = (line.x[rows, : line.before] != 0).any(axis=1)
    kept = varies & (before.mean(axis=1) >= LEAST_PRESENT) & (after.mean(axis=1) >= LEAST_PRESENT)
    return np.asarray(rows[kept])


def bands(line: Timeline) -> list[tuple[int, Floats]]:
    """The residuals around their mean in the past as a sum of fast and slow moves `(series, time)`,
    each with the steps a move takes.

    Means over the steps so far tell them apart, so that a step of the past is treated as one after
    the release is.
    """
    widths = [width for width in WIDTHS if width * LEAST_STRETCHES <= line.before] or [1]
    x, past = line.x, line.present[:, : line.before]
    x = x - x[:, : line.before].sum(axis=1, where=past, keepdims=True) / np.maximum(
        past.sum(axis=1, keepdims=True), 1
    )
    smooth = [_mean_so_far(np.where(line.present, x, 0.0), line.present, width) for width in widths]
    slower = [*smooth[1:], np.zeros_like(x)]
    return [
        (width, np.where(line.present, fast - slow, 0.0))
        for width, fast, slow in zip(widths, smooth, slower, strict=True)
    ]


def _mean_so_far(x: Floats, present: Bools, width: int) -> Floats:
    """Mean over the last `width` steps that are present, `(series, time)`."""
    if width == 1:
        return x
    total, count = (np.cumsum(each, axis=1) for each in (x, present.astype(float)))
    total[:, width:], count[:, width:] = (
        total[:, width:] - total[:, :-width],
        count[:, width:] - count[:, :-width],
    )
    return np.asarray(total / np.maximum(count, 1.0))


def learn(
    line: Timeline, moves: Sequence[tuple[int, Floats]], row: int, controls: Ints
) -> Learned | None:
    """What the `controls` foresee of series `row`; None if that is nothing. `moves` are the `bands`
    of the line.

    Each stretch of the past is foreseen from the others, so that it is out of sample like what
    comes after the release.
    """
    n = line.before
    foreseen = np.zeros(line.x.shape[1])
    used = np.zeros(len(controls), bool)
    for width, band in moves:
        stretches = n / width
        fold = np.arange(n) * min(MOST_FOLDS, max(2, int(stretches / 4))) // n
        aim, others = band[row], band[controls] * line.present[row]
        grams = np.stack(
            [
                others[:, :n][:, fold == f] @ others[:, :n][:, fold == f].T
                for f in range(fold[-1] + 1)
            ]
        )
        crosses = np.stack(
            [others[:, :n][:, fold == f] @ aim[:n][fold == f] for f in range(fold[-1] + 1)]
        )
        powers = np.array([aim[:n][fold == f] @ aim[:n][fold == f] for f in range(fold[-1] + 1)])
        whole = _shares(grams.sum(axis=0), crosses.sum(axis=0), powers.sum(), stretches)
        apart = np.stack(
            [
                _shares(
                    grams.sum(axis=0) - gram,
                    crosses.sum(axis=0) - cross,
                    powers.sum() - power,
                    stretches,
                )
                for gram, cross, power in zip(grams, crosses, powers, strict=True)
            ]
        )
        past = (apart[fold].T * others[:, :n]).sum(axis=0)
        error, before = float(((aim[:n] - past) ** 2).sum()), float(powers.sum())
        if before <= 0 or 1 - error / before <= GAIN / stretches:
            continue
        foreseen[:n] += past
        foreseen[n:] += whole @ band[controls][:, n:]
        used |= whole != 0
    if not used.any():
        return None
    blind = np.asarray(~line.present[controls[used]].all(axis=0))
    foreseen[blind] = 0.0
    seen = line.present[row, :n] & ~blind[:n]
    usual, left = spread(np.stack([line.x[row, :n][seen], (line.x[row] - foreseen)[:n][seen]]))
    explains, along = _explained(line, row, foreseen, controls[used])
    return Learned(
        foreseen,
        explains,
        along,
        controls[used],
        blind,
        max(1.0, usual / left) if left > 0 else 1.0,
    )


def _shares(gram: Floats, cross: Floats, power: float, stretches: float) -> Floats:
    """How much each control's move is worth: ridge regression (Hoerl and Kennard 1970) on those
    that clearly go along."""
    own = np.diag(gram)
    with np.errstate(invalid="ignore", divide="ignore"):
        together = np.where(own > 0, np.nan_to_num(cross**2 / (own * power)), 0.0)
    clear = np.flatnonzero(together * stretches > CLEAR * (1 - np.minimum(together, 1.0)))
    out = np.zeros(len(cross))
    if len(clear):
        penalty = np.diag(own[clear]) * len(clear) / stretches
        out[clear] = np.linalg.solve(gram[np.ix_(clear, clear)] + penalty, cross[clear])
    return out


def _explained(line: Timeline, row: int, foreseen: Floats, controls: Ints) -> tuple[float, float]:
    """Share of what the series moved in the past that was foreseen, and its correlation with the
    controls' mean, no larger than that.

    Both over stretches as long as the observation.
    """
    n, length = line.before, max(1, min(line.after, line.before // LEAST_STRETCHES))
    start = n % length
    series = (line.x[row], line.x[row] - foreseen, line.x[controls].mean(axis=0))
    whole, left, mean = (each[start:n].reshape(-1, length).mean(axis=1) for each in series)
    before, together = float((whole**2).sum()), float((whole * mean).sum())
    explains = max(0.0, 1 - float((left**2).sum()) / before) if before > 0 else 0.0
    scale = float(np.sqrt(before * (mean**2).sum()))
    return explains, float(np.clip(together / scale, 0.0, np.sqrt(explains))) if scale > 0 else 0.0
