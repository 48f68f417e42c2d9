"""Scoring beside control series: what moves in both is not the release's.

A KPI with controls is scored against a baseline that includes what they predict. Where a control
itself moved, the past no longer tells. Then the KPI must also have moved by its own past, and
beyond its controls one for one (difference in differences).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from anomaly.baseline.robust import Floats
from anomaly.baseline.seasonal import Baseline, Foreseen
from anomaly.baseline.transform import Scale
from anomaly.model import ChangeKind, ControlEvidence, Direction, Kpi
from anomaly.panel import Block, LongForm, block
from anomaly.scoring.arms import ratio
from anomaly.scoring.controls import Prediction, bands, controls_of, learn, usable
from anomaly.scoring.effect import TWO_SIDED, Effect
from anomaly.scoring.score import score, score_timeline
from anomaly.scoring.scored import Beside, Score, Scored
from anomaly.scoring.sizes import sizes_of
from anomaly.scoring.student import t_quantile
from anomaly.scoring.timeline import Timeline, timeline
from anomaly.wording import p_value, percent

MOVED = 0.05  # p-value under which a control counts as moved itself
LEVEL_KINDS = frozenset({ChangeKind.LEVEL, ChangeKind.RAMP})
# Share of the expected value that counts as nothing left: its logarithm must be finite.
LEAST_LEFT = 1e-3
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
    hold_out: bool = False,
) -> Scored:
    """`score`, with each KPI compared with its controls (`Kpi.control_for`); without controls the
    same.
    """
    with np.errstate(all="ignore"):
        line = timeline(base, history, observation, gap)
        alone = score_timeline(base, line, kpis, report_below=report_below, hold_out=hold_out)
        candidates = controls_of(alone.keys, kpis)
        if not candidates:
            return alone
        controls = {row: usable(line, rows) for row, rows in candidates.items()}
        moves = bands(line)
        predictions = {
            row: prediction
            for row, rows in controls.items()
            if (prediction := learn(base, line, moves, row, rows)) is not None
        }
        with_controls = alone
        if predictions:
            again = _score_with(
                predictions,
                base,
                line,
                history,
                observation,
                kpis,
                report_below=report_below,
                hold_out=hold_out,
            )
            with_controls = _replaced(alone, predictions, again)
    names = [_name(key) for key in alone.keys]
    directions = {kpi.name: kpi.direction for kpi in kpis}
    scores = list(with_controls.scores)
    for row, rows in controls.items():
        own, by_controls, kpi = alone.scores[row], with_controls.scores[row], alone.keys[row][0]
        if own is None or by_controls is None:
            continue
        prediction = predictions.get(row)
        used = rows if prediction is None else prediction.controls
        others = {names[i]: other for i in used if (other := alone.scores[i]) is not None}
        correlation = 0.0 if prediction is None else prediction.correlation
        beside = _beside(own, by_controls, others, correlation, directions[kpi])
        with_series = {alone.keys[i][0] for i in candidates[row]}
        silent = [
            each.name for each in kpis if kpi in each.control_for and each.name not in with_series
        ]
        silent += [names[i] for i in candidates[row] if i not in rows]
        mismatches, unchecked = _of_splits(alone, row, candidates[row], kpis)
        evidence = _evidence(prediction, [names[i] for i in rows], [*others])
        scores[row] = replace(
            beside,
            mismatch="; ".join(mismatches),
            notes=(*_notes(silent), *unchecked),
            evidence=replace(beside.evidence, controls=evidence),
        )
    return replace(with_controls, scores=tuple(scores))


def _score_with(
    predictions: Mapping[int, Prediction],
    base: Baseline,
    line: Timeline,
    history: pd.DataFrame,
    observation: pd.DataFrame,
    kpis: Sequence[Kpi],
    *,
    report_below: float,
    hold_out: bool,
) -> Scored:
    """The scores of the series that have a prediction, against a baseline that includes it."""
    keys = {line.series.keys[row] for row in predictions}
    columns = [(str(key[0]), str(key[1])) in keys for key in history.columns]
    before, after = history.loc[:, columns], observation.loc[:, columns]
    own = base.rows(np.array([*predictions]))
    moved = own.moved_by(_foreseen(base, line, predictions), block(before))
    return score(moved, before, after, kpis, line.gap, report_below=report_below, hold_out=hold_out)


def _foreseen(base: Baseline, line: Timeline, predictions: Mapping[int, Prediction]) -> Foreseen:
    """The predictions, on the transformed scale of each series."""
    width = base.width(line.index, line.series.volume)[[*predictions]]
    return Foreseen(
        line.index,
        np.stack([each.moves for each in predictions.values()]) * width,
        np.stack([each.wider for each in predictions.values()]),
    )


def _replaced(alone: Scored, rows: Iterable[int], with_controls: Scored) -> Scored:
    """The scores, points and past of `alone`, those of some rows replaced by `with_controls`."""
    replayed, held_out = alone.replayed.copy(), alone.held_out.copy()
    scores, rows = list(alone.scores), [*rows]
    for i, row in enumerate(rows):
        replayed[row] = with_controls.replayed[i] if with_controls.replayed.size else np.nan
        held_out[row] = with_controls.held_out[i] if with_controls.held_out.size else np.nan
        scores[row] = with_controls.scores[i]
    return replace(
        alone,
        scores=tuple(scores),
        replayed=replayed,
        held_out=held_out,
        points=_with_rows(alone.points, rows, with_controls.points),
        before=_with_rows(alone.before, rows, with_controls.before),
    )


def _with_rows(of_all: LongForm, rows: Sequence[int], others: LongForm) -> LongForm:
    """The numbers about all series, those about some `rows` as others have them."""
    matrices = {name: each.copy() for name, each in of_all.matrices.items()}
    for name, each in others.matrices.items():
        matrices[name][[*rows]] = each
    return replace(of_all, matrices=matrices)


def _beside(
    own: Score,
    by_controls: Score,
    controls: Mapping[str, Score],
    correlation: float,
    direction: Direction,
) -> Score:
    """The score of a series beside its `controls`: `own` by its own past alone, `by_controls` by
    what they predict.

    `correlation` is that of the series with the controls in the past.
    """
    movers = {name: each for name, each in controls.items() if each.p_bad < MOVED / len(controls)}
    if not movers:
        return by_controls
    beyond = _difference(own, [*controls.values()], correlation)
    if beyond is not None:
        bad, good = _p_values(beyond, direction)
    else:  # no size to subtract: where both moved alike, the release's part cannot be told
        bad = good = float(any(_alike(own, each) for each in movers.values()))
    sized = by_controls
    if own.p_bad < MOVED and beyond is not None:
        sized = replace(by_controls, sizes=sizes_of(beyond), effect=beyond)
    elif own.p_bad >= MOVED > by_controls.p_bad:
        sized = replace(by_controls, sizes=own.sizes, effect=own.effect)
    move = None if beyond is None else _median_size(movers.values())
    return replace(
        sized,
        p_bad=max(by_controls.p_bad, own.p_bad, bad),
        p_exact=max(by_controls.p_exact, own.p_exact, bad),
        p_good=max(by_controls.p_good, own.p_good, good),
        p_other=max(by_controls.p_other, own.p_other),
        p_beyond=max(by_controls.p_beyond, own.p_beyond),
        beside=Beside(tuple(movers), move, own.p_bad, by_controls.p_bad),
    )


def _alike(own: Score, control: Score) -> bool:
    """Whether a control moved as its series did: in level the same way, or both in spread, spikes
    or such."""
    if own.gaps or own.kind not in LEVEL_KINDS:
        return not own.gaps and control.kind == own.kind
    if control.kind not in LEVEL_KINDS or own.sizes is None or control.sizes is None:
        return False
    return own.sizes.absolute * control.sizes.absolute > 0


def _difference(own: Score, controls: Sequence[Score], correlation: float) -> Effect | None:
    """Difference in differences: the relative change of level beyond the median of the controls',
    as certain as both together.

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
    shared = float(np.clip(np.median(moves), min(0.0, move), max(0.0, move)))
    freedom = LARGE if own.effect is None else own.effect.freedom
    other = math.sqrt(float((halves**2).mean()))
    # rounding may end below 0
    both = max(0.0, half**2 + other**2 - 2 * correlation * half * other)
    error = math.sqrt(both) / t_quantile(freedom, TWO_SIDED)
    return Effect(
        observed=own.sizes.observed,
        expected=own.sizes.expected * math.exp(shared),
        link=Scale.LOG,
        unit=1.0,
        move=move - shared,
        error=error,
        freedom=freedom,
    )


