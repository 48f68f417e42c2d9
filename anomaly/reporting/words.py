"""A report in words: as one line (`headline`, `finding_line`), and in which order.

Every output for people takes its words from here, so that a fact reads the same on a terminal, in a
chat and in JSON. A change always reads: effect [interval], p-value, onset, observed vs expected.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from anomaly import wording
from anomaly.model import (
    UNJUDGED,
    WORST_FIRST,
    ChangeKind,
    Changes,
    Direction,
    Finding,
    Incident,
    KpiSeverity,
    Release,
    ReleaseVerdict,
    Segment,
    Verdict,
    Window,
)
from anomaly.reporting.message import Receipt
from anomaly.reporting.report import Report
from anomaly.steps import CalendarStep, local

TOTAL = "all"  # the name of the total of a KPI's segments
# characters; a longer unit is in the first line and in the JSON, not in every row
SHORT_UNIT = 6
MOST_NAMED = 5  # items of a list in a line
DETECTABLE = "smallest detectable change"  # at 80 % power
DETECTABLE_HEAD = "detectable"  # the same as a column
DETECTABLE_NOTE = f"{DETECTABLE_HEAD}: {DETECTABLE} (80 % power)"
LONGEST_NAME, LONGEST_RELEASE, LONGEST_REASON = 60, 120, 300  # characters of foreign text
LONGEST_QUERY = 1000
FEW_STEPS = 4  # of a watch: in fewer, only large changes stand out
HOURS_OF_A_DAY = 24
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
    """The findings in the order of their importance: failures first, those of guardrails before
    those of signals; then critical KPIs, by weight, by size of the effect, by name.

    A total and its segments stay together, ranked by their contribution to the total's change. The
    total comes first, unless a failing segment makes up more than half of it.
    """
    unordered = [*findings]

    def severity(finding: Finding) -> int:
        if finding.fails:
            return [*KpiSeverity].index(finding.severity)
        return len(KpiSeverity) + AFTER_FAILURES.index(finding.verdict)

    def size(finding: Finding) -> float:
        return math.inf if finding.effect is None else abs(finding.effect)

    largest: dict[tuple[int, str], float] = {}
    for finding in unordered:
        if finding.total or finding.contribution is not None:
            group = severity(finding), finding.kpi
            largest[group] = max(largest.get(group, 0.0), size(finding))

    def rank(finding: Finding) -> tuple[Any, ...]:
        severe, own = severity(finding), size(finding)
        leading = largest.get((severe, finding.kpi), own)
        part = (
            finding.contribution
            if not finding.total
            else (finding.effect_absolute or 0.0) / 2
            if finding.fails
            else math.inf
        )
        inside = (-abs(part or 0.0), -own, sorted(finding.segment.items()))
        return (
            severe,
            not finding.critical,
            -finding.weight,
            -leading,
            finding.kpi,
            *inside,
        )

    return sorted(unordered, key=rank)


def failures(report: Report) -> list[Finding]:
    """The findings that fail the release or hold it, the most important first."""
    return ordered(finding for finding in report.findings if finding.fails)


def more_words(findings: Sequence[Finding]) -> str:
    """`and 1,979 more: revenue 1,200, sign-ups 779` of findings that are not listed, with their
    KPIs where these are fewer; empty without any."""
    counts = Counter(wording.plain(each.kpi, LONGEST_NAME) for each in findings)
    if len(counts) in (0, len(findings)):
        return f"and {len(findings):,} more" if findings else ""
    names = [f"{name} {count:,}" for name, count in counts.most_common()]
    return f"and {len(findings):,} more: {wording.listed(names, MOST_NAMED)}"


def failure_marks(finding: Finding) -> list[str]:
    """What else to know of a finding that fails: `critical`, `signal`."""
    marks = (
        ("critical", finding.critical),
        (str(finding.severity), finding.severity is KpiSeverity.SIGNAL),
    )
    return [mark for mark, holds in marks if holds and finding.fails]


def title(finding: Finding) -> str:
    """The KPI and its segment: `checkout errors (country=DE)`; `checkout errors (all)` for the
    total of its segments."""
    name = wording.plain(finding.kpi, LONGEST_NAME)
    labels = part_words(finding)
    return f"{name} ({labels})" if labels else name


def part_words(finding: Finding) -> str:
    """The part of its KPI that a finding is about: `country=DE, plan=pro`, `all` for a total, empty
    for a KPI without segments."""
    return TOTAL if finding.total else segment_words(finding.segment)


def segment_words(segment: Segment) -> str:
    """The labels for people: `country=DE, plan=pro`."""
    return wording.plain(
        ", ".join(f"{label}={segment[label]}" for label in sorted(segment)), LONGEST_NAME
    )


def effect_words(finding: Finding) -> str:
    """The size of the change: `+212 % [180, 240]`; in the KPI's unit without a relative size; else
    empty."""
    if finding.effect is not None:
        return wording.relative(finding.effect, finding.effect_interval)
    if finding.effect_absolute is not None:
        return wording.absolute(
            finding.effect_absolute, finding.effect_absolute_interval, finding.unit
        )
    return ""


def change_words(finding: Finding) -> str:
    """The change: the effect of a level or ramp, the kind of any other change (`spikes`), or
    both."""
    kind = "" if finding.kind is None else KIND_WORDS.get(finding.kind, "")
    if kind and finding.verdict is Verdict.IMPROVED:
        kind = f"{finding.kind} improved"
    if _is_only_faster(finding):
        kind = "grows faster," if finding.direction is Direction.UP else "falls faster,"
    return " ".join(
        part for part in (kind, effect_words(finding)) if part
    ) or finding.verdict.replace("_", " ")


def _is_only_faster(finding: Finding) -> bool:
    """Whether a KPI regressed by how fast it grows or falls, while its level is still better than
    expected."""
    if finding.verdict is not Verdict.REGRESSED or finding.kind is not ChangeKind.RAMP:
        return False
    rises = (finding.effect_absolute or 0.0) > (finding.mix_effect or 0.0)
    return finding.direction is (Direction.DOWN if rises else Direction.UP)


def rest_words(finding: Finding) -> str:
    """The effect of a finding that is ok; `mix` before it if only the mix of segments changed."""
    return effect_words(finding) if finding.kind is None else change_words(finding)


def versus_words(finding: Finding) -> str:
    """`0.0312 vs expected 0.01 ms`; empty if either is unknown."""
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
    """The p-value of a regression, for a column: `< 0.0001`, `0.004`; empty for any other
    finding."""
    if finding.p_value is None or finding.verdict is not Verdict.REGRESSED:
        return ""
    return wording.p_value(finding.p_value).removeprefix("p ").removeprefix("= ")


def detectable_words(finding: Finding) -> str:
    """The smallest detectable change (80 % power): `4.2 %`; empty if it is unknown."""
    if finding.detectable_effect is not None:
        return wording.percent(finding.detectable_effect)
    if finding.detectable_absolute is not None:
        return wording.quantity(finding.detectable_absolute, finding.unit)
    return ""


def smallest_detectable(finding: Finding) -> str:
    """`smallest detectable change 4.2 %`; empty if it is unknown."""
    size = detectable_words(finding)
    return f"{DETECTABLE} {size}" if size else ""


def onset_words(finding: Finding, release: Release | None) -> str:
    """`10:35` (UTC), with its date if that is not the release's; empty without an onset."""
    if finding.onset is None:
        return ""
    return wording.clock(finding.onset, None if release is None else release.started_at.date())


