"""What a verdict and the numbers behind it mean, in plain sentences, and what to do next."""

from __future__ import annotations

import re
from datetime import datetime

from anomaly import wording
from anomaly.model import ChangeKind, Direction, Finding, NoData, Verdict
from anomaly.reporting import words as say
from anomaly.reporting.report import Report

QUESTION = re.compile(r"(.+) over (\d+) steps?")
QUESTIONS = {
    "level": "is the mean of so many steps another than ever?",
    "level against just before": "is their mean another than in the last few steps before?",
    "typical level": "is the middle of the steps another, single wild ones aside?",
    (
        "typical level against just before"
    ): "is the middle of the steps another than in as many just before?",
    "jump and plateau": "did it jump and stay, more than it drifts by itself?",
    "ramp": "did it slide evenly away, more than it drifts by itself?",
    "total": "is there more in all, or less, than usual at that hour? Asked of what is often zero",
    "spread": "do the steps scatter otherwise than in four times as many before?",
    "high values": "do high steps stand out?",
    "low values": "do low steps stand out?",
    "highest values": "do the highest of the steps stand out, one in twenty?",
    "lowest values": "do the lowest of the steps stand out, one in twenty?",
    "flatter rhythm": "is the rhythm of the day or week flatter than it was?",
    "missing steps": "are more steps missing than ever?",
    "zeros": "are more steps zero than ever?",
    "repeated values": "does one value repeat more than ever?",
}
NUMBERS = {
    "history since": (
        "its first step that counts: before, it had none, was switched off, or ran on another scale"
    ),
    "history steps": "steps before the release that had a value to learn from",
    "placebo releases": "past moments judged as if each had been a release: they say what is usual",
    "of them independent": (
        "so many watches fit into the history; a rarer p-value rests on what "
        "quiet series do in general"
    ),
    "always": "the one value that the history hardly ever leaves",
    "steps that differ": "steps since the release with another value",
    "controls": "series that the release cannot have touched: what moved in them too is taken out",
    "controls not used": "their past says nothing, or nothing more, about this one",
    "share of the total": (
        "its share of the denominator since the release, and what was to be expected"
    ),
}
SCALES = {
    "as it is": "values are compared as they are, for they scatter alike at every height",
    "logarithm": "values are compared as ratios, for they scatter more the higher they are",
    "square root": (
        "values are compared by their roots, for counts scatter with the root of their height"
    ),
}
BAD_MOVES = {
    Direction.UP: "up is bad",
    Direction.DOWN: "down is bad",
    Direction.EITHER: "any move is bad",
}
FORGETS, DRIFTS = 0.1, 0.9  # memories
CHANGES = {
    ChangeKind.SPREAD: "Its steps scatter otherwise than they used to",
    ChangeKind.SPIKES: "Its extreme steps are out of what is usual",
    ChangeKind.OUTAGE: "It is zero where it used not to be",
    ChangeKind.SHAPE: "It runs otherwise than it used to, apart from its level",
}


def meaning(name: str, value: str | float) -> str:
    """What a line of the evidence says; nothing for a name that is not known."""
    if asked := QUESTION.fullmatch(name):
        return QUESTIONS.get(asked[1], "")
    if name == "season":
        return (
            "no daily or weekly rhythm foresaw the past better"
            if value == "none"
            else "foresaw past days, so it is expected to go on"
        )
    if name == "level":
        return (
            "the past that foresaw best how high the next hours would be; the season goes around it"
        )
    if name == "scale":
        return SCALES.get(str(value), "")
    return _memory(float(value)) if name == "memory" else NUMBERS.get(name, "")


def _memory(value: float) -> str:
    if value < FORGETS:
        return "a step says nothing about the next: each is evidence of its own"
    if value < DRIFTS:
        return (
            "a deviation carries on into the next steps: many steps in a row are less "
            "evidence than they seem"
        )
    return "it drifts by itself for hours: only what moves more than that drift is evidence"


def answer(finding: Finding) -> str:
    """The verdict as a sentence."""
    if finding.control_for:
        return "A control: the release cannot have touched it, and it is not judged itself."
    if finding.verdict is Verdict.REGRESSED:
        what = CHANGES.get(finding.kind) if finding.kind else None
        return (
            f"{what or 'It moved the bad way, by more than is tolerated'}, too clearly to be "
            "chance."
        )
    if finding.kind is ChangeKind.MIX:
        return (
            "Its segments' shares moved it, not what they do: nothing bad was found, though "
            "you may care."
        )
    if finding.verdict is Verdict.OK and (finding.p_value or 1.0) < (finding.level or 0.0):
        return (
            "It moved too clearly to be chance, but not surely by more than is tolerated. "
            "That fails no release."
        )
    return {
        Verdict.IMPROVED: "It moved the good way, too clearly to be chance. That fails no release.",
        Verdict.RECOVERED: (
            "It was off earlier in the watch; in the last quarter it is as "
            "expected again. That fails no release."
        ),
        Verdict.OK: "The watch is over, and nothing bad was found.",
        Verdict.INCONCLUSIVE: "Not enough to say whether the release hurt it. That is no pass.",
        Verdict.NO_DATA: "It is missing, and that is what is unusual. That is no pass.",
        Verdict.ERROR: "Its source did not answer, so nothing is known. That is no pass.",
    }[finding.verdict]


