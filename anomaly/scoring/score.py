"""Scoring: a baseline against what came after the release, one `Score` per series and the scored points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from anomaly.baseline import noise
from anomaly.baseline.robust import Bools, Floats
from anomaly.baseline.seasonal import BOUND, Baseline, by_hour
from anomaly.baseline.transform import forward
from anomaly.model import ChangeKind, Direction, Kpi
from anomaly.panel import Block, block
from anomaly.scoring.effect import Effects, estimate
from anomaly.scoring.exceptions import Exceptions, exceptions, share_interval
from anomaly.scoring.questions import LEVELS, Family, Question, Timeline, ask
from anomaly.scoring.replay import Scores, combine, scores
from anomaly.scoring.significance import Law, p_value

SPREADS = frozenset({Family.SPREAD, Family.SPREAD_BEFORE})
UPWARDS = LEVELS | SPREADS | {Family.HIGH, Family.MISSING, Family.STUCK}
DOWNWARDS = SPREADS | {Family.LOW, Family.ZERO, Family.MISSING, Family.STUCK}
KINDS = {
    Family.HIGH: ChangeKind.SPIKES,
    Family.LOW: ChangeKind.SPIKES,
    Family.SPREAD: ChangeKind.SPREAD,
    Family.SPREAD_BEFORE: ChangeKind.SPREAD,
    Family.ZERO: ChangeKind.OUTAGE,
    Family.STUCK: ChangeKind.SHAPE,
}
LEVEL_LEADS = 0.7  # a level question this near to the strongest names the change: a level can be acted on
LAST_PART, LEAST_LAST = 4, 4  # `recovered` looks at the last quarter, at least four steps
COMPATIBLE = 2.0  # standard scores
NEARER = 0.4  # a series is back when its level came this near to expected, as a share of what it was off before
EARLIER = 4.0  # standard score from which a stretch just before the release counts as changed already
EARLIER_STEPS, EARLIER_SHARE = 4, 0.5  # its least length, and its least level as a share of the level after the release
WORSE, WORSE_SHARE = 3.0, 1.5  # standard score, and ratio of levels, from which the release made it worse


@dataclass(frozen=True, slots=True)
class Score:
    """What the data of one series say, before tolerance, the other KPIs and the policy have their word.

    `p_bad` and `p_good` are p-values of a change in the bad and of a level change in the good direction, `p_other` of a bad
    change that is not one of level; None where the series can't be judged. `gaps` says that missing steps are what is surprising,
    `onset` at which step after the release the change began, `earlier` how many steps before the release, if it did and the
    release made it no worse; `back` that the last quarter of the observation is as expected again.
    """

    p_bad: float | None = None
    p_good: float | None = None
    p_other: float | None = None
    kind: ChangeKind | None = None
    gaps: bool = False
    onset: int | None = None
    earlier: int | None = None
    back: bool = False
    effect: float | None = None
    effect_interval: tuple[float, float] | None = None
    absolute: float | None = None
    absolute_interval: tuple[float, float] | None = None
    observed: float | None = None
    expected: float | None = None
    evidence: Mapping[str, str | float] = None  # type: ignore[assignment]
    effects: Effects | None = None
    row: int = 0

    def detectable(self, level: float, direction: Direction, tolerance: float, floor: float) -> tuple[float | None, float | None]:
        """Smallest level change, relative and absolute, that is found in four of five releases at this `level`."""
        if self.effects is None:
            return None, None
        from scipy.special import stdtrit  # noqa: PLC0415

        e, i = self.effects, self.row
        sides = 2 if direction is Direction.EITHER else 1
        power = 0.8416  # Φ⁻¹(0.8)
        needed = (float(stdtrit(e.freedom[i], 1 - level / sides)) + power) * float(e.error[i])
        sign = -1 if direction is Direction.DOWN else 1
        relative, absolute = e.shift(i, sign * needed)
        edge_relative, edge_absolute = e.shift(i, sign * (e.half_width(i) + power * float(e.error[i])))
        expected = abs(float(e.expected[i]))
        least = max(tolerance * expected, floor)
        absolute = max(abs(absolute), least + abs(edge_absolute) if least > 0 else 0.0)
        return (absolute / expected if expected > 0 and relative is not None and edge_relative is not None else None), absolute


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores in the order of `keys`, the scored points, and the data before and after."""

    keys: tuple[tuple[str, str], ...]
    scores: tuple[Score, ...]
    points: pd.DataFrame
    history: Block
    observation: Block


