"""What control series predict of a series: learned from the past alone, and shrunk, so that a
control that tells nothing costs nothing.

A control is a series that the release cannot have touched. Deviations that both share in the past
are expected in both again; what is left is the release's (Brodersen et al. 2015). They are learned
by a regression on moves or, of slow steps, by a structural model with the controls in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.baseline.ridge import weights
from anomaly.baseline.robust import Bools, Floats, Ints, spread
from anomaly.baseline.seasonal import Baseline
from anomaly.baseline.structural import SLOW, beside_controls
from anomaly.model import Kpi
from anomaly.scoring.timeline import Timeline

WIDTHS = (1, 8, 64, 512)  # steps: what is shared is learned for fast and slow moves apart
LEAST_STRETCHES = 16  # of a band's width, before it can be tested on itself
MOST_FOLDS = 10  # of the cross-validation
STRETCHES_PER_FOLD = 4
# × 1 / stretches: the share of the error that must go, in stretches that were not used to learn.
GAIN = 4.0
LEAST_PRESENT = 0.5  # of the steps on both sides of the release, for a control to be used


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the controls predict of one series, in its standard deviations: `moves` per step
    `(time,)`, and the share of its past that they explain, 0 to 1.

    `controls` are the rows of those that move along; `correlation`, from 0 to 1, is that of the
    series with their mean. `wider` `(time,)` is how much wider than usual the spread is: where one
    of them is missing nothing is predicted.
    """

    moves: Floats
    explains: float
    correlation: float
    controls: Ints
    wider: Floats


def controls_of(keys: Sequence[tuple[str, str]], kpis: Sequence[Kpi]) -> Mapping[int, Ints]:
    """The rows of the controls of each row whose KPI has some.

    A control with the same `by` as its KPI controls segment by segment, and its total controls the
    segments that it lacks; any other control controls every segment.
    """
    by_name = {kpi.name: kpi for kpi in kpis}
    rows: dict[str, list[int]] = {}
    for row, (name, _) in enumerate(keys):
        rows.setdefault(name, []).append(row)
    controls_by_row = {}
    for row, (name, segment) in enumerate(keys):
        controls = [kpi for kpi in kpis if name in kpi.control_for]
        control_rows: list[int] = []
        for control in controls:
            has_same_split = bool(control.by) and set(control.by) == set(by_name[name].by)
            all_rows = rows.get(control.name, [])
            same_segment = [each for each in all_rows if keys[each][1] == segment]
            only_same = same_segment or (has_same_split and segment)
            control_rows += same_segment if only_same else all_rows
        if controls:
            controls_by_row[row] = np.array(control_rows, dtype=np.intp)
    return controls_by_row


def usable(line: Timeline, rows: Ints) -> Ints:
    """Those of the `rows` that have values in enough steps before and after the release, and are
    not constant."""
    before, after = line.present[rows, : line.before], line.present[rows, line.before :]
    varies = (line.x[rows, : line.before] != 0).any(axis=1)
    enough = (before.mean(axis=1) >= LEAST_PRESENT) & (after.mean(axis=1) >= LEAST_PRESENT)
    return np.asarray(rows[varies & enough])


def bands(line: Timeline) -> list[tuple[int, Floats]]:
    """The residuals around their mean in the past as a sum of fast and slow moves `(series, time)`,
    each with the steps a move takes.

    They are told apart by means over the steps so far, so that the past is treated like the steps
    after the release.
    """
    widths = [width for width in WIDTHS if width * LEAST_STRETCHES <= line.before] or [1]
    x, past = line.x, line.present[:, : line.before]
    total = x[:, : line.before].sum(axis=1, where=past, keepdims=True)
    x = x - total / np.maximum(past.sum(axis=1, keepdims=True), 1)
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
    return np.asarray(_window(x, width) / np.maximum(_window(present.astype(float), width), 1.0))


def _window(values: Floats, width: int) -> Floats:
    """Sums over the last `width` steps."""
    total = np.cumsum(values, axis=1)
    total[:, width:] = total[:, width:] - total[:, :-width]
    return np.asarray(total)


def learn(
    base: Baseline,
    line: Timeline,
    moves: Sequence[tuple[int, Floats]],
    row: int,
    controls: Ints,
) -> Prediction | None:
    """What the `controls` predict of series `row`; None if that is nothing. `moves` are the `bands`
    of the line, made with `base`.

    Of slow steps, a structural model with the controls in it predicts more where level and controls
    wander together.
    """
    prediction = by_bands(line, moves, row, controls)
    return _by_structure(base, line, row, controls, prediction) or prediction


