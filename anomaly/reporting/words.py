"""What a report says in words: as one line (`headline`, `finding_line`), and in which order.

Everything that tells people goes through here, so that a fact reads the same on a terminal, in a
chat and in JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anomaly import wording
from anomaly.model import (
    UNJUDGED,
    WORST_FIRST,
    ChangeKind,
    Finding,
    Release,
    ReleaseVerdict,
    Segment,
    Verdict,
)
from anomaly.reporting.message import Receipt
from anomaly.reporting.report import Report

if TYPE_CHECKING:
    pass

TOTAL = "all"  # what the total of a KPI's segments is called
SHORT_UNIT = (
    6  # characters; a longer unit stands in the first line and in the JSON, not in every row
)
MOST_NAMED = 5  # of what is listed in a line
LONGEST_NAME, LONGEST_REASON = 60, 300  # characters of foreign text in a line
KIND_WORDS = {
    ChangeKind.SPREAD: "wider spread",
    ChangeKind.SPIKES: "spikes",
    ChangeKind.OUTAGE: "outage",
    ChangeKind.SHAPE: "changed shape",
    ChangeKind.MIX: "mix",
}
# what is left open matters more than a regression that fails nothing, as one of a dry run
AFTER_FAILURES = sorted(WORST_FIRST, key=lambda verdict: verdict not in UNJUDGED)


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The findings as people want them: what fails first; then critical ones, the heavier, the
    larger effect, by name.

    A total and its segments stay together, ranked by what they contribute to the total's change.
    The total goes first, but after a segment that fails and makes up more than half of it.
    """
    known = [*findings]

    def severity(finding: Finding) -> int:
        return 0 if finding.fails else 1 + AFTER_FAILURES.index(finding.verdict)

    def size(finding: Finding) -> float:
        return math.inf if finding.effect is None else abs(finding.effect)

    largest: dict[tuple[int, str], float] = {}
    for finding in known:
        if finding.total or finding.contribution is not None:
            together = severity(finding), finding.kpi
            largest[together] = max(largest.get(together, 0.0), size(finding))

    def rank(finding: Finding) -> tuple[Any, ...]:
        leading = largest.get((severity(finding), finding.kpi), size(finding))
        part = (
            finding.contribution
            if not finding.total
            else (finding.effect_absolute or 0.0) / 2
            if finding.fails
            else math.inf
        )
        inside = (-abs(part or 0.0), -size(finding), sorted(finding.segment.items()))
        return (
            severity(finding),
            not finding.critical,
            -finding.weight,
            -leading,
            finding.kpi,
            *inside,
        )

    return sorted(known, key=rank)


def title(finding: Finding) -> str:
    """The KPI and its segment: `checkout errors (country=DE)`; `checkout errors (all)` for the
    total of its segments."""
    name = wording.plain(finding.kpi, LONGEST_NAME)
    labels = part_words(finding)
    return f"{name} ({labels})" if labels else name


def part_words(finding: Finding) -> str:
    """Which part of its KPI a finding is about: `country=DE, plan=pro`, `all` for a total, nothing
    for a KPI without segments."""
    return TOTAL if finding.total else segment_words(finding.segment)


def segment_words(segment: Segment) -> str:
    """The labels for people: `country=DE, plan=pro`."""
    return wording.plain(
        ", ".join(f"{label}={segment[label]}" for label in sorted(segment)), LONGEST_NAME
    )


def effect_words(finding: Finding) -> str:
    """The size of the change: `+212 % [180, 240]`, in the KPI's unit where a relative one does not
    exist, else nothing."""
    if finding.effect is not None:
        return wording.relative(finding.effect, finding.effect_interval)
    if finding.effect_absolute is not None:
        return wording.absolute(
            finding.effect_absolute, finding.effect_absolute_interval, finding.unit
        )
    return ""


def change_words(finding: Finding) -> str:
    """What moved: the effect of a level or ramp, the kind of any other change (`spikes`), both
    where both are known."""
    kind = "" if finding.kind is None else KIND_WORDS.get(finding.kind, "")
    if kind and finding.verdict is Verdict.IMPROVED:
        kind = f"{finding.kind} improved"
    return " ".join(
        part for part in (kind, effect_words(finding)) if part
    ) or finding.verdict.replace("_", " ")


def rest_words(finding: Finding) -> str:
    """The size of what was found to be ok; `mix` before it where only the mix of the segments moved
    it."""
    return effect_words(finding) if finding.kind is None else change_words(finding)


def versus_words(finding: Finding) -> str:
    """`0.0312 vs expected 0.01 ms`; nothing if either is unknown."""
    if finding.observed is None or finding.expected is None:
        return ""
    return (
        f"{wording.number(finding.observed)} vs expected "
        f"{wording.quantity(finding.expected, finding.unit)}"
    )


def brief_versus_words(finding: Finding) -> str:
    """`0.0312 vs 0.01 ms`, for a column."""
    brief = finding if len(finding.unit) <= SHORT_UNIT else replace(finding, unit="")
    return versus_words(brief).replace("vs expected", "vs")


