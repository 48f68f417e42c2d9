"""Plain sentences about a verdict: what it and its numbers mean, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from anomaly import wording
from anomaly.model import SMALL_FAMILY, ChangeKind, Direction, Finding, NoData, Verdict
from anomaly.reporting import words
from anomaly.reporting.report import Report

BAD_MOVES = {
    Direction.UP: "up",
    Direction.DOWN: "down",
    Direction.EITHER: "up or down",
}
CHANGES = {
    ChangeKind.SPREAD: "Its steps scatter differently than before",
    ChangeKind.SPIKES: "Its extreme values are outside the usual range",
    ChangeKind.OUTAGE: "It is zero where it was not before",
    ChangeKind.SHAPE: "Its pattern changed, apart from its level",
}


def answer(finding: Finding) -> str:
    """The verdict as a sentence."""
    if finding.control_for:
        return "A control: the release cannot have touched it, so it is not judged."
    if finding.verdict is Verdict.REGRESSED:
        change = CHANGES.get(finding.kind) if finding.kind else None
        return (
            f"{change or 'It got worse by more than the tolerance allows'}, and chance is ruled "
            "out."
        )
    if finding.kind is ChangeKind.MIX:
        return (
            "The mix of its segments changed, not the segments themselves. No regression was found."
        )
    if finding.verdict is Verdict.OK and (finding.p_value or 1.0) < (finding.level or 0.0):
        return (
            "It got worse, and chance is ruled out, but perhaps by less than the tolerance. That "
            "does not fail a release."
        )
    return {
        Verdict.IMPROVED: ("It got better, and chance is ruled out. That does not fail a release."),
        Verdict.RECOVERED: (
            "It regressed earlier in the watch; in the last quarter it is as expected again. That "
            "does not fail a release."
        ),
        Verdict.OK: "The watch is over, and no regression was found.",
        Verdict.INCONCLUSIVE: (
            "There is not enough data to say whether the release hurt it. That is not a pass."
        ),
        Verdict.NO_DATA: "More data are missing than usual. That is not a pass.",
        Verdict.ERROR: "Its source did not answer, so nothing is known. That is not a pass.",
    }[finding.verdict]


def advice(finding: Finding, report: Report) -> str:
    """What to do next."""
    if finding.control_for:
        return "nothing to do"
    if finding.verdict is Verdict.INCONCLUSIVE:
        return _what_is_missing(finding, report)
    if finding.kind is ChangeKind.MIX:
        return (
            "nothing to roll back; find out which segments grew or shrank, and whether that was "
            "intended"
        )
    when = _from(finding, report)
    fails = " `no_data: fail` makes this a failure" if finding.no_data is NoData.FAIL else ""
    alone = "a dry run fails nothing; " if finding.dry_run else ""
    return {
        Verdict.REGRESSED: (
            f"{alone}look at the query from {when} on; roll back the matching change, or look for "
            "what else started then"
        ),
        Verdict.RECOVERED: (
            f"nothing to roll back; find out what happened from {when} on, as it may come back"
        ),
        Verdict.ERROR: (
            "run the query against its source by hand, fix what the reason names, and check again"
        ),
        Verdict.NO_DATA: (
            "run the query against its source by hand: does the service still report it under the "
            f"same name and labels?{fails}"
        ),
    }.get(finding.verdict, "nothing to do")


def _what_is_missing(finding: Finding, report: Report) -> str:
    if finding.onset is not None:
        return (
            f"find what started about {_from(finding, report)} and end it, then check "
            "again: it may hide an effect of the release"
        )
    if report.final:
        return "provide what the reason names (history, steps, volume), then check again"
    over = report.observation.start + finding.steps_planned * report.step
    return (
        "check again when the watch is over, at "
        f"{wording.clock(over, report.release.started_at.date())} UTC"
    )


def _from(finding: Finding, report: Report) -> str:
    first = (
        finding.onset_interval[0]
        if finding.onset_interval
        else finding.onset or report.observation.start
    )
    return wording.clock_and_zone(first, report.release.started_at.date())


def rarity(finding: Finding) -> str:
    """What the p-value means."""
    if finding.p_value is None:
        return ""
    if finding.verdict is Verdict.IMPROVED:
        return (
            f"{wording.p_value(finding.p_value)} for getting worse; getting better has its own "
            "test, at the same level"
        )
    return (
        f"{wording.p_value(finding.p_value)}: {wording.rarity(finding.p_value)} harmless "
        "releases would look as bad"
    )


def rarity_of_all(finding: Finding, report: Report) -> str:
    """How often at least one of several KPIs would be as surprising."""
    kpis = {other.kpi for other in report.findings if other.p_release is not None}
    if finding.p_release is None or finding.verdict is Verdict.IMPROVED or len(kpis) == 1:
        return ""
    return (
        f"{wording.rarity(finding.p_release)} harmless releases have at least one of the "
        f"{len(kpis)} KPIs this far out, relative to its share"
    )


@dataclass(frozen=True, slots=True)
class Sharing:
    """How the series of a report share its false alarms: the number of series by KPI, and the KPIs
    that have a total. A dry run has no share. `steps` is how far the watch has come."""

    report: Report
    series: Mapping[str, int]
    with_total: frozenset[str]
    steps: int

    @classmethod
    def of(cls, report: Report) -> Sharing:
        """That of a report."""
        sharing = [each for each in report.findings if each.level and not each.dry_run]
        return cls(
            report,
            Counter(each.kpi for each in sharing),
            frozenset(each.kpi for each in sharing if each.total),
            max((each.steps for each in report.findings), default=0),
        )


def hurdle(finding: Finding, sharing: Sharing) -> str:
    """The limit that the p-value is compared with, and where it comes from."""
    if not finding.level:
        return ""
    odds = f"rarer than 1 in {wording.number(1 / finding.level)}: "
    if finding.dry_run:
        return (
            odds
            + "an equal share of false_alarms; a dry run spends none of it"
            + _looked_early(finding, sharing)
        )
    kpis, series, family = (
        len(sharing.series),
        sharing.series[finding.kpi],
        sum(sharing.series.values()),
    )
    among = (
        f", which {kpis} KPIs share by usage; a KPI that already failed frees its share for the "
        "rest"
        if kpis > 1
        else ""
    )
    divided = (
        "half of this KPI's share is for the total, half for its segments"
        if finding.kpi in sharing.with_total
        else f"this KPI's share is divided among its {series} series"
    )
    split = f"; {divided}" if series > 1 else ""
    if family > SMALL_FAMILY:
        split += f"; the placebo releases of all {family:,} series say which p is so rare"
    return (
        f"{odds}its share of false_alarms, "
        f"{wording.percent(sharing.report.false_alarms)}{among}{split}"
        f"{_looked_early(finding, sharing)}"
    )


def _looked_early(finding: Finding, sharing: Sharing) -> str:
    """Why p is larger before the watch is over: it is divided by the share of the watch that has
    passed."""
    passed = sharing.steps / max(finding.steps_planned, 1)
    if sharing.report.final or not 0 < passed < 1:
        return ""
    return (
        f". The p-value is multiplied by {wording.number(1 / passed)}, because only "
        f"{wording.percent(passed)} of the watch is over"
    )


def since(finding: Finding, report: Report) -> str:
    """When the change began, with its 95 % interval."""
    if finding.onset is None:
        return ""
    day = report.release.started_at.date()
    began = wording.clock_and_zone(finding.onset, day)
    if finding.onset_interval is None or finding.onset_interval[0] == finding.onset_interval[1]:
        return f"{began}, exact to the step"
    first, last = finding.onset_interval
    return (
        f"{began}, 95 % interval {wording.clock(first, day)} to {wording.clock(last, day)}"
        f"{_against(finding.onset_interval, report.release.started_at)}"
    )


def _against(interval: tuple[datetime, datetime], start: datetime) -> str:
    first, last = interval
    return (
        ", before the release"
        if last < start
        else ", possibly before the release"
        if first < start
        else ""
    )


def detectable(finding: Finding) -> str:
    """The smallest change that would have been found."""
    size = words.detectable_words(finding)
    return (
        f"a change of {size} or more (80 % power); a smaller one can go unnoticed" if size else ""
    )


def bad_move(finding: Finding) -> str:
    """The move that counts as a regression: its direction, tolerance and floor."""
    beyond = [
        f"{wording.percent(finding.tolerance)} of the expected value" if finding.tolerance else "",
        wording.quantity(finding.floor, finding.unit) if finding.floor else "",
    ]
    limits = " and ".join(part for part in beyond if part)
    return BAD_MOVES[finding.direction] + (
        f", by more than {limits}" if limits else ", by any amount"
    )