def mark(finding: Finding) -> str:
    """Why a finding does not count for the release: ` (dry run)`, ` (control)`, or empty."""
    return " (control)" if finding.control_for else " (dry run)" if finding.dry_run else ""


def query_lines(finding: Finding) -> list[str]:
    """The resolved query as lines, safe to print; `/` begins the line of a denominator."""
    lines = source_lines(finding.query)
    if finding.denominator:
        first, *others = source_lines(finding.denominator) or [""]
        lines += [f"/ {first}", *others]
    return lines


def source_lines(text: str) -> list[str]:
    """A query as lines that are safe to print; empty ones are left out."""
    excerpt = wording.shortened(text, LONGEST_QUERY)
    return [
        wording.plain(line.rstrip(), LONGEST_QUERY) for line in excerpt.splitlines() if line.strip()
    ]


def verdict_words(finding: Finding) -> str:
    return finding.verdict.replace("_", " ") + mark(finding)


def reason_words(finding: Finding) -> str:
    return wording.plain(finding.reason, LONGEST_REASON)


def finding_line(finding: Finding, release: Release | None = None) -> str:
    """The finding in one line: `checkout errors (country=DE) +212 % [180, 240], p < 0.0001, since
    10:35, 0.031 vs expected 0.01`.

    Times are UTC; the date is left out on the day of `release`.
    """
    if finding.verdict not in (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.OK):
        return f"{title(finding)} {verdict_words(finding)}: {reason_words(finding)}"
    if finding.verdict is Verdict.OK:
        parts = ["ok", rest_words(finding), smallest_detectable(finding)]
    else:
        onset = onset_words(finding, release)
        # the p-value of an improvement is for the other direction
        p = finding.p_value if finding.verdict is Verdict.REGRESSED else None
        parts = [
            change_words(finding),
            "" if p is None else wording.p_value(p),
            f"since {onset}" if onset else "",
            versus_words(finding),
        ]
    return f"{title(finding)}{mark(finding)} {', '.join(part for part in parts if part)}"