def p_words(finding: Finding) -> str:
    """The p-value of a regression, for a column: `< 0.0001`, `0.004`; nothing for any other
    finding."""
    if finding.p_value is None or finding.verdict is not Verdict.REGRESSED:
        return ""
    return wording.p_value(finding.p_value).removeprefix("p ").removeprefix("= ")


def detectable_words(finding: Finding) -> str:
    """The change that would have been found in four of five releases: `4.2 %`; nothing if it is
    unknown."""
    if finding.detectable_effect is not None:
        return wording.percent(finding.detectable_effect)
    if finding.detectable_absolute is not None:
        return wording.quantity(finding.detectable_absolute, finding.unit)
    return ""


def onset_words(finding: Finding, release: Release | None) -> str:
    """`10:35` (UTC), with its date when that is not the release's; nothing without an onset."""
    if finding.onset is None:
        return ""
    return wording.clock(finding.onset, None if release is None else release.started_at.date())


def mark(finding: Finding) -> str:
    """What takes a finding out of the verdict about the release: ` (dry run)`, ` (control)`, or
    nothing."""
    return " (control)" if finding.control_for else " (dry run)" if finding.dry_run else ""


def verdict_words(finding: Finding) -> str:
    return finding.verdict.replace("_", " ") + mark(finding)


def reason_words(finding: Finding) -> str:
    return wording.plain(finding.reason, LONGEST_REASON)


def finding_line(finding: Finding, release: Release | None = None) -> str:
    """The finding in one line: `checkout errors (country=DE) +212 % [180, 240] since 10:35, p <
    0.0001, 0.031 vs expected 0.01`.

    Times are UTC; the date is left out on the day of `release`.
    """
    if finding.verdict not in (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.OK):
        return f"{title(finding)} {verdict_words(finding)}: {reason_words(finding)}"
    if finding.verdict is Verdict.OK:
        seen = detectable_words(finding)
        parts = ["ok", rest_words(finding), f"would have seen {seen}" if seen else ""]
    else:
        onset = onset_words(finding, release)
        p = (
            finding.p_value if finding.verdict is Verdict.REGRESSED else None
        )  # an improvement's p is for the other direction
        moved = change_words(finding) + (f" since {onset}" if onset else "")
        parts = [moved, "" if p is None else wording.p_value(p), versus_words(finding)]
    return f"{title(finding)}{mark(finding)} {', '.join(part for part in parts if part)}"


def headline(report: Report) -> str:
    """The answer in one line, the verdict's word first; harmless to print whatever the names in it.
    Controls are no part of it."""
    report = replace(
        report, findings=tuple(finding for finding in report.findings if not finding.control_for)
    )
    say = {
        ReleaseVerdict.FAIL: _fail,
        ReleaseVerdict.PASS: _pass,
        ReleaseVerdict.INCONCLUSIVE: _inconclusive,
        ReleaseVerdict.ERROR: _error,
    }[report.verdict]
    return f"{report.verdict.upper()}  {say(report)}"


def _fail(report: Report) -> str:
    failing = [finding for finding in ordered(report.findings) if finding.fails]
    others = [
        finding
        for finding in _unjudged(report)
        if report.final or finding.verdict is not Verdict.INCONCLUSIVE
    ]
    parts = [
        _worst_and_more([finding_line(finding, report.release) for finding in failing]),
        f"{len(others)} could not be judged" if others else "",
        cut_words(report) if report.final else f"early look, {progress(report.findings)}",
    ]
    return "; ".join(part for part in parts if part)


def _pass(report: Report) -> str:
    judged = [finding for finding in report.findings if finding.verdict not in UNJUDGED]
    counts = [
        (sum(finding.verdict is verdict for finding in judged), word)
        for verdict, word in (
            (Verdict.IMPROVED, "improved"),
            (Verdict.RECOVERED, "recovered"),
            (Verdict.REGRESSED, "moved in a dry run"),
        )
    ]
    counts.append((sum(finding.kind is ChangeKind.MIX for finding in judged), "moved by mix alone"))
    moved = ", ".join(f"{count} {word}" for count, word in counts if count)
    left_out = len(report.findings) - len(judged)
    parts = [
        f"{scope(judged)}, {f'nothing bad found, {moved}' if moved else 'nothing found'}",
        f"{left_out} without an answer, as accepted" if left_out else "",
        _would_have_seen(judged),
        cut_words(report),
    ]
    return "; ".join(part for part in parts if part)


def _would_have_seen(findings: Sequence[Finding]) -> str:
    """From the sharpest to the bluntest series, so that a pass does not promise more than it could
    see."""
    known = sorted(
        (finding.detectable_effect, title(finding))
        for finding in findings
        if finding.detectable_effect is not None
    )
    if not known:
        return ""
    spans = [f"{wording.percent(size)} ({name})" for size, name in (known[0], known[-1])]
    return f"would have seen a change of {' to '.join(spans if len(known) > 1 else spans[:1])}"


def cut_words(report: Report) -> str:
    """What ended the watch before its time: `watch ended at 12:00 by release 2.3.1`; nothing if
    nothing did."""
    following = report.release.followed_by
    if following is None or not report.final or report.observation.end != following.started_at:
        return ""
    return wording.ended_by(following, report.release.started_at.date())