def _median_size(controls: Iterable[Score]) -> float | None:
    """Relative change of the controls, their median; None without one."""
    sizes = [
        each.sizes.relative
        for each in controls
        if each.sizes is not None and each.sizes.relative is not None
    ]
    return float(np.median(sizes)) if sizes else None


def _log_effect(result: Score) -> tuple[float, float]:
    """Logarithm of observed / expected, and half the width of its 95 % interval, or of the ratio's
    if wider, for noise grows with it."""
    sizes = result.sizes
    # the caller compares only what has a relative size
    assert sizes is not None and sizes.relative is not None  # noqa: S101, PT018
    ends = sizes.relative_interval or (sizes.relative, sizes.relative)
    low, high = math.log(max(1 + ends[0], LEAST_LEFT)), math.log(max(1 + ends[1], LEAST_LEFT))
    width = min(max(high - low, ends[1] - ends[0]), WIDEST)
    return math.log(max(1 + sizes.relative, LEAST_LEFT)), width / 2


def _p_values(effect: Effect, direction: Direction) -> tuple[float, float]:
    """p-values of a change in the bad direction and in the good one, by Student's t."""
    from scipy.special import stdtr

    rise = float(stdtr(effect.freedom, -effect.move / effect.error)) if effect.error > 0 else 0.5
    if direction is Direction.EITHER:
        return 2 * min(rise, 1 - rise), 1.0
    return (rise, 1 - rise) if direction is Direction.UP else (1 - rise, rise)


