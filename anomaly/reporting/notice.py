"""A message in words: what happened, what to do, where to look. Every sink for people uses them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from anomaly import wording
from anomaly.model import Finding, Release, ReleaseVerdict, Verdict
from anomaly.reporting.message import Action, Message, NotifyReason
from anomaly.reporting.report import Report
from anomaly.reporting.words import (
    changes_line,
    commit_lines,
    confounder_words,
    cut_words,
    failures,
    finding_line,
    headline,
    incident_lines,
    new_kinds,
    ordered,
    progress,
)

MOST_FACTS = 5  # findings in a message; the rest is counted
LONGEST_NAME, LONGEST_LINK = 60, 500  # characters


class Severity(StrEnum):
    """How much a message matters, in the terms of PagerDuty, which most receivers use."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Notice:
    """One line each, safe to print, but not escaped for any markup.

    `title` is the verdict and the release, `facts` the findings, the most important first,
    `commits` what a release that fails has changed, `todo` the next step, `link` the address of the
    report (empty without one).
    """

    title: str
    facts: tuple[str, ...]
    commits: tuple[str, ...]
    todo: str
    link: str
    severity: Severity

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it as text, for receivers without markup."""
        return tuple(line for line in (self.title, *self.body, self.todo, self.link) if line)

    @property
    def body(self) -> tuple[str, ...]:
        """What happened, and what was changed."""
        return (*self.facts, *self.commits)


def notice(message: Message) -> Notice:
    """The words for a message."""
    report = message.report
    failing = failures(report)
    return Notice(
        title=f"{_word(message)}  {release_words(report.release)}",
        facts=_facts(message, failing),
        commits=_commits(message, failing),
        todo=_todo(message),
        link=message.link,
        severity=_severity(message, failing),
    )


def release_words(release: Release) -> str:
    """`shop 2.3.1 in production`, as far as it is known; `release of 2025-06-03 10:30` without a
    name."""
    name = " ".join(
        wording.plain(part, LONGEST_NAME) for part in (release.service, release.version) if part
    )
    name = name or f"release of {wording.clock(release.started_at, None)}"
    return (
        f"{name} in {wording.plain(release.environment, LONGEST_NAME)}"
        if release.environment
        else name
    )


def _word(message: Message) -> str:
    match message.action:
        case Action.TRIAL:
            return "TRIAL"
        case Action.RESOLVE:
            return "RESOLVED"
        case Action.FIRE if message.why is NotifyReason.ESCALATED:
            return f"{message.report.verdict.upper()}, WORSE"
        case Action.FIRE if message.why is NotifyReason.REPEATED:
            return f"STILL {message.report.verdict.upper()}"
    return message.report.verdict.upper()


def _facts(message: Message, failing: list[Finding]) -> tuple[str, ...]:
    report = message.report
    if message.action is Action.TRIAL:
        return ("This is a test message; nothing happened.",)
    if message.action is Action.RESOLVE:
        recovered = ordered(
            finding for finding in report.findings if finding.verdict is Verdict.RECOVERED
        )
        lines = [finding_line(finding, report.release) for finding in recovered] or [
            "no KPI fails any more"
        ]
    elif failing:
        lines = [
            finding_line(finding, report.release) + _flagged(finding, report.release)
            for finding in failing
        ]
    else:
        parts = [headline(report).partition("  ")[2], new_kinds(report), _released(report.release)]
        return tuple(part for part in parts if part)
    open_ones = sum(finding.is_open for finding in report.findings)
    parts = [
        *(incident_lines(report) if failing else ()),
        *lines[:MOST_FACTS],
        f"and {len(lines) - MOST_FACTS} more" if len(lines) > MOST_FACTS else "",
        f"{open_ones} could not be judged" if open_ones and report.final else "",
        cut_words(report) if report.final else f"early look, {progress(report.findings)}",
        new_kinds(report),
        _confounders(report),
        _released(report.release),
    ]
    return tuple(part for part in parts if part)


def _flagged(finding: Finding, release: Release) -> str:
    """The steps outside the band: how many, the first, the worst."""
    flagged = finding.flagged
    if flagged is None or not flagged.count:
        return ""
    day = release.started_at.date()
    first, worst = wording.clock(flagged.first, day), wording.clock(flagged.worst, day)
    return (
        f"; {flagged.count} of {finding.steps} steps outside the usual range, "
        f"first {first}, worst {worst}"
    )


def _released(release: Release) -> str:
    """The start of the release, with the day and the time zone of all times in the message."""
    return f"released {wording.clock(release.started_at, None)} UTC"


def _confounders(report: Report) -> str:
    return (
        f"also released during the watch: {confounder_words(report)}" if report.confounders else ""
    )


def _commits(message: Message, failing: list[Finding]) -> tuple[str, ...]:
    changes = message.report.changes
    if changes is None or not failing or message.action in (Action.TRIAL, Action.RESOLVE):
        return ()
    parts = changes_line(changes), wording.plain(changes.link, LONGEST_LINK)
    return (": ".join(filter(None, parts)), *commit_lines(changes))


def _todo(message: Message) -> str:
    report = message.report
    version = wording.plain(report.release.version, LONGEST_NAME) or "the release"
    look = f"anomaly show {message.look}" if message.look else ""
    match message.action, report.verdict:
        case Action.TRIAL, _:
            return "Nothing to do."
        case Action.RESOLVE, _:
            return "Nothing to do" + (f"; for details: {look}" if look else ".")
        case _, ReleaseVerdict.FAIL | ReleaseVerdict.HOLD:
            fails = report.verdict is ReleaseVerdict.FAIL
            advice = f"Roll back {version}, or" if fails else f"Hold {version}, and"
            return f"{advice} investigate" + (f": {look}" if look else ".")
        case _, ReleaseVerdict.PASS:
            return "Nothing to do."
        case _ if not report.final:
            return "Nothing to do yet."
    return "Check by hand: missing evidence is not a pass" + (f"; see: {look}" if look else ".")


def _severity(message: Message, failing: list[Finding]) -> Severity:
    if (
        message.action in (Action.TRIAL, Action.RESOLVE)
        or message.report.verdict is ReleaseVerdict.PASS
    ):
        return Severity.INFO
    if message.report.verdict is ReleaseVerdict.FAIL:
        return Severity.CRITICAL if any(finding.critical for finding in failing) else Severity.ERROR
    is_open = not message.report.final and message.report.verdict is not ReleaseVerdict.HOLD
    return Severity.INFO if is_open else Severity.WARNING