def _inconclusive(report: Report) -> str:
    missing = [
        finding
        for finding in ordered(report.findings)
        if finding.verdict in (Verdict.ERROR, Verdict.NO_DATA)
    ]
    if not report.final and (steps := progress(report.findings)):
        gaps = _worst_and_more([finding_line(finding, report.release) for finding in missing])
        back = sum(finding.verdict is Verdict.RECOVERED for finding in report.findings)
        recovered = f"; {back} recovered" if back else ""
        return f"nothing so far, {steps} ({scope(report.findings)}){recovered}" + (
            f"; {gaps}" if gaps else ""
        )
    return _could_not_judge(report)


def _error(report: Report) -> str:
    return _could_not_judge(report)


def _could_not_judge(report: Report) -> str:
    without = _unjudged(report) or [
        finding for finding in ordered(report.findings) if finding.verdict in UNJUDGED
    ]
    if not without:
        return "nothing was judged"
    rest = sum(finding.verdict not in UNJUDGED for finding in report.findings)
    text = _worst_and_more([finding_line(finding, report.release) for finding in without])
    return f"{text}; nothing bad found in the other {rest}" if rest else text


def _unjudged(report: Report) -> list[Finding]:
    return [finding for finding in ordered(report.findings) if finding.is_open]


def _worst_and_more(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return lines[0] + (f"; and {len(lines) - 1} more" if len(lines) > 1 else "")


def judged_words(report: Report) -> str:
    """Which release, and what was compared with what; times are UTC."""
    release, day = report.release, report.release.started_at.date()
    named = " ".join(part for part in (release.service, release.version) if part) or "release"
    place = f" in {release.environment}" if release.environment else ""
    hours = report.baseline.length.total_seconds() / 3600
    # two days
    past = f"{wording.number(hours / 24)} days" if hours >= 48 else f"{wording.number(hours)} hours"  # noqa: PLR2004
    seen = (
        f"{wording.clock(report.observation.start, day)} to "
        f"{wording.clock(report.observation.end, day)}"
    )
    steps = progress(report.findings)
    stages = (
        f" in stages ({', '.join(wording.percent(share) for _, share in release.stages)})"
        if release.stages
        else ""
    )
    return (
        f"{wording.plain(named + place, 120)}, released "
        f"{wording.clock(release.started_at, None)} UTC{stages}; "
        f"observed {seen}{f' ({steps})' if steps else ''} against {past} before"
    )


def context_lines(report: Report) -> list[str]:
    """What else is to be known: what the history is too short to verify, what neither taught nor
    was judged, what else was released."""
    out = []
    if (
        report.verifiable is not None
        and report.false_alarms < report.verifiable
        and report.p_value is not None
    ):
        once, promised = (
            wording.number(1 / share) for share in (report.verifiable, report.false_alarms)
        )
        out.append(
            f"this history verifies 1 false alarm in {once}, quiet series in general 1 in "
            f"{promised}"
        )
    if report.left_out:
        reasons = [
            wording.plain(reason, LONGEST_NAME)
            for reason in dict.fromkeys(span.reason for span in report.left_out)
        ]
        more = len(reasons) - MOST_NAMED
        out.append(
            f"left out: {', '.join(reasons[:MOST_NAMED])}"
            + (f" and {more} more" if more > 0 else "")
        )
    if report.confounders:
        out.append(f"also released meanwhile: {confounder_words(report)}")
    return out


def confounder_words(report: Report) -> str:
    """The releases that may be behind a change, too: `search 7.0, payments 12`."""
    named = [
        " ".join(wording.plain(part, LONGEST_NAME) for part in (each.service, each.version) if part)
        for each in report.confounders
    ]
    more = len(named) - MOST_NAMED
    return ", ".join(name or "a release" for name in named[:MOST_NAMED]) + (
        f" and {more} more" if more > 0 else ""
    )


def scope(findings: Sequence[Finding]) -> str:
    """How much was looked at: `7 KPIs`, or `7 KPIs in 12 series` with segments."""
    kpis = len({finding.kpi for finding in findings})
    text = f"{kpis} KPI{'' if kpis == 1 else 's'}"
    return text if len(findings) == kpis else f"{text} in {len(findings)} series"


def progress(findings: Sequence[Finding]) -> str:
    """How far the watch is: `12 of 72 steps`, by the series that is furthest; nothing if no plan is
    known."""
    planned = max((finding.steps_planned for finding in findings), default=0)
    return f"{max(finding.steps for finding in findings)} of {planned} steps" if planned else ""


def receipt_line(receipt: Receipt) -> str:
    """What became of a message at one sink, in one line."""
    tries = f" after {receipt.attempts} attempts" if receipt.attempts > 1 else ""
    detail = f": {wording.plain(receipt.detail, LONGEST_REASON)}" if receipt.detail else ""
    return (
        f"{wording.plain(receipt.sink, LONGEST_NAME)} "
        f"{'told' if receipt.delivered else 'not told'}{tries}{detail}"
    )
