"""Scoring: what came after the release against a baseline, one `Score` per series and the scored
points."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from anomaly.baseline.robust import ROUNDING, Bools, Floats, Ints
from anomaly.baseline.seasonal import BOUND, Baseline
from anomaly.baseline.transform import Scale, back, forward
from anomaly.model import (
    Answer,
    ChangeKind,
    Coverage,
    Direction,
    Evidence,
    Interval,
    Kpi,
    ValueScale,
)
from anomaly.panel import Block, below_each_other, long_form, only_grows
from anomaly.scoring.attribution import (
    CHANCE,
    LEAST_LAST,
    LEVEL_LEADS,
    QuestionScore,
    dating_question,
    has_ended,
    has_recovered,
    has_settled,
    is_ramp,
    last_part,
    naming_question,
    noisiness,
    other_question,
    past_means,
    stretch_end,
    stretch_off,
)
from anomaly.scoring.coverage import coverage
from anomaly.scoring.effect import Effect, Effects, estimate, pulled_in
from anomaly.scoring.exceptions import (
    Exceptions,
    exceptions,
    is_exception,
    p_of_a_stop,
    share_interval,
    tail,
)
from anomaly.scoring.onset import Onset, onset, onset_of_marks, spikes
from anomaly.scoring.power import Power, Powers
from anomaly.scoring.question_kinds import LASTING, SPECS, DatedBy, QuestionKind, StepMeasure
from anomaly.scoring.questions import Question, ask
from anomaly.scoring.recurrence import Recurrence, is_first_weekend, recurrence
from anomaly.scoring.replay import (
    Scores,
    combine,
    held_out_replay,
    joint_replay,
    pointing,
    scores,
    scores_of_each,
    weights_of,
)
from anomaly.scoring.significance import NullDistribution, null_of, p_value
from anomaly.scoring.timeline import (
    Timeline,
    timeline,
    with_deviation,
    without_change,
    without_shift,
)

MOST_ANSWERS = 3  # in the evidence
DIGITS = 10  # of a p-value: the last bits of a sum depend on how many series are summed beside it
BETTER = 0.1  # p-value of a good move from which on a bad change must show without it
ENOUGH_STEPS = 12  # of an observation of which one may be off by chance
LONE = 3.5  # standard deviations by which that one step stands out
ENOUGH_LONG = timedelta(days=1)  # a step of this length is no chance
ENOUGH_ALIKE = 3  # days or weeks that say what is usual at a time of the day or week
MOST_OFF = 1.0  # standard deviations that the typical step is off where the level moved
WIDER = 1.35  # standard deviations off, of the typical step where the spread is twice as large
MOVED = 2.0  # times its usual level, or a part: what was so before the release is no new normal
TINY = 1e-12
BUSY = 3.0  # standard deviations more than at most times, from which a change may be one of these
ERRORS_95 = 1.96  # standard errors on either side of a 95 % interval
MOSTLY, STRONG = 0.5, 2.0  # share of steps, and standard score of missing ones
TOGETHER = 16  # series that are looked at again in one call
GOOD = {Direction.UP: -1.0, Direction.DOWN: 1.0, Direction.EITHER: np.nan}  # sign of a good move
SCALES = {
    Scale.IDENTITY: ValueScale.IDENTITY,
    Scale.LOG: ValueScale.LOG,
    Scale.ROOT: ValueScale.ROOT,
}


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
    otherwise.

    `controls` names them; `move` is their relative change of level, None if that does not compare.
    `p_alone` is the p-value of a bad change by the past of the series itself, `p_taught` by what
    its controls predict.
    """

    controls: tuple[str, ...]
    move: float | None
    p_alone: float
    p_taught: float


@dataclass(frozen=True, slots=True)
class Rise:
    """By how much a series grew more over the observation than it usually does in such a time, in
    the KPI's unit (`absolute`), with the p-value of such growth in the bad direction."""

    absolute: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Already:
    """A level that was bad before the release, and no better since: how many `times` that of the
    whole history, infinitely many of nothing, and when that began."""

    times: float
    onset: Onset


@dataclass(frozen=True, slots=True)
class Score:
    """What the data of one series say, before tolerance, multiplicity and policy.

    `p_bad` is the p-value of a change in the bad direction, `p_good` of a level change in the good
    one, `p_other` of a bad change that is not one of level, `p_beyond` of a lasting level beyond
    tolerance and floor in the direction of the change (both 1 where not computed). `rise`: growth
    in the bad direction, whatever the level is. `gaps`: missing steps are the surprise. `compared`:
    there were enough values for a question. `onset`: when the change began. `recovered`: the last
    quarter of the observation is as expected again, from step `recovered_at` on. `sizes`, `effect`
    and `power` are None where there is no value. `already` is set where nothing new is bad, but
    much was shortly before the release. `beside` is set where a control moved, `coverage` where the
    history is long enough to measure the band. `p_exact` is a p-value that needs no placebo
    releases, such as that of a count of exceptions; `p_bad` is no smaller (0 without one).
    `recurrence` says when the same was seen before, `first_weekend` that it began on the first
    weekend there is, `mismatch` that it got another share of a split's traffic than it should.
    """

    p_bad: float
    p_exact: float = 0.0
    p_good: float = 1.0
    p_other: float = 1.0
    p_beyond: float = 1.0
    rise: Rise | None = None
    kind: ChangeKind | None = None
    gaps: bool = False
    compared: bool = True
    onset: Onset | None = None
    already: Already | None = None
    recovered: bool = False
    recovered_at: int | None = None
    sizes: Sizes | None = None
    effect: Effect | None = None
    power: Power | None = None
    beside: Beside | None = None
    coverage: Coverage | None = None
    recurrence: Recurrence | None = None
    first_weekend: bool = False
    mismatch: str = ""
    notes: tuple[str, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True, slots=True)
