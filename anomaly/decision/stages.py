"""Releases that reach users in stages: which plateau decides, and how an effect grows.

A change that only the last stage brings must not drown in the plateaus before it. So the
observation is judged as a whole and, from the second plateau on, the plateau reached last once
more, as if all that lies between it and the history were transition. Half of `false_alarms` is for
the whole, the other half for the plateaus after the first, in equal parts: together they can't
spend more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from anomaly.baseline.sides import Sides
from anomaly.decision.judge import Judge, Testimony
from anomaly.decision.progress import WatchProgress
from anomaly.model import (
    CHANGED,
    WORST_FIRST,
    ChangeKind,
    Exposure,
    Finding,
    Growth,
    Plateau,
    Verdict,
)
from anomaly.panel import segment_text
from anomaly.scoring.effect import Effect
from anomaly.scoring.scored import Score
from anomaly.scoring.sizes import Sizes
from anomaly.scoring.student import t_quantile
from anomaly.timing.spans import Plan
from anomaly.wording import exposure, percent

WHOLE = 0.5  # of `false_alarms`, for the observation as a whole
ONE_SIDED = 0.95
LEVEL_KINDS = frozenset({ChangeKind.LEVEL, ChangeKind.RAMP, None})


def by_stages(
    judge: Judge,
    testimonies: Sequence[Testimony],
    sides: Sides,
    spans: Plan,
    progress: WatchProgress,
) -> tuple[Finding, ...]:
    """The findings about an observation that may consist of several plateaus; the `testimonies` are
    those of its windows (`Sides.windows`)."""
    whole = testimonies[0]
    if len(spans.plateaus) == 1:
        return judge.decide(whole, progress)
    findings = judge.decide(whole, progress, WHOLE)
    plateaus = [plateau for plateau, _ in sides.plateaus]
    on_plateaus = testimonies[1:] or testimonies  # a single one is the whole
    latest, rows = sides.plateaus[-1]
    if latest.share > spans.plateaus[0].share:
        planned = tuple(each for each in spans.plateaus if each.share == latest.share)
        steps = replace(spans, plateaus=planned).steps(progress.starts[0], progress.step)
        starts = tuple(sides.index[rows].to_pydatetime())
        alone = replace(progress, starts=starts, planned=max(1, steps))
        share = (1 - WHOLE) / (len(spans.plateaus) - 1)
        findings = _worse(findings, judge.decide(on_plateaus[-1], alone, share), latest)
    scores = [dict(zip(each.scored.keys, each.scored.scores, strict=True)) for each in on_plateaus]
    return tuple(_exposed(finding, plateaus, scores) for finding in findings)


def _worse(
    whole: Sequence[Finding], latest: Sequence[Finding], plateau: Plateau
) -> tuple[Finding, ...]:
    """The findings that weigh more, of the whole observation or of its latest plateau, KPI by KPI,
    for segments and their total must be about the same steps."""
    out: list[Finding] = []
    latest_by_kpi = _by_kpi(latest)
    for name, of_whole in _by_kpi(whole).items():
        of_latest = latest_by_kpi[name]
        if _weighs_more(of_latest, of_whole):
            by_segment = {segment_text(finding.segment): finding for finding in of_whole}
            out += [
                _of_plateau(by_segment[segment_text(finding.segment)], finding, plateau)
                for finding in of_latest
            ]
        else:
            out += of_whole
    return tuple(out)


def _by_kpi(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    out: dict[str, list[Finding]] = {}
    for finding in findings:
        out.setdefault(finding.kpi, []).append(finding)
    return out


def _weighs_more(latest: Sequence[Finding], whole: Sequence[Finding]) -> bool:
    """Whether a KPI's worst findings are those of the latest plateau; of two regressions the surer,
    of two `ok` the one under most exposure."""
    if whole[0].control_for:
        return False
    of_latest, of_whole = _severities(latest), _severities(whole)
    worst = WORST_FIRST[of_latest[0]]
    if worst is Verdict.ERROR:
        return False
    if of_latest != of_whole:
        return of_latest < of_whole
    return worst is Verdict.OK or (
        worst is Verdict.REGRESSED and max(map(_sureness, latest)) > max(map(_sureness, whole))
    )


def _severities(findings: Sequence[Finding]) -> list[int]:
    """The places of the verdicts in the order of severity, the worst first."""
    return sorted(WORST_FIRST.index(finding.verdict) for finding in findings)


def _of_plateau(whole: Finding, latest: Finding, plateau: Plateau) -> Finding:
    """The finding about the latest plateau, with what is counted over the whole observation."""
    if latest.verdict is Verdict.ERROR:  # a query that matched under less exposure is right
        return whole
    return replace(
        latest,
        steps=whole.steps,
        steps_planned=whole.steps_planned,
        volume=whole.volume,
        flagged=whole.flagged,
        coverage=whole.coverage,
        reason=f"at {percent(plateau.share)} of users: {latest.reason}",
    )


def _sureness(finding: Finding) -> float:
    """How many times the p-value fits into its alpha."""
    return math.inf if not finding.p_value else (finding.level or 0.0) / finding.p_value


def _exposed(
    finding: Finding,
    plateaus: Sequence[Plateau],
    scores: Sequence[Mapping[tuple[str, str], Score | None]],
) -> Finding:
    """The finding with the effect on each plateau, if it is about a level that moved and there are
    several; `scores` are those of each plateau by series."""
    if finding.verdict not in CHANGED or finding.kind not in LEVEL_KINDS:
        return finding
    key = (finding.kpi, segment_text(finding.segment))
    results = [of_series[key] for of_series in scores]
    effects: list[Effect] = []
    with_effects: list[Plateau] = []
    for plateau, result in zip(plateaus, results, strict=True):
        if result is not None and result.sizes is not None and result.effect is not None:
            effects.append(result.effect)
            with_effects.append(_with_effect(plateau, result.sizes))
    if len(effects) < 2:  # noqa: PLR2004  nothing to compare
        return finding
    sign = math.copysign(1.0, finding.effect_absolute or 0.0)
    by_plateau = Exposure(
        growth([plateau.share for plateau in with_effects], effects, sign), tuple(with_effects)
    )
    reason = f"{finding.reason}; {exposure(by_plateau, finding.unit)}"
    return replace(finding, exposure=by_plateau, reason=reason)


def _with_effect(plateau: Plateau, sizes: Sizes) -> Plateau:
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
    move = np.array([effect.move for effect in effects])
    error = np.array([effect.error for effect in effects])
    if not ((error > 0) & np.isfinite(error) & np.isfinite(move)).all():
        return Growth.UNCLEAR
    move, error = move / error.max(), error / error.max()  # only their ratio counts
    weight = (error.min() / error) ** 2
    away = share - np.average(share, weights=weight)
    slope = weight * away / np.sum(weight * away**2)
    at_zero = weight / weight.sum() - slope * np.average(share, weights=weight)
    needed = t_quantile(min(effect.freedom for effect in effects), ONE_SIDED)

    def is_clear(part: np.ndarray) -> bool:
        uncertainty = max(
            float(np.sqrt(np.sum((part * error) ** 2))), abs(float(np.sum(part * error)))
        )
        return bool(sign * np.sum(part * move) > needed * uncertainty)

    if is_clear(slope):
        return Growth.GROWS
    return Growth.DOES_NOT_GROW if is_clear(at_zero) else Growth.UNCLEAR
