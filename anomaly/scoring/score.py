"""Scoring: a baseline against what came after the release, one `Score` per series and the scored
points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from anomaly.baseline.robust import ROUNDING, Bools, Floats
from anomaly.baseline.seasonal import Baseline
from anomaly.baseline.transform import Scale
from anomaly.model import ChangeKind, Coverage, Direction, Interval, Kpi
from anomaly.panel import Block, block, long_form
from anomaly.scoring.attribution import (
    CHANCE,
    KINDS,
    LEAST_LAST,
    LEVEL_LEADS,
    NOISY,
    Answer,
    dates,
    has_recovered,
    has_settled,
    has_surely_settled,
    is_ramp,
    last_part,
    lead,
    noisiness,
    past_means,
    peak,
)
from anomaly.scoring.coverage import coverage
from anomaly.scoring.effect import Effect, Effects, estimate
from anomaly.scoring.exceptions import Exceptions, exceptions, share_interval, tail
from anomaly.scoring.onset import Onset, onset, switched
from anomaly.scoring.power import Power, power
from anomaly.scoring.questions import LEVELS, Question, QuestionKind, ask, local_volatility
from anomaly.scoring.replay import BESIDES, Scores, combine, joint_replay, pointing, scores
from anomaly.scoring.significance import NullDistribution, p_value
from anomaly.scoring.timeline import Timeline, timeline, without_shift
from anomaly.wording import stamp

MOST_EVIDENCE = 3
DIGITS = 10  # of a p-value: the last bits of a sum depend on how many series are summed beside it
BETTER = 0.1  # p-value of a move in the good direction under which a bad one must stand without it
MOSTLY, STRONG = 0.5, 2.0  # share of steps, and standard score of missing ones
SCALES = {Scale.IDENTITY: "as it is", Scale.LOG: "logarithm", Scale.ROOT: "square root"}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the change is, relative (or None, see `Effect.size`) and in the KPI's unit, with 95
    % intervals."""

    observed: float
    expected: float
    relative: float | None
    relative_interval: Interval | None
    absolute: float
    absolute_interval: Interval


@dataclass(frozen=True, slots=True)
class Beside:
    """The controls of a series that moved themselves, and what the series would be taken for
    without that.

    `controls` names them; `move` is their relative change of level, None if that does not compare.
    `p_alone` is the p-value of a bad change by the past of the series itself, `p_taught` by what
    the past taught about its controls.
    """

    controls: tuple[str, ...]
    move: float | None
    p_alone: float
    p_taught: float


