"""Decision: which series count against the release, as one finding per series.

The share of harmless releases that may fail, `false_alarms`, is spent once over all KPIs and all
looks of the watch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from anomaly.decision.case import Case, detectable
from anomaly.decision.draft import Draft, draft
from anomaly.decision.findings import Context, finding
from anomaly.decision.mix import Mix
from anomaly.decision.mix_notes import Composition, composition
from anomaly.decision.multiplicity import allowances
from anomaly.decision.progress import WatchProgress
from anomaly.decision.ruling import Ruling, rule
from anomaly.model import CHANGED, ChangeKind, Correction, Finding, Flagged, Kpi
from anomaly.scoring.power import Doer, one_by_one
from anomaly.scoring.scored import Scored


def decide(
    scored: Scored,
    kpis: Sequence[Kpi],
    usage: Mapping[str, float],
    progress: WatchProgress,
    *,
    false_alarms: float,
    correction: Correction,
    share: float = 1.0,
    mixes: Mapping[str, Mix] = MappingProxyType({}),
    doer: Doer = one_by_one,
) -> tuple[Finding, ...]:
    """A finding per series, in the order of the KPIs, a KPI's total first and its segments by what
    they contribute to its change.

    KPIs without a series and failed sources are the caller's. Of `false_alarms` a `share` may be
    spent. `mixes` say what the change of a KPI's total is made of. The `doer` looks for what
    could have been detected.
    """
    by_name = {kpi.name: kpi for kpi in kpis}
    drafts = [
        draft(by_name[name], usage[name], scored, row, progress)
        for row, (name, _) in enumerate(scored.keys)
    ]
    judged_totals = {each.kpi.name for each in drafts if each.is_total and each.is_judgeable}
    mixes = {name: mix for name, mix in mixes.items() if name in judged_totals}
    allowed = allowances(
        drafts,
        usage,
        share * false_alarms,
        correction,
        scored.replayed,
        windows=scored.past.rows // progress.steps,
        held_out=scored.held_out,
        watched=progress.share,
    )
    cases = [
        _case(each, allowance.alpha, mixes.get(each.kpi.name), progress)
        for each, allowance in zip(drafts, allowed, strict=True)
    ]
    rulings = [_ruling(each, case) for each, case in zip(drafts, cases, strict=True)]
    compositions = _compositions(drafts, cases, rulings, mixes)
    flags = _flags(scored, progress)
    # of a control nothing is asked that power could answer
    counted = [case for case in cases if case is not None and not case.kpi.control_for]
    smallest = dict(zip(map(id, counted), detectable(counted, doer), strict=True))
    findings = [
        finding(
            each,
            ruling,
            case,
            progress,
            Context(
                detectable=smallest.get(id(case), (None, None)),
                p_release=_at_share(allowance.p_release, share),
                flagged=flags.get((each.kpi.name, each.segment)),
                mix=mixes.get(each.kpi.name),
                composition=compositions.get(each.kpi.name) if each.is_total else None,
            ),
        )
        for each, ruling, case, allowance in zip(drafts, rulings, cases, allowed, strict=True)
    ]
    findings.sort(key=lambda each: (not each.total, -abs(each.contribution or 0.0)))
    order = {kpi.name: place for place, kpi in enumerate(kpis)}
    return tuple(sorted(findings, key=lambda each: order[each.kpi]))


def _case(each: Draft, alpha: float, mix: Mix | None, progress: WatchProgress) -> Case | None:
    """What the verdict about a draft depends on; None if it can't be judged."""
    score = each.score
    if not each.is_judgeable or score is None or score.sizes is None or each.p_value is None:
        return None
    mix_effect = mix.effect if mix is not None and each.is_total else None
    return Case(each.kpi, score, score.sizes, each.p_value, alpha, mix_effect, each.steps, progress)


def _ruling(each: Draft, case: Case | None) -> Ruling:
    if case is not None:
        return rule(case)
    refusal = each.refusal
    assert refusal is not None  # noqa: S101  else there is a case
    return Ruling(refusal.verdict, refusal.reason)


def _at_share(p_release: float | None, share: float) -> float | None:
    """The p-value of the release by a part of the evidence that may spend a share of the alarms."""
    return None if p_release is None else min(1.0, p_release / share)


def _compositions(
    drafts: Sequence[Draft],
    cases: Sequence[Case | None],
    rulings: Sequence[Ruling],
    mixes: Mapping[str, Mix],
) -> dict[str, Composition]:
    """What the change of each total is made of, in words, where the total or a segment changed."""
    series = [*zip(drafts, cases, rulings, strict=True)]
    changed = {
        each.kpi.name
        for each, _, ruling in series
        if ruling.verdict in CHANGED or ruling.kind is ChangeKind.MIX
    }
    by_segments = {
        each.kpi.name
        for each, _, ruling in series
        if ruling.verdict in CHANGED and not each.is_total
    }
    return {
        each.kpi.name: composition(
            case.sizes,
            each.kpi.unit,
            mixes[each.kpi.name],
            a_segment_changed=each.kpi.name in by_segments,
        )
        for each, case, _ in series
        if each.is_total and case is not None and each.kpi.name in changed & mixes.keys()
    }


def _flags(scored: Scored, progress: WatchProgress) -> dict[tuple[str, str], Flagged]:
    """First and worst of the flagged points per series."""
    flagged, z = scored.points.matrices["flagged"], scored.points.matrices["z"]
    out = {}
    for row in np.flatnonzero(flagged.any(axis=1)):
        steps = np.flatnonzero(flagged[row])
        worst = int(steps[np.abs(z[row, steps]).argmax()])
        out[scored.keys[row]] = Flagged(
            len(steps), progress.at(int(steps[0])), progress.at(worst), float(z[row, worst])
        )
    return out