def advice(finding: Finding, report: Report) -> str:
    """What to do next."""
    if finding.control_for:
        return "nothing to do"
    if finding.verdict is Verdict.INCONCLUSIVE:
        return _what_is_missing(finding, report)
    if finding.kind is ChangeKind.MIX:
        return "nothing to take back; ask who came and who stayed away, and whether that was meant"
    when = f"{_from(finding, report)} UTC"
    fails = ", which `no_data: fail` makes a failure" if finding.no_data is NoData.FAIL else ""
    alone = "a dry run fails nothing; " if finding.dry_run else ""
    return {
        Verdict.REGRESSED: (
            f"{alone}look at the query from {when} on; take back what of the "
            "release fits, else ask what else began then"
        ),
        Verdict.RECOVERED: (
            f"nothing to take back; find out what happened from {when} on, it may come again"
        ),
        Verdict.ERROR: (
            "put the query to its source by hand, mend what the reason names, and check again"
        ),
        Verdict.NO_DATA: (
            "put the query to its source by hand: does the service still report "
            f"it, under the same name and labels{fails}?"
        ),
    }.get(finding.verdict, "nothing to do")


def _what_is_missing(finding: Finding, report: Report) -> str:
    if finding.onset is not None:
        return (
            f"find what began about {_from(finding, report)} UTC and end it, then check "
            "again: the release may hide behind it"
        )
    if report.final:
        return (
            "what the reason asks for (history, steps, volume) must be there before this can "
            "be judged"
        )
    over = report.observation.start + finding.steps_planned * report.step
    return (
        "check again: the watch is over at "
        f"{wording.clock(over, report.release.started_at.date())} UTC"
    )


def _from(finding: Finding, report: Report) -> str:
    first = (
        finding.onset_interval[0]
        if finding.onset_interval
        else finding.onset or report.observation.start
    )
    return wording.clock(first, report.release.started_at.date())


def rarity(finding: Finding) -> str:
    """What the p-value says."""
    if finding.p_value is None:
        return ""
    if finding.verdict is Verdict.IMPROVED:
        return (
            f"{wording.p_value(finding.p_value)} for a move for the worse; that for the "
            "better has a test of its own, at the same level"
        )
    return (
        f"{wording.p_value(finding.p_value)}: {wording.rarity(finding.p_value)} harmless "
        "releases would look as bad"
    )


def rarity_of_all(finding: Finding, report: Report) -> str:
    """How often any of several KPIs would be as surprising."""
    judged = {other.kpi for other in report.findings if other.p_release is not None}
    if finding.p_release is None or finding.verdict is Verdict.IMPROVED or len(judged) == 1:
        return ""
    return (
        f"{wording.rarity(finding.p_release)} harmless releases have any of the {len(judged)} "
        "KPIs so far out, for its share"
    )


def hurdle(finding: Finding, report: Report) -> str:
    """What the p-value is held against, and why that."""
    if not finding.level:
        return ""
    odds = f"rarer than 1 in {wording.number(1 / finding.level)}: "
    if finding.dry_run:
        return (
            odds
            + "as an equal share of false_alarms would ask for; a dry run spends none"
            + _looked_early(finding, report)
        )
    judged = [other for other in report.findings if other.level and not other.dry_run]
    kpis, series = (
        len({other.kpi for other in judged}),
        sum(other.kpi == finding.kpi for other in judged),
    )
    among = (
        f", which {kpis} KPIs divide by usage; one that moved leaves its share to the rest"
        if kpis > 1
        else ""
    )
    has_total = any(other.total for other in judged if other.kpi == finding.kpi)
    divided = (
        "half of this KPI's is for the total, half for its segments"
        if has_total
        else f"that of this KPI is divided by its {series} series"
    )
    split = f"; {divided}" if series > 1 else ""
    return (
        f"{odds}its share of false_alarms, "
        f"{wording.percent(report.false_alarms)}{among}{split}{_looked_early(finding, report)}"
    )


def _looked_early(finding: Finding, report: Report) -> str:
    """Why p is larger before the watch is over: it is divided by the share of the watch that has
    passed."""
    passed = max(other.steps for other in report.findings) / max(finding.steps_planned, 1)
    if report.final or not 0 < passed < 1:
        return ""
    return (
        f". The p-value is multiplied by {wording.number(1 / passed)}, as "
        f"{wording.percent(passed)} of the watch is over"
    )


def since(finding: Finding, report: Report) -> str:
    """When the change began, and between which steps that is sure."""
    if finding.onset is None:
        return ""
    day = report.release.started_at.date()
    began = wording.clock(finding.onset, day)
    if finding.onset_interval is None or finding.onset_interval[0] == finding.onset_interval[1]:
        return f"{began} UTC, to the step"
    first, last = (wording.clock(end, day) for end in finding.onset_interval)
    return (
        f"{began} UTC is likeliest; with 95 % between {first} and "
        f"{last}{_against(finding.onset_interval, report.release.started_at)}"
    )


def _against(interval: tuple[datetime, datetime], started: datetime) -> str:
    first, last = interval
    return (
        ", before the release"
        if last < started
        else ", which may be before the release"
        if first < started
        else ""
    )


def seen(finding: Finding) -> str:
    """Which change would have been found, and so which may be there unseen."""
    size = say.detectable_words(finding)
    if not size:
        return ""
    return (
        f"a change of {size} is found in four of five such releases; a smaller one can be "
        "there unseen"
    )


def matters(finding: Finding) -> str:
    """Which move of it counts: its bad direction, tolerance and floor."""
    beyond = [
        f"{wording.percent(finding.tolerance)} of what is expected" if finding.tolerance else "",
        wording.quantity(finding.floor, finding.unit) if finding.floor else "",
    ]
    limits = " and ".join(part for part in beyond if part)
    return BAD_MOVES[finding.direction] + (f", beyond {limits}" if limits else ", however small")