@dataclass(frozen=True, slots=True)
class Score:
    """What the data of one series say, before tolerance, multiplicity and policy.

    `p_bad` is the p-value of a change in the bad direction, `p_good` of a level change in the good
    one, `p_other` of a bad change that is not one of level (1 where it was not computed). `gaps`:
    missing steps are the surprise. `onset`: when the change began. `recovered`: the last quarter of
    the observation is as expected again, from step `recovered_at` on. `sizes`, `effect` and `power`
    are None where there is no value. `beside` is set where a control moved, `coverage` where the
    history is long enough to measure the band.
    """

    p_bad: float
    p_good: float = 1.0
    p_other: float = 1.0
    kind: ChangeKind | None = None
    gaps: bool = False
    onset: Onset | None = None
    recovered: bool = False
    recovered_at: int | None = None
    sizes: Sizes | None = None
    effect: Effect | None = None
    power: Power | None = None
    beside: Beside | None = None
    coverage: Coverage | None = None
    notes: tuple[str, ...] = ()
    evidence: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores in the order of `keys` (None: nothing to judge), the scored points, and the data
    before and after.

    `replayed` `(series, placebo releases)` are the combined scores at the same placebo releases
    (see `joint_replay`).
    """

    keys: tuple[tuple[str, str], ...]
    scores: tuple[Score | None, ...]
    replayed: Floats
    points: pd.DataFrame
    history: Block
    observation: Block


def score(
    base: Baseline,
    history: pd.DataFrame,
    observation: pd.DataFrame,
    kpis: Sequence[Kpi],
    gap: int,
    *,
    report_below: float = 1.0,
) -> Scored:
    """Score every series of two panels with the same columns and `gap` steps of transition between
    them.

    `base` is fitted to `history`. Both panels have at least one row. A series whose numbers are too
    large to compute with has a score without sizes. Onset and recovery are computed only where p <
    `report_below`.
    """
    with np.errstate(all="ignore"):
        return _scored(base, history, observation, kpis, gap, report_below)


def _scored(
    base: Baseline,
    history: pd.DataFrame,
    observation: pd.DataFrame,
    kpis: Sequence[Kpi],
    gap: int,
    report_below: float,
) -> Scored:
    n = len(history)
    whole = pd.concat([history, observation])
    series, index = block(whole), pd.DatetimeIndex(whole.index)
    line = timeline(base, series, index, n, gap)
    effects = estimate(base, series, line, index)
    asked = _Asked(
        base,
        series,
        index,
        line,
        scores(line, ask(line)),
        local_volatility(line),
        effects,
        exceptions(series.value, n),
        coverage(base, line, effects.lag),
        report_below,
    )
    directions = {kpi.name: kpi.direction for kpi in kpis}
    later = series.rows(n, len(index))
    return Scored(
        keys=series.keys,
        scores=tuple(asked.score(i, directions[kpi]) for i, (kpi, _) in enumerate(series.keys)),
        replayed=joint_replay(asked.answers, [directions[kpi] for kpi, _ in series.keys]),
        points=_points(effects, later, index[n:], kpis),
        history=series.rows(0, n),
        observation=later,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """All that was asked of the series of a panel."""

    base: Baseline
    series: Block
    index: pd.DatetimeIndex
    line: Timeline
    answers: Scores
    local_volatility: Floats
    effects: Effects
    rare: Exceptions
    coverage: tuple[Coverage | None, ...]
    report_below: float

    def score(self, i: int, direction: Direction) -> Score | None:
        """The score of series `i`; None without a value on both sides of the release."""
        value, n = self.series.value[i], self.line.before
        if not np.isfinite(value[:n]).any():
            return None
        if not np.isfinite(value[n:]).any():
            return Score(p_bad=self._p_silence(i), gaps=True)
        silent = self._is_silent(i, one_sided(self.answers, i, direction)[0])
        return (
            self._constant(i, direction)
            if self.rare.exact[i] and not silent
            else self._varying(i, direction)
        )

    def _varying(self, i: int, direction: Direction) -> Score:
        bad, good = one_sided(self.answers, i, direction)
        null = (
            NullDistribution.BOTH_WAYS
            if direction is Direction.EITHER
            else NullDistribution.ONE_WAY
        )
        p_bad, p_good, p_other = _together(bad, null), _together(good, NullDistribution.LEVEL), 1.0
        better = p_good < BETTER and _strongest(good) >= LEVEL_LEADS * _strongest(bad)
        if better or min(p_bad, p_good) < self.report_below:
            others = self._besides_level(i, direction)
            p_other = _together(others, null)
            if better:  # only what a move for the better leaves can be bad
                bad, p_bad = others, max(p_bad, p_other)
        gaps = self._is_silent(i, bad)
        telling = good if p_good < p_bad else bad
        question = lead(
            [answer for answer in telling if (answer[0].kind is QuestionKind.MISSING) == gaps]
        )
        kind = (
            None
            if question is None
            else ChangeKind.LEVEL
            if question.kind in LEVELS
            else KINDS.get(question.kind)
        )
        if self.rare.constant[i] and not gaps:
            p_rare, p_rare_good = self.rare.p_values(i, direction)
            p_bad, p_good, p_other = (
                max(p_bad, p_rare),
                max(p_good, p_rare_good),
                max(p_other, p_rare),
            )
        effect = self.effects.of(i)
        out = Score(
            p_bad=p_bad,
            p_good=p_good,
            p_other=p_other,
            kind=kind,
            gaps=gaps,
            sizes=sizes_of(effect),
            effect=effect,
            power=self._power(i),
            coverage=self.coverage[i],
            evidence=self._evidence(i, bad),
        )
        if question is None or min(p_bad, p_good) >= self.report_below:
            return out
        return self._with_onset(i, out, dates(question, telling, p_other))

    def _besides_level(self, i: int, direction: Direction) -> list[Answer]:
        """The answers of series `i` that are bad once the change of its level is taken out."""
        mine, off = np.array([i]), self.effects.z[[i]] * self.effects.width[[i]]
        width = self.effects.width[[i]] * _grown(self.effects)[i]
        level = without_shift(self.base.rows(mine), self.line.rows(mine), off, width, self.index)
        answers = scores(level, ask(level, level=False))
        known = [
            (question, float(z))
            for question, z in zip(answers.questions, answers.up[:, 0], strict=True)
            if np.isfinite(z)
        ]
        return [(question, z) for question, z in known if question.kind in BESIDES[direction]]

    def _with_onset(self, i: int, found: Score, question: Question) -> Score:
        """The score with what there is to tell of its change: when it began, by this question, and
        whether it is over."""
        n = self.line.before
        off = np.where(self.line.present[i, n:], self.effects.z[i], np.nan)
        falls = found.effect is not None and found.effect.move < 0
        usual = past_means(
            np.where(self.line.present[i, :n], self.line.x[i, :n], np.nan), self.line.after
        )
        recovered, gone = has_recovered(off, usual), -off if falls else off
        named = question.kind in NOISY
        if named or found.p_other < CHANCE:
            noisiness_values = noisiness(self.line, i, question.kind)
            recovered &= has_settled(
                noisiness_values[n:], past_means(noisiness_values[:n], self.line.after)
            )
        if named:
            recovered &= has_surely_settled(noisiness_values[n:])
            gone = noisiness_values[n:]
        recovered_at = peak(np.nan_to_num(gone)) if recovered else self.line.after
        began = onset(self.line, i, question, until=recovered_at)
        ramp = found.kind is ChangeKind.LEVEL and is_ramp(np.nan_to_num(off), max(began.step, 0))
        return replace(
            found,
            kind=ChangeKind.RAMP if ramp else found.kind,
            onset=began,
            recovered=recovered,
            recovered_at=recovered_at if recovered else None,
        )

    def _constant(self, i: int, direction: Direction) -> Score:
        """A series that never left one value: every step that does is what there is to see."""
        usual, n = float(self.rare.value[i]), self.line.before
        later = self.series.value[i, n:]
        strange = np.isfinite(later) & (later != usual)
        p_bad, p_good = self.rare.p_values(i, direction)
        last = last_part(len(later))
        earlier = strange[:-last]
        marks = np.isfinite(self.series.value[i]) & (self.series.value[i] != usual)
        rarely = (
            (1 - earlier.mean()) ** last if len(earlier) else 1.0
        )  # chance of none in the last part, had nothing changed back
        return Score(
            p_bad=p_bad,
            p_good=p_good,
            kind=ChangeKind.LEVEL,
            onset=switched(marks, n, self.line.gap) if strange.any() else None,
            recovered=len(later) >= 2 * LEAST_LAST
            and not strange[-last:].any()
            and rarely < CHANCE,
            sizes=_sizes_of_exceptions(usual, later, self.series.volume[i, n:]),
            coverage=self.coverage[i],
            evidence={
                "history steps": int(np.isfinite(self.series.value[i, :n]).sum()),
                "always": usual,
                "steps that differ": int(strange.sum()),
            },
        )

    def _is_silent(self, i: int, bad: list[Answer]) -> bool:
        """Whether missing steps are the strongest sign, or strong while most steps are missing."""
        missing = _strongest([answer for answer in bad if answer[0].kind is QuestionKind.MISSING])
        mostly = self.line.sampled[i, self.line.before :].mean() < MOSTLY
        return missing > 0 and (missing == _strongest(bad) or (missing > STRONG and mostly))

    def _p_silence(self, i: int) -> float:
        """How surprising it is that no step of the observation has a value, given how many had none
        before."""
        missing, n = ~self.line.sampled[i], self.line.before
        return tail(int(missing[n:].sum()), self.line.after, int(missing[:n].sum()), n)

    def _power(self, i: int) -> Power | None:
        return (
            power(
                self.line,
                self.answers,
                self.local_volatility,
                self.effects,
                self.base.innovation_spread,
                i,
            )
            if self.answers.questions
            else None
        )

    def _evidence(self, i: int, bad: list[Answer]) -> dict[str, str | float]:
        season, lag = self.base.season, int(self.effects.lag[i])
        profiles = [
            word
            for word, kept in (("day", season.has_day[i]), ("week", season.has_week[i]))
            if kept
        ]
        first = int(self.line.sampled[i].argmax())
        out: dict[str, str | float] = (
            {"history since": stamp(self.base.history[first].to_pydatetime())} if first else {}
        )
        out |= {
            "history steps": int(self.line.present[i, : self.line.before].sum()),
            "season": " and ".join(profiles) or "none",
            "scale": SCALES[Scale(int(self.base.scale[i]))],
            "memory": round(float(self.base.phi[i].sum()), 3),
            "level": f"of the {lag} steps before the release" if lag else "of the whole history",
            "placebo releases": int(
                max(
                    (np.isfinite(q.answers[i, :-1]).sum() for q in self.answers.questions),
                    default=0,
                )
            ),
            "of them independent": int(self.line.present[i, : self.line.before].sum())
            // self.line.after,
        }
        for question, z in sorted(bad, key=lambda answer: -answer[1])[:MOST_EVIDENCE]:
            out[f"{question.kind} over {question.size} steps"] = f"{z:+.1f} sigma"
        return out


def one_sided(answers: Scores, i: int, direction: Direction) -> tuple[list[Answer], list[Answer]]:
    """The answers of series `i` that point in the bad direction, and those of its level in the good
    one."""
    plus, minus = pointing(answers.questions, direction)
    known = np.isfinite(answers.up[:, i])
    level = np.array([question.kind in LEVELS for question in answers.questions], dtype=bool)

    def signed(rising: Bools, falling: Bools) -> list[Answer]:
        up = [
            (answers.questions[j], float(answers.up[j, i])) for j in np.flatnonzero(rising & known)
        ]
        return up + [
            (answers.questions[j], -float(answers.up[j, i]))
            for j in np.flatnonzero(falling & known)
        ]

    return signed(plus, minus), [] if direction is Direction.EITHER else signed(
        level & ~plus, level & ~minus
    )


def _strongest(answers: list[Answer]) -> float:
    return max((z for _, z in answers), default=0.0)


def _together(answers: list[Answer], null: NullDistribution) -> float:
    if not answers:
        return 1.0
    p = float(p_value(combine(np.array([[z] for _, z in answers])), null)[0])
    return float(f"{p:.{DIGITS}g}")


def sizes_of(effect: Effect) -> Sizes | None:
    """How large an effect is; None where a number is too large to compute with."""
    half = effect.half_width()
    relative, absolute = effect.size(effect.move)
    (low_relative, low), (high_relative, high) = (
        effect.size(effect.move - half),
        effect.size(effect.move + half),
    )
    if not np.isfinite([absolute, low, high, effect.observed, effect.expected]).all():
        return None
    interval = (
        None if low_relative is None or high_relative is None else (low_relative, high_relative)
    )
    return Sizes(effect.observed, effect.expected, relative, interval, absolute, (low, high))


def _sizes_of_exceptions(usual: float, later: Floats, volume: Floats) -> Sizes | None:
    """How far the steps that differ from the `usual` value move the mean: how far they are from it,
    times their share; None where a number is too large to compute with."""
    seen = np.isfinite(later)
    value, weight = later[seen], volume[seen] / volume[seen].max()
    strange, steps = value != usual, len(value)
    differing = float(steps * weight[strange].sum() / weight.sum())
    away = 0.0
    if differing > 0:
        away = float(np.average(value[strange] - usual, weights=weight[strange]))
    share, ends = differing / steps, share_interval(differing, steps)
    absolute, low, high = (
        share * away,
        min(end * away for end in ends),
        max(end * away for end in ends),
    )
    if not np.isfinite([absolute, low, high, usual + absolute]).all():
        return None
    relative, relative_interval = None, None
    if usual != 0 and np.isfinite([low / abs(usual), high / abs(usual)]).all():
        relative, relative_interval = absolute / abs(usual), (low / abs(usual), high / abs(usual))
    return Sizes(usual + absolute, usual, relative, relative_interval, absolute, (low, high))


def _grown(effects: Effects) -> Floats:
    """By how much noise is taken to have grown with the level `(series, 1)`: that of counts grows
    with its root."""
    with np.errstate(all="ignore"):
        ratio = effects.observed / effects.expected
    counts = (effects.link == Scale.ROOT) & np.isfinite(ratio) & (ratio > 1)
    return np.sqrt(np.where(counts, ratio, 1.0))[:, None]


def _points(
    effects: Effects, later: Block, index: pd.DatetimeIndex, kpis: Sequence[Kpi]
) -> pd.DataFrame:
    """The scored steps after the release in long form, series after series; a band ends where the
    KPI's kind does. A distance larger than any number is the largest there is."""
    limits = {kpi.name: kpi.limits for kpi in kpis}
    least, most = (
        np.array([limits.get(name, (-np.inf, np.inf)) for name, _ in later.keys])
        .reshape(-1, 2)
        .T[:, :, None]
    )
    lower, upper = np.clip(effects.lower, least, most), np.clip(effects.upper, least, most)
    rounding = ROUNDING * (upper - lower)  # of counts the bound is a value that they have
    flagged = (later.value < lower - rounding) | (later.value > upper + rounding)
    drawn = {
        "observed": later.value,
        "expected": effects.at,
        "lower": lower,
        "upper": upper,
        "z": np.nan_to_num(effects.z, nan=np.nan),
        "flagged": flagged,
    }
    return long_form(later.keys, index, drawn)