def headline(report: Report) -> str:
    """The answer in one line, the verdict first; safe to print whatever the names in it. Controls
    are left out."""
    report = replace(
        report, findings=tuple(finding for finding in report.findings if not finding.control_for)
    )
    sentence = {
        ReleaseVerdict.FAIL: _fail,
        ReleaseVerdict.HOLD: _fail,
        ReleaseVerdict.PASS: _pass,
        ReleaseVerdict.INCONCLUSIVE: _inconclusive,
        ReleaseVerdict.ERROR: _error,
    }[report.verdict]
    return f"{report.verdict.upper()}  {sentence(report)}"


def _fail(report: Report) -> str:
    failing = failures(report)
    others = [
        finding
        for finding in _unjudged(report)
        if report.final or finding.verdict is not Verdict.INCONCLUSIVE
    ]
    lines = [finding_line(finding, report.release) for finding in failing]
    parts = [
        _worst_and_together(lines[0], report.incidents[0], len(lines), report.release)
        if report.incidents
        else _worst_and_more(lines),
        f"{len(others)} could not be judged" if others else "",
        cut_words(report) if report.final else f"early look, {progress(report.findings)}",
    ]
    return "; ".join(part for part in parts if part)


def _worst_and_together(worst: str, first: Incident, failing: int, release: Release) -> str:
    """The worst failure, and how many moved together."""
    more = failing - len(first.findings)
    return f"{worst}; {together_words(first, release)}" + (f"; and {more} more" if more > 0 else "")


def together_words(incident: Incident, release: Release | None) -> str:
    """`12 series of 3 KPIs moved together since 09:40`; the time is UTC."""
    kpis = f"{incident.kpis} KPI{'' if incident.kpis == 1 else 's'}"
    since = ""
    if incident.since is not None:
        day = None if release is None else release.started_at.date()
        since = f" since {wording.clock(incident.since, day)}"
    return f"{len(incident.findings):,} series of {kpis} moved together{since}"


def incident_lines(report: Report) -> list[str]:
    """A line for each of the first incidents: `12 series of 3 KPIs moved together since 09:40, led
    by checkout errors (all) +212 % [180, 240], 38 % of usage`."""
    lines = []
    for incident in report.incidents[:MOST_NAMED]:
        lead = report.findings[incident.findings[0]]
        parts = [
            together_words(incident, report.release),
            f"led by {title(lead)} {change_words(lead)}",
            "" if incident.usage is None else f"{wording.percent(incident.usage)} of usage",
        ]
        lines.append(", ".join(part for part in parts if part))
    more = len(report.incidents) - MOST_NAMED
    return [*lines, *([f"and {more} more that moved together"] if more > 0 else [])]


def _pass(report: Report) -> str:
    judged_findings = [finding for finding in report.findings if finding.verdict not in UNJUDGED]
    counts = [
        (sum(finding.verdict is verdict for finding in judged_findings), word)
        for verdict, word in (
            (Verdict.IMPROVED, "improved"),
            (Verdict.RECOVERED, "recovered"),
            (Verdict.REGRESSED, "regressed in a dry run"),
        )
    ]
    mix_only = sum(finding.kind is ChangeKind.MIX for finding in judged_findings)
    counts.append((mix_only, "changed by mix only"))
    movements = ", ".join(f"{count} {word}" for count, word in counts if count)
    left_out = len(report.findings) - len(judged_findings)
    parts = [
        ", ".join(part for part in (scope(judged_findings), "no regression", movements) if part),
        f"{left_out} not judged, which the checklist accepts" if left_out else "",
        _detectable_range(judged_findings),
        cut_words(report),
    ]
    return "; ".join(part for part in parts if part)


def _detectable_range(findings: Sequence[Finding]) -> str:
    """From the most to the least sensitive series, so that a pass does not promise too much."""
    sizes = sorted(
        (finding.detectable_effect, title(finding))
        for finding in findings
        if finding.detectable_effect is not None
    )
    if not sizes:
        return ""
    ends = [f"{wording.percent(size)} ({name})" for size, name in (sizes[0], sizes[-1])]
    return f"{DETECTABLE} {' to '.join(ends if len(sizes) > 1 else ends[:1])}"