def score(base: Baseline, history: pd.DataFrame, observation: pd.DataFrame, kpis: Sequence[Kpi], gap: int) -> Scored:
    """Score every series of two panels with the same columns and `gap` steps of transition between them."""
    n = len(history)
    whole = pd.concat([history, observation])
    series, index = block(whole), pd.DatetimeIndex(whole.index)
    line = timeline(base, series, index, n, gap)
    directions = {kpi.name: kpi.direction for kpi in kpis}
    way = [directions[kpi] for kpi, _ in base.keys]
    effects = estimate(base, series, line, index)
    asked = ask(line)
    rest = scores(level, ask(level)) if asked and (level := without_shift(base, line, effects, index)) else None
    out = _scores(base, line, series, asked, rest, effects, exceptions(series.value, n), way)
    later = series.rows(n, len(index))
    return Scored(series.keys, tuple(out), points(effects, base.keys, later, index[n:]), series.rows(0, n), later)


def timeline(base: Baseline, series: Block, index: pd.DatetimeIndex, before: int, gap: int) -> Timeline:
    """History and observation as whitened residuals."""
    later = series.rows(before, len(index))
    after = index[before:]
    y = forward(later.value, base.scale, base.floor)
    x = (y - base.location(after)) / base.width(after, later.volume)
    x = np.concatenate([np.where(np.isfinite(series.value[:, :before]), base.residual, np.nan), x], axis=1)
    present = np.isfinite(x)
    x = np.clip(np.where(present, x, 0.0), -BOUND, BOUND)
    z, known = _whitened(base, x, present, index, before, gap)
    return Timeline(x, present, z, known, series.value, series.present, base.phi, before, gap)


def _whitened(base: Baseline, x: Floats, present: Bools, index: pd.DatetimeIndex, before: int, gap: int) -> tuple[Floats, Bools]:
    raw, known = noise.innovations(x, present, base.phi)
    if gap:
        known[:, before : before + noise.ORDER] &= ~(base.phi != 0).any(axis=1)[:, None]
    z = raw / base.innovation_spread[:, None] - base.innovation_centre[:, None]
    return np.where(known, z / by_hour(base.innovation_hours, base.clock(index).hour), 0.0), known