class Past:
    """What is kept of a history of so many `rows`, all `(series,)`: how many `steps` have a value,
    which `share` of those from the first one on (1 without any), the `least` and the `most` of
    these, their `mean` by volume (NaN where there is none), whether they `grow` all the time, and
    how many are `idle`: with a denominator of 0."""

    rows: int
    steps: Ints
    share: Floats
    least: Floats
    most: Floats
    mean: Floats
    grow: Bools
    idle: Ints

    @classmethod
    def of_history(cls, history: Block) -> Past:
        """What is kept of these data."""
        value, present = history.value, history.present
        has_value = np.isfinite(value)
        steps = has_value.sum(axis=1)
        with np.errstate(all="ignore"):
            volume = np.where(present, history.volume, 0.0).sum(axis=1)
            return cls(
                rows=value.shape[1],
                steps=steps,
                share=np.where(steps > 0, steps / (value.shape[1] - has_value.argmax(axis=1)), 1.0),
                least=np.fmin.reduce(value, axis=1, initial=np.nan),
                most=np.fmax.reduce(value, axis=1, initial=np.nan),
                mean=np.where(present, history.amount, 0.0).sum(axis=1) / volume,
                grow=np.array([only_grows(each) for each in value], dtype=bool),
                idle=idle(history),
            )

    def of(self, keep: Ints) -> Past:
        """The past of some series."""
        return Past(self.rows, *(getattr(self, name)[keep] for name in PER_SERIES))

    @classmethod
    def together(cls, parts: Sequence[Past]) -> Past:
        """The past of the series of several panels with the same rows."""
        return cls(
            parts[0].rows,
            *(np.concatenate([getattr(part, name) for part in parts]) for name in PER_SERIES),
        )


def idle(series: Block) -> Ints:
    """In how many steps the denominator of each series is 0."""
    if not series.ratio.any():
        return np.zeros(len(series.keys), dtype=int)
    is_idle: Ints = (series.present & (series.volume == 0)).sum(axis=1)
    return is_idle


PER_SERIES = tuple(each.name for each in fields(Past) if each.name != "rows")


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores in the order of `keys` (None: nothing to judge), the scored points, what is kept of
    the `past`, and the data after the release. `before` holds what was expected of the last steps
    before it, in long form like the points.

    `usual_presence` `(series,)` is the share of steps that have a sample at the observation's time
    of the day or week, `missed` `(series,)` how many samples would have been usual between the last
    one of the history and its end. `replayed` `(series, placebo releases)` are the combined scores
    at the same placebo releases (see `joint_replay`), `held_out` `(series, placebo releases)` the
    p-values at those of the last part of the history (see `held_out_replay`; none where nobody
    asked).
    """

    keys: tuple[tuple[str, str], ...]
    scores: tuple[Score | None, ...]
    usual_presence: Floats
    missed: Floats
    replayed: Floats
    held_out: Floats
    points: pd.DataFrame
    before: pd.DataFrame
    past: Past
    observation: Block

    def of(self, keep: Sequence[int]) -> Scored:
        """The scores of some series."""
        rows = np.array(keep, dtype=int)
        return Scored(
            keys=tuple(self.keys[i] for i in keep),
            scores=tuple(self.scores[i] for i in keep),
            usual_presence=self.usual_presence[rows],
            missed=self.missed[rows],
            replayed=self.replayed[rows],
            held_out=self.held_out[rows],
            points=_of_series(self.points, rows, len(self.keys)),
            before=_of_series(self.before, rows, len(self.keys)),
            past=self.past.of(rows),
            observation=self.observation.of(rows),
        )

    @classmethod
    def together(cls, parts: Sequence[Scored]) -> Scored:
        """The scores of all the series of several panels over the same steps."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            keys=tuple(key for part in parts for key in part.keys),
            scores=tuple(score for part in parts for score in part.scores),
            usual_presence=np.concatenate([part.usual_presence for part in parts]),
            missed=np.concatenate([part.missed for part in parts]),
            replayed=_as_wide([part.replayed for part in parts]),
            held_out=_as_wide([part.held_out for part in parts]),
            points=below_each_other([part.points for part in parts]),
            before=below_each_other([part.before for part in parts]),
            past=Past.together([part.past for part in parts]),
            observation=Block.together([part.observation for part in parts]),
        )


def _of_series(frame: pd.DataFrame, rows: Ints, count: int) -> pd.DataFrame:
    """The part of a long frame of `count` series that is about some of them."""
    steps = len(frame) // count
    wanted = (rows[:, None] * steps + np.arange(steps)).ravel()
    return frame.take(wanted).reset_index(drop=True)


