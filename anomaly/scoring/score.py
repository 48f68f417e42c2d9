"""Scoring: what came after the release against a baseline, one `Score` per series and the scored
points."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from anomaly.baseline.robust import Floats, Ints
from anomaly.baseline.seasonal import BOUND, Baseline
from anomaly.baseline.transform import Scale, back, forward
from anomaly.model import (
    Answer,
    ChangeKind,
    Coverage,
    Direction,
    Evidence,
    Kpi,
    ValueScale,
)
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
from anomaly.scoring.directions import is_growth, one_sided, p_of, top_score
from anomaly.scoring.effect import Effects, estimate, pulled_in
from anomaly.scoring.exceptions import (
    Exceptions,
    exceptions,
    is_exception,
    p_of_a_stop,
    tail,
)
from anomaly.scoring.onset import Onset, onset, onset_of_marks, spikes
from anomaly.scoring.points import points, points_before
from anomaly.scoring.power import Power, Powers
from anomaly.scoring.question_kinds import LASTING, DatedBy, QuestionKind, StepMeasure
from anomaly.scoring.questions import Question, ask
from anomaly.scoring.recurrence import is_first_weekend, recurrence
from anomaly.scoring.replay import (
    Scores,
    held_out_replay,
    joint_replay,
    scores,
    scores_of_each,
)
from anomaly.scoring.scored import Already, Past, Rise, Score, Scored
from anomaly.scoring.significance import NullDistribution, null_of
from anomaly.scoring.sizes import sizes_of, sizes_of_exceptions
from anomaly.scoring.timeline import (
    Timeline,
    timeline,
    with_deviation,
    without_change,
    without_shift,
)

MOST_ANSWERS = 3  # in the evidence
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
MOSTLY, STRONG = 0.5, 2.0  # share of steps, and standard score of missing ones
TOGETHER = 16  # series that are looked at again in one call
GOOD = {Direction.UP: -1.0, Direction.DOWN: 1.0, Direction.EITHER: np.nan}  # sign of a good move
SCALES = {
    Scale.IDENTITY: ValueScale.IDENTITY,
    Scale.LOG: ValueScale.LOG,
    Scale.ROOT: ValueScale.ROOT,
}


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
    kpi_of_each = [by_name[name] for name, _ in series.keys]
    directions = [kpi.direction for kpi in kpi_of_each]
    effects = estimate(base, line)
    answers, season = scores(line, ask(line)), base.season
    panel = _Panel(
        base=base,
        line=line,
        kpis=kpi_of_each,
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
        scores=tuple(_side_by_side([panel.score(i) for i in range(len(kpi_of_each))])),
        usual_presence=np.array([panel.usual_presence(i) for i in range(len(kpi_of_each))]),
        missed=_missed(line),
        replayed=joint_replay(panel.answers, directions),
        held_out=panel.held_out(directions) if hold_out else np.empty((len(kpi_of_each), 0)),
        points=points(effects, later, line.later, kpis),
        before=points_before(effects, series.keys, line.index[:n], kpis),
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
        calls: dict[_Again, list[int]] = {}
        for i, answer in answers.items():
            try:
                calls.setdefault(scorings[i].send(answer), []).append(i)
            except StopIteration as end:
                out[i] = end.value
        answers = {}
        for method, rows in calls.items():
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
        p_bad, p_good, p_other = p_of(bad, null), p_of(good, NullDistribution.LEVEL), 1.0
        p_rare = 0.0
        is_better = p_good < BETTER and top_score(good) >= LEVEL_LEADS * top_score(bad)
        is_better |= self._far(i) == np.sign(self.effects.move[i]) == GOOD[direction]
        if is_better or min(p_bad, p_good) < self.report_below:
            others = yield self._bad_besides_level
            scaled = yield self._bad_besides_factor
            no_growth = [each for each in scaled or () if not is_growth(each)]
            p_other = p_of(others, null)
            if scaled is not None:
                p_other = max(p_other, p_of(no_growth, null))
            if is_better:  # only what is left without the good move can be bad
                bad = others + [each for each in bad if is_growth(each)]
                p_bad = max(p_bad, p_of(bad, null))
                if scaled is not None:
                    p_bad = max(p_bad, p_of(scaled, null))
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
        alone = {k: outlier for k, i in enumerate(rows) if (outlier := self._alone(i))}
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
            p_bad, p_good = p_of(bad, null_of(direction)), p_of(good, NullDistribution.LEVEL)
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
            [] if is_gone else None for is_gone in (observed == 0) & (expected > 0)
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
                if is_growth(each)
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
                return Rise(rise, p_of([(question, z)], null)) if np.isfinite(rise) else None
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
        return [p_of(each, NullDistribution.LEVEL) for each in lasting]

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
        clock = self.base.clock(line.index)
        recovered, until = self._recovery(i, score, question, off)
        if recovered and is_first_weekend(clock, n, until):  # which may hide what goes on
            recovered, until = False, line.after
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
            first_weekend=is_first_weekend(clock, n, first),
        )

    def _recovery(self, i: int, score: Score, question: Question, off: Floats) -> tuple[bool, int]:
        """Whether the change that this question found is over, and up to which step it lasted: the
        end of the observation if it is not. `off` is how far each step is from what is expected,
        NaN where there is none."""
        line, n = self.line, self.line.before
        if score.gaps:
            gap_end = self._gap_end(i)
            return gap_end is not None, gap_end or line.after
        past = np.where(line.present[i, :n], line.x[i, :n], np.nan)
        is_fall = score.effect is not None and score.effect.move < 0
        change = movement = -off if is_fall else off
        by_noise, usual = question.spec.ends_by_noise, past_means(past, line.after)
        lasting = None if by_noise else self._lasting(i, change)
        recovered = has_recovered(off, usual, lasting)
        if lasting is not None:
            recovered &= has_ended(change, -lasting if is_fall else lasting, usual)
        if recovered:
            busy, weight = self._busy(i), np.clip(np.nan_to_num(movement), TINY, BOUND) ** 2
            stretch = slice(*stretch_off(np.nan_to_num(movement)))
            if np.average(busy[stretch], weights=weight[stretch]) > BUSY:
                recovered = has_ended(movement, busy, past_means(past, line.after))
        if by_noise or score.p_other < CHANCE:
            noise = noisiness(line, i, question.spec.measure)
            usual = past_means(noise[:n], line.after)
            recovered &= has_settled(noise[n:], usual)
            if by_noise:
                change = noise[n:]
                recovered &= has_ended(change, np.ones_like(change), usual)
        return recovered, stretch_off(np.nan_to_num(change))[1] if recovered else line.after

    def _sign(self, i: int, question: Question) -> float:
        """Whether what this question found in series `i` makes the numbers that date it larger (1)
        or smaller (-1)."""
        if question.spec.dated_by.is_mark:
            return 1.0
        kinds = [(each.kind, each.size) for each in self.answers.questions]
        up = self.answers.up[kinds.index((question.kind, question.size)), i]
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
        level = usual * observed / expected if is_factor else usual + observed - expected
        y = forward(level[None], effects.scale[[i]], self.base.floor[[i]])[0]
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
            sizes=sizes_of_exceptions(usual, value[n:], self.line.series.volume[i, n:]),
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
        p_others = p_of(others, null)
        if p_others >= self.report_below:
            return gaps, bad, p_bad
        return False, others, max(p_bad, p_others)

    def _gap_end(self, i: int) -> int | None:
        """The step of the observation at which what is missing of series `i` is over."""
        return stretch_end(~self.line.has_sample[i, self.line.before :])

    def _is_silent(self, i: int, bad: list[QuestionScore]) -> bool:
        """Whether missing steps are the strongest sign, or strong while most steps are missing."""
        missing = top_score([each for each in bad if each[0].kind is QuestionKind.MISSING])
        mostly = self.line.has_sample[i, self.line.before :].mean() < MOSTLY
        return missing > 0 and (missing == top_score(bad) or (missing > STRONG and mostly))

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
            scale=SCALES[int(self.base.scale[i])],
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


def _noise_growth(effects: Effects) -> Floats:
    """By how much noise is assumed to have grown with the level `(series, 1)`: at most as it did,
    as where every value is multiplied."""
    with np.errstate(all="ignore"):
        ratio = effects.observed / effects.expected
    grows = (effects.link == Scale.ROOT) & np.isfinite(ratio) & (ratio > 1)
    return np.where(grows, ratio, 1.0)[:, None]
