"""From drafts and rulings to findings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from anomaly.decision.case import Case
from anomaly.decision.draft import MIN_HISTORY, Draft, Refusal, nothing
from anomaly.decision.mix import Mix
from anomaly.decision.mix_notes import Composition
from anomaly.decision.progress import WatchProgress
from anomaly.decision.ruling import Ruling
from anomaly.errors import CollectError
from anomaly.model import ChangeKind, Evidence, Finding, Flagged, Kpi, Verdict
from anomaly.panel import segment_labels


@dataclass(frozen=True, slots=True)
class Context:
    """What a finding says of its series beside the ruling: the smallest change that would be found,
    relative and absolute, the p-value of the release, its flagged points, the mix of the total that
    it belongs to, and of a total what its change is made of."""

    detectable: tuple[float | None, float | None] = (None, None)
    p_release: float | None = None
    flagged: Flagged | None = None
    mix: Mix | None = None
    composition: Composition | None = None


def finding(
    draft: Draft,
    ruling: Ruling,
    case: Case | None,
    progress: WatchProgress,
    context: Context,
) -> Finding:
    """The finding about one series; `case` is None for one that can't be judged."""
    kpi, mix, composition = draft.kpi, context.mix, context.composition
    sizes = None if case is None else case.sizes
    # of a control nothing is asked that alpha could answer
    counted = None if kpi.control_for else case
    relative, absolute = context.detectable
    evidence = Evidence() if case is None else case.score.evidence
    if mix is not None and not draft.is_total and draft.segment in mix.shares:
        evidence = replace(evidence, shares=mix.shares[draft.segment])
    if draft.new_steps is not None:
        evidence = replace(evidence, new_steps=draft.new_steps, new_events=draft.new_events)
    reason = ruling.reason
    notes = tuple(note for note in draft.notes if note != reason)
    if composition is not None:
        notes = (*notes, composition.note)
        reason += composition.by_mix if ruling.kind is ChangeKind.MIX else ""
    return Finding(
        kpi=kpi.name,
        verdict=ruling.verdict,
        reason=reason,
        segment=segment_labels(draft.segment),
        kind=ruling.kind,
        p_value=draft.p_value,
        level=None if counted is None else counted.alpha,
        p_release=context.p_release,
        observed=None if sizes is None else sizes.observed,
        expected=None if sizes is None else sizes.expected,
        effect=None if sizes is None else sizes.relative,
        effect_interval=None if sizes is None else sizes.relative_interval,
        effect_absolute=None if sizes is None else sizes.absolute,
        effect_absolute_interval=None if sizes is None else sizes.absolute_interval,
        detectable_effect=relative,
        detectable_absolute=absolute,
        total=draft.is_total,
        contribution=None if mix is None else mix.contributions.get(draft.segment),
        mix_effect=mix.effect if mix is not None and draft.is_total else None,
        onset=None if ruling.onset is None else ruling.onset.at,
        onset_interval=None if ruling.onset is None else ruling.onset.interval,
        flagged=None if case is None else context.flagged,
        coverage=None if draft.score is None else draft.score.coverage,
        steps=draft.steps,
        steps_planned=progress.planned,
        volume=draft.volume,
        weight=draft.weight,
        unit=kpi.unit,
        direction=kpi.direction,
        tolerance=kpi.tolerance,
        floor=kpi.floor,
        critical=kpi.critical,
        severity=kpi.severity,
        dry_run=kpi.dry_run,
        control_for=kpi.control_for,
        no_data=kpi.no_data,
        query=kpi.query,
        denominator=kpi.denominator,
        notes=notes,
        evidence=evidence,
    )


def unanswered(
    kpi: Kpi, weight: float, progress: WatchProgress, error: CollectError, *, is_total: bool = False
) -> Finding:
    """The finding of a KPI, or its total, whose source failed."""
    return _refused(kpi, weight, progress, Refusal(Verdict.ERROR, str(error)), is_total=is_total)


def unjudged(
    kpi: Kpi, weight: float, progress: WatchProgress, steps: int, *, is_total: bool = False
) -> Finding:
    """The finding of a KPI, or its total, that has no series or whose panel is too short to learn
    from; `steps` have data."""
    if steps == 0:
        refusal = nothing(kpi)
    elif progress.steps == 0:
        refusal = Refusal(Verdict.INCONCLUSIVE, f"nothing so far, 0 of {progress.planned} steps")
    else:
        refusal = Refusal(
            Verdict.INCONCLUSIVE,
            f"too little history: {steps} steps with data in all, need {MIN_HISTORY} before the "
            "release",
        )
    return _refused(kpi, weight, progress, refusal, is_total=is_total)


def _refused(
    kpi: Kpi, weight: float, progress: WatchProgress, refusal: Refusal, *, is_total: bool
) -> Finding:
    draft = Draft(kpi, weight, is_total=is_total, refusal=refusal)
    return finding(draft, Ruling(refusal.verdict, refusal.reason), None, progress, Context())
