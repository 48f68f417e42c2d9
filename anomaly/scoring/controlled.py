"""Scoring beside control series: what moves in both is not the release's.

A KPI with controls is scored against a baseline that knows what they foresee. Where a control
itself moved, the past is no guide any more: then the KPI must have moved by its own past too, and
beyond its controls one for one (difference in differences).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from anomaly.baseline.seasonal import Baseline, Foreseen
from anomaly.baseline.transform import Scale
from anomaly.model import ChangeKind, Direction, Kpi
from anomaly.panel import block
from anomaly.scoring.controls import Learned, bands, controls_of, learn, usable
from anomaly.scoring.effect import TWO_SIDED, Effect
from anomaly.scoring.score import Beside, Score, Scored, score, sizes_of
from anomaly.scoring.timeline import timeline
from anomaly.wording import percent

MOVED = 0.05  # p-value under which a control counts as moved itself
LEVEL_KINDS = frozenset({ChangeKind.LEVEL, ChangeKind.RAMP})
LEAST_LEFT = (
    1e-3  # share of what was expected that counts as nothing left: its logarithm must be finite
)
WIDEST = 1e100  # interval of a logarithm, which says nothing and still has a square
LARGE = 1e6  # degrees of freedom of a size without error
MOST_NAMES = 3


def score_beside_controls(
    base: Baseline,
    history: pd.DataFrame,
    observation: pd.DataFrame,
    kpis: Sequence[Kpi],
    gap: int,
    *,
    report_below: float = 1.0,
) -> Scored:
    """`score`, with each KPI held against its controls (`Kpi.control_for`); without controls the
    same.

    With controls every change is reported in full, for they may make it another.
    """
    alone = score(
        base,
        history,
        observation,
        kpis,
        gap,
        report_below=1.0 if any(kpi.control_for for kpi in kpis) else report_below,
    )
    pairs = controls_of(alone.keys, kpis)
    if not pairs:
        return alone
    with np.errstate(all="ignore"):
        whole = pd.concat([history, observation])
        series, index = block(whole), pd.DatetimeIndex(whole.index)
        line = timeline(base, series, index, len(history), gap)
        present = {row: usable(line, rows) for row, rows in pairs.items()}
        moves = bands(line)
        found = {row: learn(line, moves, row, rows) for row, rows in present.items()}
        learned = {row: each for row, each in found.items() if each is not None}
        taught = alone
        if learned:
            taken = {alone.keys[row] for row in learned}
            mine = [(str(key[0]), str(key[1])) in taken for key in whole.columns]
            before, after = history.loc[:, mine], observation.loc[:, mine]
            moved = base.rows(np.array([*learned])).moved_by(
                _foreseen(base, index, series.volume, learned), block(before)
            )
            taught = _replaced(alone, learned, score(moved, before, after, kpis, gap))
    names = [_named(key) for key in alone.keys]
    directions = {kpi.name: kpi.direction for kpi in kpis}
    scores = list(taught.scores)
    for row, controls in present.items():
        own, by_past, kpi = alone.scores[row], taught.scores[row], alone.keys[row][0]
        if own is None or by_past is None:
            continue
        counted = learned[row].used if row in learned else controls
        others = {names[i]: other for i in counted if (other := alone.scores[i]) is not None}
        beside = _beside(
            own, by_past, others, learned[row].along if row in learned else 0.0, directions[kpi]
        )
        there = {alone.keys[i][0] for i in pairs[row]}
        silent = [each.name for each in kpis if kpi in each.control_for and each.name not in there]
        silent += [names[i] for i in pairs[row] if i not in controls]
        evidence = _evidence(learned.get(row), [names[i] for i in controls], [*others])
        scores[row] = replace(
            beside, notes=_notes(silent), evidence={**beside.evidence, **evidence}
        )
    return replace(taught, scores=tuple(scores))


def _foreseen(
    base: Baseline, index: pd.DatetimeIndex, volume: np.ndarray, learned: Mapping[int, Learned]
) -> Foreseen:
    """What was learned, on the transformed scale of each series."""
    width = base.width(index, volume)[[*learned]]
    return Foreseen(
        index,
        np.stack([each.moves for each in learned.values()]) * width,
        np.stack([np.where(each.blind, each.wider, 1.0) for each in learned.values()]),
    )


def _replaced(alone: Scored, rows: Iterable[int], taught: Scored) -> Scored:
    """The scores and points of `alone`, those of some rows replaced by `taught`."""
    replayed = alone.replayed.copy()
    scores, steps = list(alone.scores), alone.observation.value.shape[1]
    parts = [alone.points.iloc[i * steps : (i + 1) * steps] for i in range(len(scores))]
    for i, row in enumerate(rows):
        replayed[row] = taught.replayed[i]
        scores[row], parts[row] = taught.scores[i], taught.points.iloc[i * steps : (i + 1) * steps]
    return replace(
        alone, scores=tuple(scores), replayed=replayed, points=pd.concat(parts, ignore_index=True)
    )


def _beside(
    own: Score, taught: Score, controls: Mapping[str, Score], along: float, direction: Direction
) -> Score:
    """The score of a series beside its `controls`: `own` by its own past alone, `taught` by what
    the past taught about them.

    `along` is the correlation of the series with the controls in the past.
    """
    moved = {name: each for name, each in controls.items() if each.p_bad < MOVED / len(controls)}
    if not moved:
        return taught
    beyond = _difference(own, [*controls.values()], along)
    if beyond is not None:
        bad, good = _p_values(beyond, direction)
    else:  # no size to take off: where both moved alike it can't be told what is the release's
        bad = good = float(any(_alike(own, each) for each in moved.values()))
    shown = taught
    if own.p_bad < MOVED and beyond is not None:
        shown = replace(taught, sizes=sizes_of(beyond), effect=beyond)
    elif own.p_bad >= MOVED > taught.p_bad:
        shown = replace(taught, sizes=own.sizes, effect=own.effect)
    return replace(
        shown,
        p_bad=max(taught.p_bad, own.p_bad, bad),
        p_good=max(taught.p_good, own.p_good, good),
        p_other=max(taught.p_other, own.p_other),
        beside=Beside(
            tuple(moved), None if beyond is None else _size(moved.values()), own.p_bad, taught.p_bad
        ),
    )


def _alike(own: Score, control: Score) -> bool:
    """Whether a control moved as its series did: in level the same way, or both in spread, spikes
    or such."""
    if own.gaps or own.kind not in LEVEL_KINDS:
        return not own.gaps and control.kind == own.kind
    sizes = own.sizes, control.sizes
    return (
        control.kind in LEVEL_KINDS
        and sizes[0] is not None
        and sizes[1] is not None
        and sizes[0].absolute * sizes[1].absolute > 0
    )


def _difference(own: Score, controls: Sequence[Score], along: float) -> Effect | None:
    """Difference in differences: the relative change of level beyond the median of the controls',
    as sure as both together.

    Controls explain a change away, as far as it goes, and never make one: one that moved the other
    way, or further, is not followed. None where a relative change does not exist, as below 0, or it
    is no level that changed.
    """
    if own.kind not in LEVEL_KINDS or own.sizes is None or own.sizes.relative is None:
        return None
    if own.sizes.expected < 0:
        return None
    comparable = [
        _log_effect(each)
        for each in controls
        if each.sizes is not None and each.sizes.relative is not None
    ]
    if not comparable:
        return None
    (move, half), (moves, halves) = _log_effect(own), np.array(comparable).T
    together = float(np.clip(np.median(moves), min(0.0, move), max(0.0, move)))
    freedom = LARGE if own.effect is None else own.effect.freedom
    other = math.sqrt(float((halves**2).mean()))
    both = max(0.0, half**2 + other**2 - 2 * along * half * other)  # rounding may end below 0
    error = math.sqrt(both) / float(stdtrit(freedom, TWO_SIDED))
    return Effect(
        own.sizes.observed,
        own.sizes.expected * math.exp(together),
        Scale.LOG,
        1.0,
        move - together,
        error,
        freedom,
    )


def _size(controls: Iterable[Score]) -> float | None:
    """Relative change of the controls, their median; None without one."""
    sizes = [
        each.sizes.relative
        for each in controls
        if each.sizes is not None and each.sizes.relative is not None
    ]
    return float(np.median(sizes)) if sizes else None


def _log_effect(result: Score) -> tuple[float, float]:
    """Logarithm of observed / expected, and half the width of its 95 % interval; that of the ratio
    if wider, for noise grows with it."""
    sizes = result.sizes
    # the caller compares only what has a relative size
    assert sizes is not None and sizes.relative is not None  # noqa: S101, PT018
    ends = sizes.relative_interval or (sizes.relative, sizes.relative)
    low, high = (math.log(max(1 + end, LEAST_LEFT)) for end in ends)
    width = min(max(high - low, ends[1] - ends[0]), WIDEST)
    return math.log(max(1 + sizes.relative, LEAST_LEFT)), width / 2


def _p_values(effect: Effect, direction: Direction) -> tuple[float, float]:
    """p-values of a change in the bad direction and in the good one, by Student's t."""
    rise = float(stdtr(effect.freedom, -effect.move / effect.error)) if effect.error > 0 else 0.5
    if direction is Direction.EITHER:
        return 2 * min(rise, 1 - rise), 1.0
    return (rise, 1 - rise) if direction is Direction.UP else (1 - rise, rise)


def _evidence(
    learned: Learned | None, present: Sequence[str], counted: Sequence[str]
) -> dict[str, str]:
    """What the controls that have data are worth, in words."""
    if learned is None:
        return {"controls not used": f"{_explain(present)} 0 % of the past"} if present else {}
    idle = [name for name in present if name not in counted]
    used = {"controls": f"{_explain(counted)} {percent(round(learned.explains, 2))} of the past"}
    return used | (
        {"controls not used": f"{_explain(idle)} nothing more of the past"} if idle else {}
    )


def _notes(silent: Sequence[str]) -> tuple[str, ...]:
    return (
        (f"no use of control {_listed(silent)}: too little data before or after the release",)
        if silent
        else ()
    )


def _explain(names: Sequence[str]) -> str:
    return f"{_listed(names)} {'explains' if len(names) == 1 else 'explain'}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _named(key: tuple[str, str]) -> str:
    return f"{key[0]} ({key[1]})" if key[1] else key[0]