def _as_wide(parts: Sequence[Floats]) -> Floats:
    """Replays of several panels as one, with NaN for panels to which no question was put."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate(
        [part if part.shape[1] else np.full((len(part), width), np.nan) for part in parts]
    )


def score(
    base: Baseline,
    history: pd.DataFrame,
    observation: pd.DataFrame,
    kpis: Sequence[Kpi],
    gap: int,
    *,
    report_below: float = 1.0,
    hold_out: bool = False,
) -> Scored:
    """Score every series of two panels with the same columns and `gap` steps of transition between
    them.

    `base` is fitted to `history`. Both panels have at least one row. A series whose numbers are too
    large to compute with has a score without sizes. Onset and recovery are computed only where p <
    `report_below`, `Scored.held_out` only with `hold_out`.
    """
    with np.errstate(all="ignore"):
        line = timeline(base, history, observation, gap)
        return score_timeline(base, line, kpis, report_below=report_below, hold_out=hold_out)


def score_timeline(
    base: Baseline,
    line: Timeline,
    kpis: Sequence[Kpi],
    *,
    report_below: float = 1.0,
    hold_out: bool = False,
) -> Scored:
    """`score`, from a timeline made with `base`; numpy's warnings are the caller's."""
    series, n = line.series, line.before
    by_name = {kpi.name: kpi for kpi in kpis}
    judged = [by_name[name] for name, _ in series.keys]
    directions = [kpi.direction for kpi in judged]
    effects = estimate(base, line)
    answers, season = scores(line, ask(line)), base.season
    panel = _Panel(
        base=base,
        line=line,
        kpis=judged,
        answers=answers,
        powers=Powers.of(base, line, answers, effects),
        effects=effects,
        exceptions=exceptions(series, n),
        coverage=coverage(base, line, effects.lag),
        alike=_steps_alike(base, line),
        usual=_usual(base, line, effects),
        profiles={"day": season.has_day, "week": season.has_week, "month": season.has_month},
        placebos=np.isfinite(answers.answers[..., :-1]).sum(axis=2).max(axis=0, initial=0),
        report_below=report_below,
    )
    later = series.rows(n, len(line.index))
    return Scored(
        keys=series.keys,
        scores=tuple(_side_by_side([panel.score(i) for i in range(len(judged))])),
        usual_presence=np.array([panel.usual_presence(i) for i in range(len(judged))]),
        missed=_missed(line),
        replayed=joint_replay(panel.answers, directions),
        held_out=panel.held_out(directions) if hold_out else np.empty((len(judged), 0)),
        points=_points(effects, later, line.later, kpis),
        before=_before(effects, series.keys, line.index[:n], kpis),
        past=Past.of_history(series.rows(0, n)),
        observation=later,
    )


_Again = Callable[[Sequence[int]], Sequence[Any]]
_Scoring = Generator[_Again, Any, Score | None]


def _side_by_side(scorings: Sequence[_Scoring]) -> list[Score | None]:
    """The scores of series that ask, on their way, for what a method says of them: it is called for
    up to `TOGETHER` series at once, which is much faster than for each alone."""
    out: list[Score | None] = [None] * len(scorings)
    answers: dict[int, Any] = dict.fromkeys(range(len(scorings)))
    while answers:
        asked: dict[_Again, list[int]] = {}
        for i, answer in answers.items():
            try:
                asked.setdefault(scorings[i].send(answer), []).append(i)
            except StopIteration as end:
                out[i] = end.value
        answers = {}
        for method, rows in asked.items():
            for first in range(0, len(rows), TOGETHER):
                some = rows[first : first + TOGETHER]
                answers |= dict(zip(some, method(some), strict=True))
    return out


@dataclass(frozen=True, slots=True)
class _Panel:
    """All that is computed for the series of a panel together; `alike` are the steps of the
    history: all, and those at the observation's times of the day and of the week. `usual` is what
    the level of the whole history would have the observation be. `profiles` say which series have
    each part of a season, `placebos` how many answers they have at most."""

    base: Baseline
    line: Timeline
    kpis: Sequence[Kpi]
    answers: Scores
    powers: Powers
    effects: Effects
    exceptions: Exceptions
    coverage: tuple[Coverage | None, ...]
    alike: tuple[Ints, ...]
    usual: Floats
    profiles: Mapping[str, np.ndarray]
    placebos: Ints
    report_below: float

    def score(self, i: int) -> _Scoring:
        """The score of series `i`; None without a value on both sides of the release."""
        kpi = self.kpis[i]
        value, n = self.line.value[i], self.line.before
        if not np.isfinite(value[:n]).any():
            return None
        if not np.isfinite(value[n:]).any():
            p_silence = self._p_silence(i)
            return Score(p_bad=p_silence, p_exact=p_silence, gaps=True)
        if self.exceptions.exact[i]:
            bad, _ = one_sided(self.answers, i, kpi.direction)
            constant = self._constant(i, kpi.direction)
            if not self._is_silent(i, bad):
                return constant
            # what is missing is judged as of any series, what is there is no less sure for it
            varying = yield from self._varying(i, kpi)
            return replace(varying, sizes=constant.sizes, effect=None, power=None)
        return (yield from self._varying(i, kpi))

    def _varying(self, i: int, kpi: Kpi) -> Generator[_Again, Any, Score]:
        """The score of a series with a spread."""
        direction = kpi.direction
        bad, good = one_sided(self.answers, i, direction)
        null = null_of(direction)
        p_bad, p_good, p_other = _p_of(bad, null), _p_of(good, NullDistribution.LEVEL), 1.0
        p_rare = 0.0
        is_better = p_good < BETTER and _top_score(good) >= LEVEL_LEADS * _top_score(bad)
        is_better |= self._far(i) == np.sign(self.effects.move[i]) == GOOD[direction]
        if is_better or min(p_bad, p_good) < self.report_below:
            others = yield self._bad_besides_level
            scaled = yield self._bad_besides_factor
            no_growth = [each for each in scaled or () if not _is_growth(each)]
            p_other = _p_of(others, null)
            if scaled is not None:
                p_other = max(p_other, _p_of(no_growth, null))
            if is_better:  # only what is left without the good move can be bad
                bad = others + [each for each in bad if _is_growth(each)]
                p_bad = max(p_bad, _p_of(bad, null))
                if scaled is not None:
                    p_bad = max(p_bad, _p_of(scaled, null))
        is_first_alone = False
        if min(p_bad, p_good) < self.report_below:
            is_first_alone, least_bad, least_good = yield self._without_one_step
            if not is_first_alone:
                p_bad, p_good = max(p_bad, least_bad), max(p_good, least_good)
            is_first_alone &= p_bad < self.report_below <= least_bad
        if self.line.sparse[i] and direction is not Direction.UP:
            p_bad = min(p_bad, p_of_a_stop(*np.split(self.line.value[i], [self.line.before])))
        gaps, bad, p_bad = self._missing(i, bad, p_bad, null)
        answers = good if p_good < p_bad else bad
        question = naming_question(
            [answer for answer in answers if (answer[0].kind is QuestionKind.MISSING) == gaps]
        )
        if self.exceptions.constant[i] and not gaps:
            p_rare, p_rare_good = self.exceptions.p_values(i, direction)
            p_bad, p_good = max(p_bad, p_rare), max(p_good, p_rare_good)
            p_other = max(p_other, p_rare)
        p_beyond = 1.0
        if p_bad < self.report_below and (kpi.tolerance or kpi.floor):
            p_beyond = yield self._p_beyond
        effect = self.effects.of(i)
        out = Score(
            p_bad=p_bad,
            p_exact=p_rare,
            p_good=p_good,
            p_other=p_other,
            p_beyond=p_beyond,
            rise=self._rise(i, bad, null) if p_bad < self.report_below else None,
            kind=None if question is None else question.spec.change,
            gaps=gaps,
            compared=bool(bad or good),
            already=self._already(i, kpi),
            sizes=sizes_of(effect),
            effect=effect,
            power=Power(self.powers, i) if self.answers.questions else None,
            coverage=self.coverage[i],
            recurrence=(recurrence(self.base, self.line, i) if p_bad < self.report_below else None),
            evidence=self._evidence(i, bad),
        )
        if question is None or min(p_bad, p_good) >= self.report_below:
            return out
        if is_first_alone:
            return replace(out, onset=Onset(0, 0, 0), recovered=True, recovered_at=1)
        spiky = other_question(answers, p_other, ChangeKind.SPIKES)
        wider = other_question(answers, p_other, ChangeKind.SPREAD)
        return self._with_onset(i, out, dating_question(question, answers, p_other), spiky, wider)

    def _without_one_step(self, rows: Sequence[int]) -> list[tuple[bool, float, float]]:
        """Whether the only step of the observation that stands out alone is the first, and the
        p-values of what is bad and of what is good if it were like those around it; False and 0
        where there is no such step, or several."""
        n, out = self.line.before, [(False, 0.0, 0.0)] * len(rows)
        alone = {k: found for k, i in enumerate(rows) if (found := self._alone(i))}
        if not alone:
            return out
        keep = np.array([rows[k] for k in alone])
        deviation = self.line.residual[keep, n:]
        for row, (step, level) in zip(deviation, alone.values(), strict=True):
            row[step] = level
        rest = with_deviation(self.base.rows(keep), self.line.rows(keep), deviation)
        for k, i, (answers, row) in zip(alone, keep, scores_of_each(rest, ask(rest)), strict=True):
            direction = self.kpis[i].direction
            bad, good = one_sided(answers, row, direction)
            p_bad, p_good = _p_of(bad, null_of(direction)), _p_of(good, NullDistribution.LEVEL)
            out[k] = alone[k][0] == 0, p_bad, p_good
        return out

    def _alone(self, i: int) -> tuple[int, float] | None:
        """The only step of the observation of series `i` that stands out alone, and the level of
        those around it; None where there is no such step, or several."""
        line, n = self.line, self.line.before
        present = np.flatnonzero(line.present[i])
        later = present[present >= n]
        if len(later) < ENOUGH_STEPS or self.base.step >= ENOUGH_LONG:
            return None
        residual = line.residual[i, later]
        pulled = pulled_in(residual, slice(None), bound=LONE, edges=True)
        off = np.flatnonzero(pulled != residual)
        if len(off) != 1:
            return None
        step = int(off[0])
        beside = np.delete(residual[max(step - 1, 0) : step + 2], min(step, 1))
        return int(later[step]) - n, float(beside.mean())

    def _bad_besides_level(self, rows: Sequence[int]) -> list[list[QuestionScore]]:
        """The bad answers of some series once the change of their level is taken out."""
        keep, effects = np.array(rows), self.effects
        off = effects.z[keep] * effects.width[keep]
        width = effects.width[keep] * _noise_growth(effects)[keep]
        rest = without_shift(self.base.rows(keep), self.line.rows(keep), off, width)
        return [
            [
                (question, float(z))
                for question, z in zip(answers.questions, answers.up[:, row], strict=True)
                if np.isfinite(z) and self.kpis[i].direction in question.spec.bad_for
            ]
            for i, (answers, row) in zip(
                rows, scores_of_each(rest, ask(rest, level=False)), strict=True
            )
        ]

    def _bad_besides_factor(self, rows: Sequence[int]) -> list[list[QuestionScore] | None]:
        """The same, and growth, once the observation is multiplied so that its mean is as expected:
        what loses a share loses it of its rhythm, too, and small counts repeat. None where no
        factor does that."""
        effects, n = self.effects, self.line.before
        observed, expected = effects.observed[rows], effects.expected[rows]
        factors = expected / observed
        out: list[list[QuestionScore] | None] = [
            [] if gone else None for gone in (observed == 0) & (expected > 0)
        ]
        has_factor = np.flatnonzero((factors > 0) & (factors < np.inf))
        if not len(has_factor):
            return out
        keep, factor = np.array(rows)[has_factor], factors[has_factor, None]
        base, width = self.base.rows(keep), effects.width[keep]
        y = forward(self.line.value[keep, n:] * factor, base.scale, base.floor)
        is_identity = (effects.link[keep] == Scale.IDENTITY)[:, None]
        noise = np.where(is_identity, factor, np.sqrt(factor))
        deviation = (y - effects.location[keep]) / (width * np.maximum(1.0, noise))
        rest = without_change(base, self.line.rows(keep), deviation)
        for k, i, (answers, row) in zip(
            has_factor, keep, scores_of_each(rest, ask(rest)), strict=True
        ):
            bad, _ = one_sided(answers, row, self.kpis[i].direction)
            later = self.line.value[i, n:]
            is_stuck = factors[k] <= 1 or np.nanmin(later) == np.nanmax(later)
            out[k] = [
                each
                for each in bad
                if _is_growth(each)
                or (
                    not each[0].spec.is_level
                    and (is_stuck or each[0].kind is not QuestionKind.STUCK)
                )
            ]
        return out

    def _rise(self, i: int, bad: list[QuestionScore], null: NullDistribution) -> Rise | None:
        """The growth of series `i`, if it is among the `bad` answers."""
        for question, z in bad:
            if question.kind is QuestionKind.GROWTH and z > 0:
                usual = float(np.nanmedian(question.answers[i, :-1]))
                more = float(question.answers[i, -1]) * self.line.volatility[i, -1] - usual
                rise = self.effects.of_jump(i, more)
                return Rise(rise, _p_of([(question, z)], null)) if np.isfinite(rise) else None
        return None

    def _p_beyond(self, rows: Sequence[int]) -> list[float]:
        """The p-values of a lasting change of level by more than tolerance and floor: the same
        questions, once what is accepted is taken out of every step."""
        keep, effects, n = np.array(rows), self.effects, self.line.before
        tolerance, floor = np.array([[self.kpis[i].tolerance, self.kpis[i].floor] for i in rows]).T[
            ..., None
        ]
        accepted = np.maximum(tolerance * np.abs(effects.at[keep]), floor)
        sign = np.sign(effects.move[keep])
        base = self.base.rows(keep)
        accepted_move = sign[:, None] * accepted
        y = forward(self.line.value[keep, n:] - accepted_move, base.scale, base.floor)
        deviation = (y - base.location(self.line.later)) / effects.width[keep]
        rest = with_deviation(base, self.line.rows(keep), deviation)
        lasting = [
            [
                (question, float(up * z))
                for question, z in zip(answers.questions, answers.up[:, row], strict=True)
                if np.isfinite(z)
                and question.spec.is_level
                # a total counts what is there, and growth is the same at every level
                and question.kind not in (QuestionKind.TOTAL, QuestionKind.GROWTH)
                and question.size * LASTING >= self.line.after
            ]
            for up, (answers, row) in zip(
                sign, scores_of_each(rest, ask(rest, other=False)), strict=True
            )
        ]
        return [_p_of(each, NullDistribution.LEVEL) for each in lasting]

    def _with_onset(
        self,
        i: int,
        score: Score,
        question: Question,
        spiky: Question | None,
        wider: Question | None,
    ) -> Score:
        """The score with when its change began, by this question, and whether it is over. `spiky`
        asks about spikes, `wider` about a spread that may be all there is."""
        line, n = self.line, self.line.before
        off = np.where(line.present[i, n:], self.effects.z[i], np.nan)
        past = np.where(line.present[i, :n], line.x[i, :n], np.nan)
        is_fall = score.effect is not None and score.effect.move < 0
        change = moved = -off if is_fall else off
        by_noise, usual = question.spec.ends_by_noise, past_means(past, line.after)
        lasting = None if by_noise else self._lasting(i, change)
        gap_end = self._gap_end(i) if score.gaps else None
        recovered = has_recovered(off, usual, lasting)
        if lasting is not None:
            recovered &= has_ended(change, -lasting if is_fall else lasting, usual)
        if recovered:
            busy, weight = self._busy(i), np.clip(np.nan_to_num(moved), TINY, BOUND) ** 2
            stretch = slice(*stretch_off(np.nan_to_num(moved)))
            if np.average(busy[stretch], weights=weight[stretch]) > BUSY:
                recovered = has_ended(moved, busy, past_means(past, line.after))
        if by_noise or score.p_other < CHANCE:
            noise = noisiness(line, i, question.spec.measure)
            usual = past_means(noise[:n], line.after)
            recovered &= has_settled(noise[n:], usual)
            if by_noise:
                change = noise[n:]
                recovered &= has_ended(change, np.ones_like(change), usual)
        until = stretch_off(np.nan_to_num(change))[1] if recovered else line.after
        if score.gaps:
            recovered, until = gap_end is not None, gap_end or line.after
        sign, kind = self._sign(i, question), score.kind
        factor = self._moves_by_factor(i)
        began = onset(line, i, question.spec.dated_by, sign, factor, until=until)
        first = max(began.step, 0)
        changed = off[first:until][np.isfinite(off[first:until])]
        is_level = not len(changed) or abs(np.median(changed)) >= MOST_OFF
        if wider is not None and not is_level and np.median(np.abs(changed)) > WIDER:
            began = onset(line, i, wider.spec.dated_by, 1.0, factor, until=until)
            kind = ChangeKind.SPREAD
        elif spiky is not None and not is_level:
            sign = -1.0 if spiky.spec.measure is StepMeasure.LOW_EXCESS else 1.0
            marks = spikes(sign * line.residual[i, : n + until], n)
            began, kind = onset_of_marks(marks, n, line.gap), ChangeKind.SPIKES
        if kind is ChangeKind.LEVEL and is_ramp(np.nan_to_num(off), factor[n:], first):
            kind = ChangeKind.RAMP
        return replace(
            score,
            kind=kind,
            onset=began,
            recovered=recovered,
            recovered_at=until if recovered else None,
            first_weekend=is_first_weekend(self.base.clock(line.index), n, first),
        )

    def _sign(self, i: int, question: Question) -> float:
        """Whether what this question found in series `i` makes the numbers that date it larger (1)
        or smaller (-1)."""
        if question.spec.dated_by.is_mark:
            return 1.0
        asked = [(each.kind, each.size) for each in self.answers.questions]
        up = self.answers.up[asked.index((question.kind, question.size)), i]
        lowers = (up < 0) != (question.spec.measure is StepMeasure.LOW_EXCESS)
        return -1.0 if lowers else 1.0

    def _already(self, i: int, kpi: Kpi) -> Already | None:
        """Whether series `i` is far from the level of its whole history, in a bad direction, since
        before the release."""
        is_new = bool(self.base.just_on[i])
        sign = 1.0 if is_new else self._far(i)
        observed, usual = float(self.effects.observed[i]), 0.0 if is_new else float(self.usual[i])
        tolerable = max(kpi.floor, kpi.tolerance * usual)
        if not sign or sign == GOOD[kpi.direction] or abs(observed - usual) <= tolerable:
            return None
        if is_new:
            on = np.flatnonzero(np.isfinite(self.line.value[i]))[0]
            step = int(on) - self.line.before - self.line.gap
            return Already(math.inf, Onset(step, step, step, earlier=True))
        factor = self._moves_by_factor(i)
        began = onset(self.line, i, DatedBy.RESIDUAL, sign, factor, until=self.line.after)
        return Already(observed / usual, began) if began.earlier else None

    def _moves_by_factor(self, i: int) -> Floats:
        """By how many standard deviations twice as much of everything would move each step of
        series `i`."""
        base, line = self.base.rows(np.array([i])), self.line
        past = base.seasonal + base.level[:, None]
        usual = np.concatenate([past, base.location(line.later)], axis=1)
        width = base.width(line.index, line.series.volume[[i]])
        twice = forward(2 * back(usual, base.scale), base.scale, base.floor)
        return np.asarray(((twice - usual) / width)[0])

    def _far(self, i: int) -> float:
        """Where series `i` is far above the level of its whole history 1, far below it -1, else
        0."""
        observed, usual = float(self.effects.observed[i]), float(self.usual[i])
        if not (usual > 0 and observed >= 0):
            return 0.0
        return float(observed >= MOVED * usual) - float(MOVED * observed <= usual)

    def _lasting(self, i: int, change: Floats) -> Floats:
        """How far off series `i` would be in each step of the observation, in standard deviations,
        if it were by as much as while the change lasted; `change` is how far off it is in the
        direction of the change."""
        effects, n = self.effects, self.line.before
        earlier = np.nan_to_num(change[: -last_part(len(change))])
        stretch = slice(*stretch_off(earlier)) if len(earlier) else slice(None)
        value, weight = self.line.value[i, n:], effects.weight[i]
        present = np.isfinite(value[stretch]) & (weight[stretch] > 0)
        usual = effects.at[i]
        if not present.any():
            return np.full(len(change), np.nan)
        weights = weight[stretch][present]
        observed = np.average(value[stretch][present], weights=weights)
        expected = np.average(usual[stretch][present], weights=weights)
        is_factor = effects.link[i] != Scale.IDENTITY and expected > 0
        moved = usual * observed / expected if is_factor else usual + observed - expected
        y = forward(moved[None], effects.scale[[i]], self.base.floor[[i]])[0]
        return np.asarray((y - effects.location[i]) / effects.width[i])

    def _busy(self, i: int) -> Floats:
        """By how many standard deviations more than at most times is expected of series `i` in each
        step of the observation, 0 where it is less: a job that ran once a day shows no more when
        its time is over."""
        base = self.base.rows(np.array([i]))
        usual = float(np.nanmedian(base.seasonal)) + base.level
        more = base.location(self.line.later)[0] - usual
        return np.asarray(np.maximum(more / self.effects.width[i], 0.0))

    def _constant(self, i: int, direction: Direction) -> Score:
        """The score of a series that never left one value: every step that does counts."""
        usual, n = float(self.exceptions.value[i]), self.line.before
        value = self.line.value[i]
        differs = is_exception(value, usual)
        p_bad, p_good = self.exceptions.p_values(i, direction)
        later = differs[n:]
        last = last_part(len(later))
        earlier = later[:-last]
        # the chance of none in the last part, had nothing changed back
        p_none = (1 - earlier.mean()) ** last if len(earlier) else 1.0
        is_back = not later[-last:].any() and p_none < CHANCE
        if usual:  # of nothing, events that come now and then are no state that has ended
            is_back |= stretch_end(later) is not None
        recovered = len(later) >= 2 * LEAST_LAST and is_back
        return Score(
            p_bad=p_bad,
            p_exact=p_bad,
            p_good=p_good,
            kind=ChangeKind.LEVEL,
            onset=onset_of_marks(differs, n, self.line.gap) if later.any() else None,
            recovered=recovered,
            sizes=_sizes_of_exceptions(usual, value[n:], self.line.series.volume[i, n:]),
            coverage=self.coverage[i],
            evidence=Evidence(
                history_steps=int(np.isfinite(value[:n]).sum()),
                usual_value=usual,
                steps_that_differ=int(later.sum()),
            ),
        )

    def _missing(
        self, i: int, bad: list[QuestionScore], p_bad: float, null: NullDistribution
    ) -> tuple[bool, list[QuestionScore], float]:
        """Whether missing steps are the surprise, and the bad answers and their p-value: without
        those about a gap that is over, where what came after it is worse."""
        gaps = self._is_silent(i, bad)
        if not gaps or self._gap_end(i) is None:
            return gaps, bad, p_bad
        others = [each for each in bad if each[0].kind is not QuestionKind.MISSING]
        p_others = _p_of(others, null)
        if p_others >= self.report_below:
            return gaps, bad, p_bad
        return False, others, max(p_bad, p_others)

    def _gap_end(self, i: int) -> int | None:
        """The step of the observation at which what is missing of series `i` is over."""
        return stretch_end(~self.line.has_sample[i, self.line.before :])

    def _is_silent(self, i: int, bad: list[QuestionScore]) -> bool:
        """Whether missing steps are the strongest sign, or strong while most steps are missing."""
        missing = _top_score([each for each in bad if each[0].kind is QuestionKind.MISSING])
        mostly = self.line.has_sample[i, self.line.before :].mean() < MOSTLY
        return missing > 0 and (missing == _top_score(bad) or (missing > STRONG and mostly))

    def _p_silence(self, i: int) -> float:
        """How surprising it is that no step of the observation has a value, given how many had none
        before, in all and at the same time of the day or week."""
        missing, after = ~self.line.has_sample[i], self.line.after
        return max(
            tail(int(missing[-after:].sum()), after, int(missing[rows].sum()), len(rows))
            for rows in self.alike
        )

    def held_out(self, directions: Sequence[Direction]) -> Floats:
        """`held_out_replay`; NaN for series whose p-values are exact."""
        out = held_out_replay(self.line, self.answers, directions)
        out[self.exceptions.exact | self.exceptions.constant] = np.nan
        return out

    def usual_presence(self, i: int) -> float:
        """The share of steps of series `i` that usually have a sample at this time of the day or
        week, since its first one; 1 without any."""
        has_sample = self.line.series.present[i]
        first = int(has_sample.argmax())
        shares = [has_sample[rows[rows >= first]] for rows in self.alike]
        return min((float(each.mean()) for each in shares if len(each)), default=1.0)

    def _evidence(self, i: int, bad: list[QuestionScore]) -> Evidence:
        first = int(self.line.has_sample[i].argmax())
        steps = int(self.line.present_sums[i, self.line.before])
        strongest = sorted(bad, key=lambda each: -each[1])[:MOST_ANSWERS]
        model = self.base.structural_model(i)
        seasons = tuple(name for name, has in self.profiles.items() if has[i])
        return Evidence(
            history_since=self.base.history[first].to_pydatetime() if first else None,
            history_steps=steps,
            season=seasons if model is None else None,
            structural_model=model,
            scale=SCALES[Scale(int(self.base.scale[i]))],
            autocorrelation=float(self.base.phi[i].sum()),
            level_steps=int(self.effects.lag[i]) or (0 if model is None else None),
            placebo_releases=int(self.placebos[i]),
            independent_watches=steps // self.line.after,
            answers=tuple(Answer(str(each.kind), each.size, z) for each, z in strongest),
        )


def _steps_alike(base: Baseline, line: Timeline) -> tuple[Ints, ...]:
    """The steps of the history, those at the same times of the day as the observation, and of the
    week, each where there are `ENOUGH_ALIKE` days or weeks."""
    clock, n = base.clock(line.index), line.before
    out = [np.arange(n)]
    for when, length in ((clock.phase, clock.phases), (clock.slot, 7 * clock.phases)):
        if clock.phases > 1 and n >= ENOUGH_ALIKE * length:
            out.append(np.flatnonzero(np.isin(when[:n], when[n:])))
    return tuple(out)


def _usual(base: Baseline, line: Timeline, effects: Effects) -> Floats:
    """What the level of the whole history would have the mean of the observation be
    `(series,)`."""
    usual, weight = back(base.location(line.later), base.scale), effects.weight
    return np.asarray((usual * weight).sum(axis=1) / weight.sum(axis=1))


def _missed(line: Timeline) -> Floats:
    """`Scored.missed`; what was left out is not missing."""
    since_last = line.has_sample[:, : line.before][:, ::-1].argmax(axis=1)
    sums = np.broadcast_to(line.usual_sums, (len(since_last), line.usual_sums.shape[1]))
    after_last = np.take_along_axis(sums, (line.before - since_last)[:, None], axis=1)[:, 0]
    return np.asarray(sums[:, line.before] - after_last)


def one_sided(
    answers: Scores, i: int, direction: Direction
) -> tuple[list[QuestionScore], list[QuestionScore]]:
    """The answers of series `i` that point in the bad direction, and those of its level, not of its
    growth, in the good one."""
    rising, falling = pointing(answers.questions, direction)
    up = answers.up[:, i]
    has_answer, scores_up = np.isfinite(up), up.tolist()

    def signed(upwards: Bools, downwards: Bools) -> list[QuestionScore]:
        return [
            (answers.questions[j], sign * scores_up[j])
            for sign, mask in ((1, upwards), (-1, downwards))
            for j in np.flatnonzero(mask & has_answer).tolist()
        ]

    bad = signed(rising, falling)
    if direction is Direction.EITHER:
        return bad, []
    level = _about_level(tuple(question.kind for question in answers.questions))
    return bad, signed(level & ~rising, level & ~falling)


@lru_cache
def _about_level(kinds: tuple[QuestionKind, ...]) -> Bools:
    """Which questions are about the level; growth is not: what falls again may have been higher all
    the time."""
    return np.array(
        [SPECS[kind].is_level and kind is not QuestionKind.GROWTH for kind in kinds], dtype=bool
    )


def _is_growth(answer: QuestionScore) -> bool:
    return answer[0].kind is QuestionKind.GROWTH


def _top_score(answers: list[QuestionScore]) -> float:
    return max((z for _, z in answers), default=0.0)


def _p_of(answers: list[QuestionScore], null: NullDistribution) -> float:
    """The p-value of answers together."""
    if not answers:
        return 1.0
    g = combine(
        np.array([[z] for _, z in answers]), weights_of([question for question, _ in answers])
    )
    p = float(p_value(g, null)[0])
    return float(f"{p:.{DIGITS}g}")


def sizes_of(effect: Effect) -> Sizes | None:
    """How large an effect is; None where a number is too large to compute with."""
    half = effect.half_width()
    relative, absolute = effect.size(effect.move)
    low_relative, low = effect.size(effect.move - half)
    high_relative, high = effect.size(effect.move + half)
    if not np.isfinite([absolute, low, high, effect.observed, effect.expected]).all():
        return None
    interval = None
    if low_relative is not None and high_relative is not None:
        interval = low_relative, high_relative
    return Sizes(effect.observed, effect.expected, relative, interval, absolute, (low, high))


def _sizes_of_exceptions(usual: float, later: Floats, volume: Floats) -> Sizes | None:
    """How far the steps that differ from the `usual` value move the mean: how far they are from it,
    times their share; None where a number is too large to compute with."""
    has_value = np.isfinite(later)
    value, weight = later[has_value], volume[has_value] / volume[has_value].max()
    differs, steps = is_exception(value, usual), len(value)
    count = min(float(steps * weight[differs].sum() / weight.sum()), steps)  # of rounded sums
    off = value[differs] - usual
    away = float(np.average(off, weights=weight[differs])) if count > 0 else 0.0
    ends = [share * away for share in share_interval(count, steps)]
    absolute = count / steps * away
    # how many steps differ is uncertain, and by how much
    half = count / steps * ERRORS_95 * float(np.std(off)) / max(count, 1.0) ** 0.5 if count else 0.0
    low = absolute - float(np.hypot(absolute - min(ends), half))
    high = absolute + float(np.hypot(max(ends) - absolute, half))
    if not np.isfinite([absolute, low, high, usual + absolute]).all():
        return None
    relative, relative_interval = None, None
    if usual != 0 and np.isfinite([low / abs(usual), high / abs(usual)]).all():
        relative, relative_interval = absolute / abs(usual), (low / abs(usual), high / abs(usual))
    return Sizes(usual + absolute, usual, relative, relative_interval, absolute, (low, high))


def _noise_growth(effects: Effects) -> Floats:
    """By how much noise is assumed to have grown with the level `(series, 1)`: at most as it did,
    as where every value is multiplied."""
    with np.errstate(all="ignore"):
        ratio = effects.observed / effects.expected
    grows = (effects.link == Scale.ROOT) & np.isfinite(ratio) & (ratio > 1)
    return np.where(grows, ratio, 1.0)[:, None]


def _points(
    effects: Effects, later: Block, index: pd.DatetimeIndex, kpis: Sequence[Kpi]
) -> pd.DataFrame:
    """The scored steps after the release in long form, series after series. A distance larger than
    any number is the largest there is."""
    lower, upper = _within_limits((effects.lower, effects.upper), later.keys, kpis)
    rounding = ROUNDING * (upper - lower)  # a count can lie exactly on the bound
    columns = {
        "observed": later.value,
        "expected": effects.at,
        "lower": lower,
        "upper": upper,
        "z": np.nan_to_num(effects.z, nan=np.nan),
        "flagged": (later.value < lower - rounding) | (later.value > upper + rounding),
    }
    return long_form(later.keys, index, columns)


def _before(
    effects: Effects,
    keys: Sequence[tuple[str, str]],
    index: pd.DatetimeIndex,
    kpis: Sequence[Kpi],
) -> pd.DataFrame:
    """What was expected of the last steps of the history `index`, in long form."""
    expected, *ends = effects.before
    lower, upper = _within_limits(ends, keys, kpis)
    columns = {"expected": expected, "lower": lower, "upper": upper}
    return long_form(keys, index[len(index) - expected.shape[1] :], columns)


def _within_limits(
    ends: Sequence[Floats], keys: Sequence[tuple[str, str]], kpis: Sequence[Kpi]
) -> tuple[Floats, Floats]:
    """The ends of a band, that ends where the KPI's kind does."""
    limits = {kpi.name: kpi.limits for kpi in kpis}
    of_series = [limits.get(name, (-np.inf, np.inf)) for name, _ in keys]
    least, most = np.array(of_series).reshape(-1, 2).T[:, :, None]
    lower, upper = ends
    return np.clip(lower, least, most), np.clip(upper, least, most)