def _evidence(
    prediction: Prediction | None, controls: Sequence[str], used: Sequence[str]
) -> ControlEvidence | None:
    """What the controls that have data are worth; None without one."""
    if not controls:
        return None
    if prediction is None:
        return ControlEvidence(idle=tuple(controls))
    idle = tuple(name for name in controls if name not in used)
    return ControlEvidence(tuple(used), prediction.explains, idle)


def _of_splits(
    scored: Scored, row: int, controls: Iterable[int], kpis: Sequence[Kpi]
) -> tuple[list[str], list[str]]:
    """How the traffic of a series and of those of its controls that are the other arm of a split
    differs from what is declared, and with which that can't be checked."""
    mismatches, unchecked = list[str](), list[str]()
    by_name = {kpi.name: kpi for kpi in kpis}
    name, segment = scored.keys[row]
    for other in controls:
        control = by_name[scored.keys[other][0]]
        if control.split is None or scored.keys[other][1] != segment:
            continue
        label = _name(scored.keys[other])
        if not by_name[name].counts_traffic:
            unchecked.append(
                f"the split with {label} can't be checked: this KPI has neither a denominator nor "
                "kind: counts"
            )
            continue
        split = ratio(
            _traffic(scored.observation, row), _traffic(scored.observation, other), control.split
        )
        if split is not None and split.is_broken:
            mismatches.append(
                f"sample ratio mismatch with {label}: {percent(split.own / split.together)} of "
                f"{split.together:,.0f} here, {percent(split.declared)} declared, "
                f"{p_value(split.p_value)}; the arms do not compare"
            )
    return mismatches, unchecked


def _traffic(series: Block, row: int) -> Floats:
    """How much traffic a series stands for in each step; NaN where that is missing."""
    amount = series.volume[row] if series.ratio[row] else series.amount[row]
    return np.where(series.present[row], amount, np.nan)


def _notes(silent: Sequence[str]) -> tuple[str, ...]:
    return (
        (f"no use of control {_names(silent)}: too little data before or after the release",)
        if silent
        else ()
    )


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _name(key: tuple[str, str]) -> str:
    return f"{key[0]} ({key[1]})" if key[1] else key[0]
