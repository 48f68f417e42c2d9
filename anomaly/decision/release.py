"""What the findings make of the release, and what leaves it open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from anomaly.decision.draft import MIN_COVERAGE
from anomaly.decision.progress import WatchProgress
from anomaly.model import WELL, Finding, KpiSeverity, ReleaseVerdict, Verdict
from anomaly.timing.spans import Plan
from anomaly.wording import ended_by


def verdict(findings: Sequence[Finding], *, final: bool = True) -> ReleaseVerdict:
    """What the findings make of the release; missing evidence, or a watch that is not over
    (`final`), is never a pass."""
    counted = [finding for finding in findings if finding.counts]
    failing = {finding.severity for finding in findings if finding.fails}
    if KpiSeverity.GUARDRAIL in failing:
        return ReleaseVerdict.FAIL
    errors = [finding for finding in counted if finding.verdict is Verdict.ERROR]
    if any(error.critical for error in errors) or (errors and len(errors) == len(counted)):
        return ReleaseVerdict.ERROR
    if failing:
        return ReleaseVerdict.HOLD
    passes = any(finding.verdict in WELL for finding in counted)
    if final and passes and not any(finding.is_open for finding in findings):
        return ReleaseVerdict.PASS
    return ReleaseVerdict.INCONCLUSIVE


def without_exclusions(
    findings: Sequence[Finding], exclusions: Sequence[str], progress: WatchProgress
) -> tuple[Finding, ...]:
    """The findings of a watch some of whose steps are excluded, each for one of the reasons in
    `exclusions`: a pass needs most of the steps."""
    if not len(exclusions):
        return tuple(findings)
    planned, why = progress.steps + len(exclusions), ", ".join(dict.fromkeys(exclusions))
    if progress.final and not progress.steps:
        reason = (
            f"all {planned} steps of the watch are excluded ({why}): "
            "the past has no comparable steps"
        )
        return tuple(
            replace(each, steps_planned=planned) for each in _left_open(findings, reason, progress)
        )
    note = f"{len(exclusions)} of {planned} steps are excluded: {why}"
    noted = _with_note(findings, note)
    need = math.ceil(MIN_COVERAGE * planned)
    if not progress.final or progress.steps >= need:
        return noted
    reason = f"{note}; a pass needs {need} others"
    return _left_open(noted, reason, progress)


def cut_short(
    findings: Sequence[Finding], spans: Plan, progress: WatchProgress
) -> tuple[Finding, ...]:
    """The findings of a watch that the next release may have ended: it is named, and what was too
    short to pass is open."""
    following = progress.release.followed_by
    was_ended = spans.watch_end != spans.plateaus[-1].window.end
    if following is None or not was_ended or not progress.final:
        return tuple(findings)
    why = ended_by(following, progress.day)
    noted = _with_note(findings, f"{why}; later changes may come from either release")
    need = math.ceil(MIN_COVERAGE * progress.planned)
    if progress.steps >= need:
        return noted
    reason = f"{why}, after {progress.steps} of {progress.planned} steps; a pass needs {need}"
    return _left_open(noted, reason, progress)


def _with_note(findings: Sequence[Finding], note: str) -> tuple[Finding, ...]:
    return tuple(replace(finding, notes=(*finding.notes, note)) for finding in findings)


def _left_open(
    findings: Sequence[Finding], reason: str, progress: WatchProgress
) -> tuple[Finding, ...]:
    """The findings, those that would pass left open, for too little was judged."""
    return tuple(
        replace(finding, verdict=Verdict.INCONCLUSIVE, reason=reason)
        if finding.verdict in WELL
        or (finding.verdict is Verdict.INCONCLUSIVE and not progress.steps)
        else finding
        for finding in findings
    )