def without_shift(base: Baseline, line: Timeline, effects: Effects, index: pd.DatetimeIndex) -> Timeline:
    """The timeline with the change of level taken out of the observation: what else changed?

    The shift is the running median of the residuals over a quarter of the observation, which follows steps and ramps alike.
    """
    n = line.before
    later = np.where(line.present[:, n:], effects.z, np.nan)
    x = line.x.copy()
    x[:, n:] = np.where(line.present[:, n:], np.clip(later - _running_median(later, max(LEAST_LAST, line.after // LAST_PART)), -BOUND, BOUND), 0.0)
    z, known = _whitened(base, x, line.present, index, n, line.gap)
    return replace(line, x=x, z=z, known=known)


def _running_median(values: Floats, length: int) -> Floats:
    """Centred median over `length` steps, over fewer at the ends; NaN are left out."""
    frame = pd.DataFrame(values.T)
    return np.asarray(frame.rolling(length, center=True, min_periods=1).median().to_numpy().T)


def _one_sided(asked: Scores, way: Direction, i: int) -> tuple[list[tuple[Question, float]], list[tuple[Question, float]]]:
    """The scores of series `i` in the bad direction, and those of its level in the good one."""
    up = list(zip(asked.questions, asked.up[:, i], strict=True))
    down = list(zip(asked.questions, asked.down[:, i], strict=True))
    if way is Direction.EITHER:
        return up + [(q, s) for q, s in down if np.isfinite(s)], []
    if way is Direction.UP:
        return [(q, s) for q, s in up if q.family in UPWARDS], [(q, s) for q, s in down if q.family in LEVELS]
    bad = [(q, s) for q, s in up if q.family in DOWNWARDS] + [(q, s) for q, s in down if q.family in LEVELS]
    return bad, [(q, s) for q, s in up if q.family in LEVELS]


def _together(pairs: list[tuple[Question, float]], law: Law) -> float:
    if not pairs:
        return 1.0
    return float(p_value(combine(np.array([[s] for _, s in pairs])), law)[0])


def _scores(
    base: Baseline, line: Timeline, series: Block, asked: list[Question], rest: Scores | None, effects: Effects, rare: Exceptions, way: list[Direction]
) -> list[Score]:
    normal = scores(line, asked) if asked else None
    out = []
    for i, direction in enumerate(way):
        if normal is None or rest is None or not np.isfinite(series.value[i, : line.before]).any() or not line.present[i, line.before :].any():
            out.append(Score(row=i, effects=None, evidence={}))
            continue
        out.append(_score(base, line, series, normal, rest, effects, rare, direction, i))
    return out


def _score(base: Baseline, line: Timeline, series: Block, normal: Scores, rest: Scores, effects: Effects, rare: Exceptions, way: Direction, i: int) -> Score:
    bad, good = _one_sided(normal, way, i)
    law = Law.BOTH_WAYS if way is Direction.EITHER else Law.ONE_WAY
    p_bad, p_good = _together(bad, law), _together(good, Law.LEVEL)
    others = [(q, s) for q, s in _one_sided(rest, way, i)[0] if q.family not in LEVELS]
    p_other = _together(others, law)
    if p_good < p_bad:  # the level moved the good way; only what that does not explain can be bad
        bad, p_bad = others, max(p_bad, p_other)
    known = [(q, s) for q, s in bad if np.isfinite(s)]
    top = max(known, key=lambda pair: pair[1], default=None)
    gaps = top is not None and top[0].family is Family.MISSING
    kind, lead = _kind(known, top)
    if rare.constant[i]:
        bounds = {Direction.EITHER: (rare.any_p, None), Direction.UP: (rare.up_p, rare.down_p), Direction.DOWN: (rare.down_p, rare.up_p)}
        most, other = bounds[way]
        if not gaps:
            p_bad = float(most[i]) if rare.exact[i] else max(p_bad, float(most[i]))
            p_other = max(p_other, p_bad)
            kind = ChangeKind.LEVEL
        p_good = 1.0 if other is None else float(other[i]) if rare.exact[i] else max(p_good, float(other[i]))
    sizes = _sizes(line, series, effects, rare, i)
    x = np.where(line.present[i, line.before :], effects.z[i], 0.0)
    sign = -1.0 if (sizes[2] or 0) < 0 else 1.0
    onset = _onset(line, x, kind, sign, lead, rare, series, i)
    if kind is ChangeKind.LEVEL and _is_ramp(x, onset):
        kind = ChangeKind.RAMP
    earlier = _began_before(base, line, lead, i) if kind in (ChangeKind.LEVEL, ChangeKind.RAMP) and not rare.constant[i] else None
    return Score(
        p_bad=p_bad, p_good=p_good, p_other=p_other, kind=kind, gaps=gaps, onset=onset, earlier=earlier, back=_is_back(line, normal, effects, rare, i),
        effect=sizes[0], effect_interval=sizes[1], absolute=sizes[2], absolute_interval=sizes[3], observed=float(effects.observed[i]),
        expected=float(effects.expected[i]), evidence=_evidence(base, normal, known, effects, line, i), effects=None if rare.exact[i] else effects, row=i,
    )  # fmt: skip


def _kind(known: list[tuple[Question, float]], top: tuple[Question, float] | None) -> tuple[ChangeKind | None, Question | None]:
    """What moved, and the question that says so."""
    if top is None:
        return None, None
    level = max(((q, s) for q, s in known if q.family in LEVELS), key=lambda pair: pair[1], default=None)
    if level is not None and level[1] >= LEVEL_LEADS * top[1]:
        return ChangeKind.LEVEL, level[0]
    return KINDS.get(top[0].family), top[0]


def _sizes(
    line: Timeline, series: Block, effects: Effects, rare: Exceptions, i: int
) -> tuple[float | None, tuple[float, float] | None, float | None, tuple[float, float] | None]:
    """Relative effect and interval, absolute effect and interval."""
    if not rare.exact[i]:
        half = effects.half_width(i)
        move = float(effects.move[i])
        if not np.isfinite(move):
            return None, None, None, None
        relative, absolute = effects.shift(i, move)
        (low_r, low), (high_r, high) = effects.shift(i, move - half), effects.shift(i, move + half)
        return relative, (None if low_r is None or high_r is None else (low_r, high_r)), absolute, (low, high)
    later = series.value[i, line.before :]
    later = later[np.isfinite(later)]
    usual = float(rare.value[i])
    away = later[later != usual] - usual
    absolute = float(effects.observed[i]) - usual
    low, high = share_interval(len(away), len(later))
    size = float(away.mean()) if len(away) else 0.0
    interval = (min(low * size, high * size), max(low * size, high * size))
    if usual == 0:
        return None, None, absolute, interval
    return absolute / abs(usual), (interval[0] / abs(usual), interval[1] / abs(usual)), absolute, interval


def _onset(line: Timeline, x: Floats, kind: ChangeKind | None, sign: float, lead: Question | None, rare: Exceptions, series: Block, i: int) -> int | None:
    """The step after the release at which the change began: where its cumulative sum is lowest before its highest."""
    if len(x) == 0:
        return None
    later = series.value[i, line.before :]
    if rare.constant[i] and np.isfinite(later).any():
        strange = np.isfinite(later) & (later != rare.value[i])
        return int(strange.argmax()) if strange.any() else None
    if lead is not None and lead.family in (Family.MISSING, Family.ZERO, Family.STUCK):
        q = {Family.MISSING: ~line.sampled[i, line.before :], Family.ZERO: later == 0, Family.STUCK: np.r_[False, np.diff(later) == 0]}[lead.family].astype(float)
        q = q - 0.5 * q.mean()
    else:
        bounded = np.clip(x, -BOUND, BOUND)
        q = np.abs(bounded) - np.minimum(np.abs(line.x[i, : line.before]), BOUND).mean() if kind in (ChangeKind.SPREAD, ChangeKind.SPIKES) else sign * bounded
    total = np.concatenate([[0.0], np.cumsum(q - 0.5 * max(q.mean(), 0.0))])
    return int(min(total[: int(total.argmax()) + 1].argmin(), len(x) - 1))


def _began_before(base: Baseline, line: Timeline, lead: Question | None, i: int) -> int | None:
    """How many steps before the release the level had changed already, if the release made that no worse."""
    n = line.before
    reach = min(n // 2, max(line.after, EARLIER_STEPS))
    past, later = line.x[i, n - reach : n], line.x[i, n:]
    level = later.mean()
    sign = 1.0 if level >= 0 else -1.0
    total = np.concatenate([[0.0], np.cumsum(sign * np.concatenate([past, later]) - 0.5 * abs(level))])
    began = int(total[: reach + int(total[reach:].argmax()) + 1].argmin())
    steps = reach - began
    if lead is None or steps < EARLIER_STEPS:
        return None
    before = sign * past[began:].mean()
    if sign * _jump(line, i, n - steps, n) < EARLIER or before < EARLIER_SHARE * abs(level):
        return None
    worse = sign * _jump(line, i, n, n + line.after)
    return None if worse > WORSE and abs(level) > WORSE_SHARE * before else steps


def _jump(line: Timeline, i: int, start: int, stop: int) -> float:
    """Standard score of a level that jumps at `start` and stays to `stop`, under the autoregression (as `Family.JUMP`)."""
    a = np.full(stop - start, 1 - line.phi[i].sum())
    head = 1 - np.concatenate([[0.0], np.cumsum(line.phi[i])])[: len(a)]
    a[: len(head)] = head
    return float((a * np.clip(line.z[i, start:stop], -BOUND, BOUND)).sum() / np.sqrt((a**2).sum()))


def _is_ramp(x: Floats, onset: int | None) -> bool:
    """Whether a line from the onset explains the residuals better than a step."""
    rest = np.clip(x, -3 * BOUND, 3 * BOUND)[onset or 0 :]
    if len(rest) < 2 * LAST_PART:
        return False
    third = len(rest) // 3
    first, last = rest[:third].mean(), rest[-third:].mean()
    ramp = np.arange(1, len(rest) + 1) / len(rest)
    slope = (ramp * rest).sum() / (ramp**2).sum()
    return bool(np.abs(last) > 2 * np.abs(first) and ((rest - slope * ramp) ** 2).sum() < ((rest - rest.mean()) ** 2).sum())


def _is_back(line: Timeline, normal: Scores, effects: Effects, rare: Exceptions, i: int) -> bool:
    """Whether the last quarter of the observation is as expected again."""
    if rare.constant[i]:
        last = line.value[i, line.before :][-max(LEAST_LAST, line.after // LAST_PART) :]
        return line.after >= 2 * LEAST_LAST and bool((last == rare.value[i]).all())
    last = max(LEAST_LAST, line.after // LAST_PART)
    off = np.clip(effects.z[i][:-last], -BOUND, BOUND)
    z = effects.z[i][-last:]
    z = z[np.isfinite(z)]
    level = [q for q in normal.questions if q.family is Family.LEVEL]
    if len(z) < LEAST_LAST or line.after < 2 * LEAST_LAST or not level:
        return False
    nearest = min(level, key=lambda q: abs(q.size - len(z)))
    past = nearest.answers[i, :-1]
    scale = float(np.sqrt(np.nanmean(past**2))) if np.isfinite(past).any() else 1.0
    now = abs(np.clip(z, -BOUND, BOUND).mean())
    nearer = now < NEARER * max(abs(np.nanmean(off)), np.nanstd(off)) if np.isfinite(off).any() else False
    return bool(nearer and now < COMPATIBLE * max(scale, 1 / np.sqrt(len(z))) and np.abs(z).mean() < COMPATIBLE)


def _evidence(base: Baseline, normal: Scores, known: list[tuple[Question, float]], effects: Effects, line: Timeline, i: int) -> dict[str, str | float]:
    season = [word for word, has in (("day", base.season.has_day[i]), ("week", base.season.has_week[i])) if has]
    out: dict[str, str | float] = {
        "history steps": int(line.present[i, : line.before].sum()),
        "season": " and ".join(season) or "none",
        "scale": ("as it is", "logarithm", "square root")[int(base.scale[i])],
        "memory": round(float(base.phi[i].sum()), 3),
        "level": "of the whole history" if effects.lag[i] == 0 else f"of the {int(effects.lag[i])} steps before the release",
        "placebo releases": int(max((np.isfinite(q.answers[i, :-1]).sum() for q in normal.questions), default=0)),
    }
    for question, value in sorted(known, key=lambda pair: -pair[1])[:3]:
        out[f"{question.family} over {question.size} steps"] = f"{value:+.1f} sigma"
    return out


def points(effects: Effects, keys: Sequence[tuple[str, str]], series: Block, index: pd.DatetimeIndex) -> pd.DataFrame:
    """The scored steps after the release in long form, series after series."""
    count, steps = series.value.shape
    flagged: Bools = (series.value < effects.lower) | (series.value > effects.upper)
    return pd.DataFrame(
        {
            "kpi": np.repeat(np.array([k for k, _ in keys], dtype=object), steps),
            "segment": np.repeat(np.array([s for _, s in keys], dtype=object), steps),
            "time": index[np.tile(np.arange(steps), count)],
            "observed": series.value.ravel(),
            "expected": effects.at.ravel(),
            "lower": effects.lower.ravel(),
            "upper": effects.upper.ravel(),
            "z": effects.z.ravel(),
            "flagged": flagged.ravel(),
        }
    )