def _by_structure(
    base: Baseline, line: Timeline, row: int, controls: Ints, other: Prediction | None
) -> Prediction | None:
    """What a structural model with the controls in it predicts; None where that is not clearly more
    than the `other` prediction."""
    complete = controls[np.isfinite(line.value[controls]).all(axis=1)]
    if base.step < SLOW or not len(complete):
        return None
    n, width = line.before, base.width(line.index, line.series.volume)[row]
    left = line.residual[row] - (0.0 if other is None else other.moves)
    beside = beside_controls(
        base,
        line.value[row],
        row,
        line.value[complete],
        (left * width)[:n],
        line.index,
        line.gap,
    )
    if beside is None:
        return None
    total, rows = beside.shift / width, complete[beside.weights != 0]
    explains, correlation = _explained(line, row, total, rows)
    # the model takes the place of one without controls
    without = 1.0 if base.foreseen is None else base.foreseen.at(line.index)[1][row]
    return Prediction(total, explains, correlation, rows, beside.wider / without)


def by_bands(
    line: Timeline, moves: Sequence[tuple[int, Floats]], row: int, controls: Ints
) -> Prediction | None:
    """What a regression on the controls' moves predicts.

    Each stretch of the past is predicted from the others, so that it is out of sample like what
    comes after the release.
    """
    n = line.before
    total = np.zeros(line.x.shape[1])
    weighs = np.zeros(len(controls), bool)
    for width, band in moves:
        others = band[controls] * line.present[row]
        cross_validation = _cross_validated(band[row], others, n, width)
        if cross_validation is None:
            continue
        past, shares = cross_validation
        total[:n] += past
        total[n:] += shares @ band[controls][:, n:]
        weighs |= shares != 0
    if not weighs.any():
        return None
    rows = controls[weighs]
    blind = np.asarray(~line.present[rows].all(axis=0))
    total[blind] = 0.0
    mask = line.present[row, :n] & ~blind[:n]
    rest = (line.x[row] - total)[:n][mask]
    spreads = spread(np.stack([line.x[row, :n][mask], rest]))
    explains, correlation = _explained(line, row, total, rows)
    return Prediction(
        moves=total,
        explains=explains,
        correlation=correlation,
        controls=rows,
        wider=np.where(blind & (spreads[1] > 0), max(1.0, spreads[0] / spreads[1]), 1.0),
    )


def _cross_validated(
    target: Floats, others: Floats, n: int, width: int
) -> tuple[Floats, Floats] | None:
    """The `n` past moves of a target as the moves of `others` predict them out of sample, and what
    each of these is worth; None where that takes away too little of the error."""
    stretches = n / width
    fold = np.arange(n) * min(MOST_FOLDS, max(2, int(stretches / STRETCHES_PER_FOLD))) // n
    moves, aim = others[:, :n], target[:n]
    masks = [fold == f for f in range(fold[-1] + 1)]
    grams = np.stack([moves[:, mask] @ moves[:, mask].T for mask in masks])
    crosses = np.stack([moves[:, mask] @ aim[mask] for mask in masks])
    powers = np.array([aim[mask] @ aim[mask] for mask in masks])
    gram, cross, power = grams.sum(axis=0), crosses.sum(axis=0), powers.sum()
    without = np.stack(
        [
            weights(gram - grams[f], cross - crosses[f], power - powers[f], stretches)
            for f in range(len(masks))
        ]
    )
    past = (without[fold].T * moves).sum(axis=0)
    error, before = float(((aim - past) ** 2).sum()), float(power)
    if before <= 0 or 1 - error / before <= GAIN / stretches:
        return None
    return past, weights(gram, cross, power, stretches)


def _explained(line: Timeline, row: int, moves: Floats, controls: Ints) -> tuple[float, float]:
    """Share of the past moves of the series that was predicted, and its correlation with the
    controls' mean, no larger than that.

    Both over stretches as long as the observation.
    """
    n, length = line.before, max(1, min(line.after, line.before // LEAST_STRETCHES))

    def stretch_means(values: Floats) -> Floats:
        return np.asarray(values[n % length : n].reshape(-1, length).mean(axis=1))

    whole, rest = stretch_means(line.x[row]), stretch_means(line.x[row] - moves)
    mean = stretch_means(line.x[controls].mean(axis=0))
    before, covariance = float((whole**2).sum()), float((whole * mean).sum())
    explains = max(0.0, 1 - float((rest**2).sum()) / before) if before > 0 else 0.0
    scale = float(np.sqrt(before * (mean**2).sum()))
    if scale <= 0:
        return explains, 0.0
    return explains, float(np.clip(covariance / scale, 0.0, np.sqrt(explains)))