def cut_words(report: Report) -> str:
    """What ended the watch early: `watch ended at 12:00 by release 2.3.1`; empty if nothing
    did."""
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
        count = sum(finding.verdict is Verdict.RECOVERED for finding in report.findings)
        parts = [
            f"nothing so far, {steps} ({scope(report.findings)})",
            f"{count} recovered" if count else "",
            gaps,
        ]
        return "; ".join(part for part in parts if part)
    return _could_not_judge(report)


def _error(report: Report) -> str:
    return _could_not_judge(report)


def _could_not_judge(report: Report) -> str:
    unjudged = _unjudged(report) or [
        finding for finding in ordered(report.findings) if finding.verdict in UNJUDGED
    ]
    if not unjudged:
        return "nothing was judged"
    rest = sum(finding.verdict not in UNJUDGED for finding in report.findings)
    text = _worst_and_more([finding_line(finding, report.release) for finding in unjudged])
    return f"{text}; no regression in the other {rest}" if rest else text


def _unjudged(report: Report) -> list[Finding]:
    return ordered(finding for finding in report.findings if finding.is_open)


def _worst_and_more(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return lines[0] + (f"; and {len(lines) - 1} more" if len(lines) > 1 else "")


def judged_words(report: Report) -> str:
    """The release, and the windows that were compared; times are UTC."""
    release, day = report.release, report.release.started_at.date()
    name = " ".join(part for part in (release.service, release.version) if part) or "release"
    place = f" in {release.environment}" if release.environment else ""
    stages = (
        f" in stages ({', '.join(wording.percent(share) for _, share in release.stages)})"
        if release.stages
        else ""
    )
    return (
        f"{wording.plain(name + place, LONGEST_RELEASE)}, released "
        f"{wording.clock(release.started_at, None)} UTC{stages}; "
        f"{_observed_words(report, day)}, {_past_words(report)}"
    )


def _observed_words(report: Report, day: date) -> str:
    """Since when and until when data were seen, and how far the watch is."""
    steps = progress(report.findings)
    over = ends(report.observation, report.step)[1]
    if report.seen is None:
        return f"no data observed{f' ({steps})' if steps else ''}"
    reached = ends(report.seen, report.step)
    observed = f"observed {' to '.join(wording.clock(end, day) for end in reached)}"
    goes_on = "" if report.final else f"the watch ends at {wording.clock(over, day)}"
    inside = "; ".join(part for part in (steps, goes_on) if part)
    return f"{observed} ({inside})" if inside else observed


def _past_words(report: Report) -> str:
    """How much of the past there was to compare with, and how much was asked for, if that is
    more."""
    if report.history is None:
        return "no data before it to compare with"
    length, wish = _length_words(report.history.length), _length_words(report.baseline.length)
    return f"compared with the {length} before" + ("" if length == wish else f" ({wish} asked for)")


def _length_words(length: timedelta) -> str:
    """`28 days`; `36 hours` where it is less than two days."""
    hours = length.total_seconds() / 3600
    if hours >= 2 * HOURS_OF_A_DAY:
        return f"{wording.number(hours / HOURS_OF_A_DAY)} days"
    return f"{wording.number(hours)} hours"


def ends(window: Window, step: timedelta) -> tuple[datetime, datetime]:
    """From when to when a window reaches; in steps of the calendar, the first and the last."""
    steps = step.edges(window.start, window.end)[:-1] if isinstance(step, CalendarStep) else []
    if steps:
        return local(steps[0], step), local(steps[-1], step)
    return window.start, window.end


def context_lines(report: Report) -> list[str]:
    """What else matters: what the history is too short to confirm, which spans were left out, what
    else was released."""
    lines = []
    planned = max((each.steps_planned for each in report.findings), default=0)
    if 0 < planned < FEW_STEPS:
        lines.append(
            f"a watch of {planned} step{'' if planned == 1 else 's'} is short: only large changes "
            "are found; set a longer windows.watch or a shorter windows.step"
        )
    if (
        report.verifiable is not None
        and report.false_alarms < report.verifiable
        and report.p_value is not None
    ):
        lines.append(
            "this history can confirm a false-alarm rate only down to 1 in "
            f"{wording.number(1 / report.verifiable)}; the {wording.percent(report.false_alarms)} "
            "rests on simulations"
        )
    if report.left_out:
        reasons = [
            wording.plain(reason, LONGEST_NAME)
            for reason in dict.fromkeys(span.reason for span in report.left_out)
        ]
        more = len(reasons) - MOST_NAMED
        lines.append(
            f"left out: {', '.join(reasons[:MOST_NAMED])}"
            + (f" and {more} more" if more > 0 else "")
        )
    if new := new_kinds(report):
        lines.append(new)
    if report.confounders:
        lines.append(f"also released during the watch: {confounder_words(report)}")
    if report.changes is not None:
        lines.append(changes_line(report.changes))
    return lines


def new_kinds(report: Report) -> str:
    """`new since the release: class=TimeoutError, 214 times`: the segments of which there was
    nothing before, where more is worse, the most first; empty without any."""
    events = [
        finding
        for finding in report.findings
        if finding.evidence.new_steps is not None
        and finding.direction is not Direction.DOWN
        and not finding.control_for
    ]
    events.sort(key=lambda each: (-(each.evidence.new_events or 0.0), -each.steps, title(each)))
    more = len(events) - MOST_NAMED
    names = [_new_kind(each) for each in events[:MOST_NAMED]]
    names += [f"and {more:,} more"] if more > 0 else []
    return f"new since the release: {'; '.join(names)}" if names else ""


def _new_kind(finding: Finding) -> str:
    """`errors (class=TimeoutError), 214 times`; in how many steps, where that is no count."""
    events, steps = finding.evidence.new_events, finding.evidence.new_steps or 0
    if events is None:
        return f"{title(finding)}, in {steps:,} step{'' if steps == 1 else 's'}"
    times = "once" if events == 1 else f"{events:,.0f} times"
    return f"{title(finding)}, {times}"


def changes_line(changes: Changes) -> str:
    """`44 commits since 2.2.0`, or why they are not known."""
    since = f" since {wording.plain(changes.since, LONGEST_NAME)}" if changes.since else ""
    if changes.problem:
        problem = wording.plain(changes.problem, LONGEST_REASON)
        return f"the commits{since} are not known: {problem}"
    count = f"{changes.count:,}" if changes.count else "no"
    line = f"{count} commit{'' if changes.count == 1 else 's'}{since}"
    return line + (f", which has {changes.removed:,} more" if changes.removed else "")


def commit_lines(changes: Changes) -> list[str]:
    """A line for each commit that is named, and how many are not: `4f1c2a9b Ada Lovelace: Round
    prices`, `+ 34 more`."""
    lines = [
        f"{wording.plain(each.id, LONGEST_NAME)} {wording.plain(each.author, LONGEST_NAME)}: "
        f"{wording.plain(each.title, LONGEST_RELEASE)}"
        for each in changes.commits
    ]
    return [*lines, *([more] if (more := more_commits(changes)) else [])]


def more_commits(changes: Changes) -> str:
    """`+ 34 more`: the commits that are not named; empty if all are."""
    more = changes.count - len(changes.commits)
    return f"+ {more:,} more" if more > 0 else ""


def confounder_words(report: Report) -> str:
    """The other releases that may have caused a change: `search 7.0, payments 12`."""
    names = [
        " ".join(wording.plain(part, LONGEST_NAME) for part in (each.service, each.version) if part)
        for each in report.confounders
    ]
    more = len(names) - MOST_NAMED
    return ", ".join(name or "a release" for name in names[:MOST_NAMED]) + (
        f" and {more} more" if more > 0 else ""
    )


def scope(findings: Sequence[Finding]) -> str:
    """How much was judged: `7 KPIs`, or `7 KPIs in 12 series` with segments."""
    kpis = len({finding.kpi for finding in findings})
    text = f"{kpis} KPI{'' if kpis == 1 else 's'}"
    return text if len(findings) == kpis else f"{text} in {len(findings)} series"


def progress(findings: Sequence[Finding]) -> str:
    """The progress of the watch: `12 of 72 steps`, of the series with most steps; empty without a
    plan."""
    planned = max((finding.steps_planned for finding in findings), default=0)
    return f"{max(finding.steps for finding in findings)} of {planned} steps" if planned else ""


def receipt_line(receipt: Receipt) -> str:
    """The result of a delivery in one line: `slack delivered: hooks.slack.com accepted it`."""
    outcome = "delivered" if receipt.delivered else "not delivered"
    tries = f" after {receipt.attempts} attempts" if receipt.attempts > 1 else ""
    detail = f": {wording.plain(receipt.detail, LONGEST_REASON)}" if receipt.detail else ""
    return f"{wording.plain(receipt.sink, LONGEST_NAME)} {outcome}{tries}{detail}"
