"""Releases that reach users in stages, and watches that the next release ends: what both make of
the findings.

A change that only the last stage brings must not drown in the plateaus before it. So the
observation is judged as a whole and, from the second plateau on, the plateau reached last once
more, as if all that lies between it and the history were transition. Half of `false_alarms` is for
the whole, the other half for the plateaus after the first, in equal parts: together they can't
spend more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from anomaly.baseline.sides import Sides
from anomaly.decision.decide import MIN_COVERAGE, Look, opened
from anomaly.decision.judge import Judge
from anomaly.model import ChangeKind, Exposure, Finding, Growth, Plateau, Verdict
from anomaly.panel import segment_text, times
from anomaly.scoring.effect import Effect
from anomaly.scoring.score import Score, Scored
from anomaly.timing.spans import Plan
from anomaly.wording import ended_by, exposure, percent

WHOLE = 0.5  # of `false_alarms`, for the observation as a whole
ONE_SIDED = 0.95
WORST_FIRST = (
    Verdict.REGRESSED,
    Verdict.ERROR,
    Verdict.NO_DATA,
    Verdict.INCONCLUSIVE,
    Verdict.RECOVERED,
    Verdict.IMPROVED,
    Verdict.OK,
)
MOVED = frozenset({Verdict.REGRESSED, Verdict.RECOVERED, Verdict.IMPROVED})
LEVEL_KINDS = frozenset({ChangeKind.LEVEL, ChangeKind.RAMP, None})


def by_stages(
    judge: Judge, sides: Sides, spans: Plan, look: Look
) -> tuple[tuple[Finding, ...], pd.DataFrame]:
    """The findings about an observation that may consist of several plateaus, and its scored
    points."""
    whole = judge.score(sides.observation)
    if len(spans.plateaus) == 1:
        return judge.decide(whole, sides.observation, look), whole.points
    findings = judge.decide(whole, sides.observation, look, WHOLE)
    plateaus = [(plateau, part) for plateau, part in sides.plateaus if len(part)]
    scores = [judge.score(part) for _, part in plateaus]
    latest, observation = plateaus[-1]
    if latest.share > spans.plateaus[0].share:
        planned = tuple(each for each in spans.plateaus if each.share == latest.share)
        steps = replace(spans, plateaus=planned).steps(look.starts[0], look.step)
        alone = replace(look, starts=times(observation), planned=max(1, steps))
        share = (1 - WHOLE) / (len(spans.plateaus) - 1)
        of_latest = judge.decide(scores[-1], observation, alone, share)
        findings = _worse(findings, of_latest, latest)
    return tuple(
        _exposed(finding, [plateau for plateau, _ in plateaus], scores) for finding in findings
    ), whole.points


def _worse(
    whole: Sequence[Finding], plateau: Sequence[Finding], where: Plateau
) -> tuple[Finding, ...]:
    """The findings that weigh more, KPI by KPI, for segments and their total must be about the same
    steps."""
    out: list[Finding] = []
    for name in dict.fromkeys(finding.kpi for finding in whole):
        one, other = (
            [finding for finding in findings if finding.kpi == name]
            for findings in (whole, plateau)
        )
        out += (
            [_of_plateau(*pair, where) for pair in zip(one, other, strict=True)]
            if _weighs_more(other, one)
            else one
        )
    return tuple(out)


def _weighs_more(plateau: Sequence[Finding], whole: Sequence[Finding]) -> bool:
    """Whether a KPI's worst findings are those of the plateau; of two regressions the surer, of two
    `ok` the one under most exposure."""
    if whole[0].control_for:
        return False
    one, other = (
        sorted(WORST_FIRST.index(finding.verdict) for finding in findings)
        for findings in (plateau, whole)
    )
    if one != other:
        return one < other
    worst = WORST_FIRST[one[0]]
    return worst is Verdict.OK or (
        worst is Verdict.REGRESSED and max(map(_surprise, plateau)) > max(map(_surprise, whole))
    )


def _of_plateau(whole: Finding, plateau: Finding, where: Plateau) -> Finding:
    chosen = replace(
        plateau,
        steps=whole.steps,
        steps_planned=whole.steps_planned,
        volume=whole.volume,
        flagged=whole.flagged,
        coverage=whole.coverage,
    )
    return replace(chosen, reason=f"at {percent(where.share)} of users: {plateau.reason}")


def _surprise(finding: Finding) -> float:
    """By how much the p-value undercuts its level."""
    return math.inf if not finding.p_value else (finding.level or 0.0) / finding.p_value


def _exposed(finding: Finding, plateaus: Sequence[Plateau], results: Sequence[Scored]) -> Finding:
    """The finding with the effect on each plateau, if it is about a level that moved and there are
    several."""
    if finding.verdict not in MOVED or finding.kind not in LEVEL_KINDS:
        return finding
    key = (finding.kpi, segment_text(finding.segment))
    seen = [
        (_with_effect(plateau, result), result.effect)
        for plateau, result in (
            (plateau, each.scores[each.keys.index(key)])
            for plateau, each in zip(plateaus, results, strict=True)
        )
        if result is not None and result.sizes is not None and result.effect is not None
    ]
    if len(seen) < 2:  # noqa: PLR2004  nothing to compare
        return finding
    sign = math.copysign(1.0, finding.effect_absolute or 0.0)
    shown = Exposure(
        growth([each.share for each, _ in seen], [effect for _, effect in seen], sign),
        tuple(each for each, _ in seen),
    )
    return replace(
        finding, exposure=shown, reason=f"{finding.reason}; {exposure(shown, finding.unit)}"
    )


def _with_effect(plateau: Plateau, result: Score) -> Plateau:
    sizes = result.sizes
    if sizes is None:
        return plateau
    return replace(
        plateau,
        effect=sizes.relative,
        effect_interval=sizes.relative_interval,
        effect_absolute=sizes.absolute,
        effect_absolute_interval=sizes.absolute_interval,
    )


def growth(shares: Sequence[float], effects: Sequence[Effect], sign: float) -> Growth:
    """Whether effects that point to `sign` grow with the share of users, by a line through them
    (weighted least squares).

    They grow if the slope is significant, and do not if it is not while the line meets a share of 0
    at a significant effect: what a release does to users who do not have it. Each of the two false
    statements is made in at most one of twenty cases. Neighbouring plateaus share their baseline
    and remember each other, by an unknown amount: the standard error is the larger of what
    independent and what wholly dependent errors imply.
    """
    share = np.array(shares)
    move, error = (
        np.array([getattr(each, name) for each in effects]) for name in ("move", "error")
    )
    if not (error > 0).all():
        return Growth.UNCLEAR
    weight = 1 / error**2
    away = share - np.average(share, weights=weight)
    slope = weight * away / np.sum(weight * away**2)
    at_zero = weight / weight.sum() - slope * np.average(share, weights=weight)
    needed = stdtrit(min(each.freedom for each in effects), ONE_SIDED)

    def is_clear(part: np.ndarray) -> bool:
        unsure = max(float(np.sqrt(np.sum((part * error) ** 2))), abs(float(np.sum(part * error))))
        return bool(sign * np.sum(part * move) > needed * unsure)

    return (
        Growth.GROWS
        if is_clear(slope)
        else Growth.DOES_NOT_GROW
        if is_clear(at_zero)
        else Growth.UNCLEAR
    )


def cut_short(findings: Sequence[Finding], spans: Plan, look: Look) -> tuple[Finding, ...]:
    """The findings of a watch that the next release may have ended: it is named, and what was too
    short to pass is open."""
    following = look.release.followed_by
    if following is None or spans.watch_end == spans.plateaus[-1].window.end or not look.final:
        return tuple(findings)
    why = ended_by(following, look.release.started_at.date())
    need = math.ceil(MIN_COVERAGE * look.planned)
    out = [
        replace(finding, notes=(*finding.notes, f"{why}; what follows may be the work of either"))
        for finding in findings
    ]
    if look.steps >= need:
        return tuple(out)
    return opened(
        out, f"{why}, after {look.steps} of {look.planned} steps, need {need} to pass", look
    )
